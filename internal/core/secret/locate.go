package secret

import (
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Locate asks policy about an operation on a secret and returns where the
// secret is kept: of a replica, its primary. It is for services that keep
// something beside secrets. NotFound: there is no such secret.
func (s *Service) Locate(a *gate.Access, id name.SecretID, op policy.Op) (name.Secret, error) {
	f, err := s.ask(a, id, op)
	if err != nil {
		return name.Secret{}, err
	}
	return f.home, f.mustExist()
}

// Resources finds secrets for questions about policy; see authn.Resources.
type Resources struct{ s *Service }

// Resources returns the secrets as things that policy is asked about.
func (s *Service) Resources() Resources { return Resources{s} }

// Whole returns the ARN with the suffix that the secret has, where it ends in
// name.UnknownSuffix and there is a secret. It asks nobody.
func (t Resources) Whole(r kv.Reader, arn string) (string, error) {
	plain, ok := strings.CutSuffix(arn, "-"+name.UnknownSuffix)
	if !ok {
		return arn, nil
	}
	id, err := name.ParseSecretID(plain)
	if err != nil || !id.IsARN {
		return arn, nil // of another kind
	}
	n := name.Secret{Account: id.Account, Region: id.Region, Name: id.Name}
	f, err := t.s.load(r, n, "")
	if err != nil || f.head == nil {
		return arn, err
	}
	return n.ARN(f.suffix), nil
}

// Describe returns the compiled resource policy and the tags of the secret with
// that ARN, and nothing when there is none. It asks nobody.
func (t Resources) Describe(r kv.Reader, arn string) (*policy.Set, map[string]string, error) {
	id, err := name.ParseSecretID(arn)
	if err != nil || !id.IsARN {
		return nil, nil, nil // of another kind, or of none
	}
	f, err := t.s.find(r, caller.Caller{Account: id.Account, Region: id.Region}, id)
	if err != nil || f.head == nil {
		return nil, nil, err
	}
	return f.policy, tagMap(f.head.Tags), nil
}
