package authn

import (
	"countersign/internal/caller"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// Subject returns a principal as it stands in r, without the circumstances of a
// request; nil when there is none, or it is disabled. It asks nobody.
func (s *Service) Subject(r kv.Reader, acct, n string) (*caller.Caller, error) {
	p, ok, err := record.Get[principal](r, principalKey(acct, n))
	if err != nil || !ok || p.Disabled {
		return nil, err
	}
	who, err := callerOf(r, acct, n, &p)
	return &who, err
}

// Members lists the names in a group, sorted. It asks nobody.
func (s *Service) Members(r kv.Reader, acct, g string) (names []string, err error) {
	is, err := record.Find[group](r, groupKey(acct, g))
	if err != nil || is == nil {
		return nil, err
	}
	return is.members(r, acct, g, -1)
}

// SSHKeys are the public keys registered for a user, as "type base64". It asks
// nobody.
func (s *Service) SSHKeys(r kv.Reader, acct, n string) (lines []string, err error) {
	have, _, err := record.Get[sshKeys](r, sshKeysKey(acct, n))
	for _, k := range have.Keys {
		lines = append(lines, k.Line)
	}
	return lines, err
}
