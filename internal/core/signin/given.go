package signin

import (
	"bytes"
	"context"

	"countersign/internal/core/change"
	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

// Hashed is the hash of a password that an administrator gives to a user.
type Hashed struct{ p *password }

// HashPassword checks a password for a user and hashes it.
func (s *Service) HashPassword(ctx context.Context, user string, text sensitive.Bytes) (Hashed, error) {
	if err := CheckPassword(user, text); err != nil {
		return Hashed{}, err
	}
	p, err := s.hasher.make(ctx, text)
	return Hashed{p}, err
}

// PutPassword gives a user a password, in a transaction. It ends the one before,
// with its sessions and known devices, and an invitation. The second factor stays.
func PutPassword(tx *change.Tx, acct, user string, h Hashed) error {
	return replacePassword(tx, acct, user, h.p)
}

// DropPassword takes a user's password away, and with it all sessions.
func DropPassword(tx *change.Tx, acct, user string) error {
	return replacePassword(tx, acct, user, nil)
}

func replacePassword(tx *change.Tx, acct, user string, to *password) error {
	_, p, err := mustFind(tx, acct, user)
	if err != nil {
		return err
	}
	p.Password, p.Changed, p.Invitation, p.InvitedTo = to, micros(tx.Now), nil, 0
	if err := dropSessions(tx, acct, user, ""); err != nil {
		return err
	}
	if err := dropDevices(tx, acct, user, 0); err != nil {
		return err
	}
	return record.Put(tx, profileKey(acct, user), p)
}

// HasPassword reports whether a user signs in by a password.
func HasPassword(r kv.Reader, acct, user string) (bool, error) {
	_, p, ok, err := find(r, acct, user)
	return ok && p.Password != nil, err
}

// WithPassword lists the users who do, after a name, at most limit.
func WithPassword(r kv.Reader, acct, after string, limit int) (out []string, err error) {
	prefix := kv.K(acct, "login")
	rng := kv.Prefix(prefix)
	if after != "" {
		rng.Start = append(bytes.Clone(prefix), append(kv.K(after), 0)...)
	}
	var names []string
	for e, err := range record.Scan[profile](r, rng) {
		if err != nil {
			return nil, err
		}
		strs, _, err := e.Key[len(prefix):].Parts("s")
		if err != nil {
			return nil, err
		}
		if e.Value.Password != nil {
			names = append(names, strs[0])
		}
	}
	for _, n := range names {
		if has, err := HasPassword(r, acct, n); err != nil {
			return nil, err
		} else if has { // it is not of an earlier user of the name
			out = append(out, n)
		}
		if len(out) == limit {
			break
		}
	}
	return out, nil
}
