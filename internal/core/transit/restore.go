package transit

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// MaxBackup is how many versions a key may have to be backed up and restored: they
// are written in one transaction.
const MaxBackup = dropAtOnce

// Bundle is a key with all its versions, secret material included: what a backup
// holds. EncodeBackup and ParseBackup write it down as Vault does.
type Bundle struct {
	name     string
	key      stored
	versions []version // from the lowest that there is
	taken    int64     // microseconds
}

// Name is that of the key that was backed up, below its mount.
func (b *Bundle) Name() string { return b.name }

// Backup returns a key with all its material, of one that allows it.
func (s *Service) Backup(ctx context.Context, who caller.Caller, n string) (*Bundle, error) {
	if err := CheckName(n); err != nil {
		return nil, s.refuse(ctx, who, policy.BackupTransitKey, n, err)
	}
	out := &Bundle{name: base(n), taken: micros(who.Time)}
	err := s.gate.View(ctx, who, policy.BackupTransitKey, n, func(a *gate.Access) error {
		if err := a.Allow(request(who, policy.BackupTransitKey, n), nil); err != nil {
			return err
		}
		k, err := find(a, who.Account, n)
		if err != nil {
			return err
		}
		if k == nil {
			return errs.Coded(errs.NotFound, CodeKey, "key not found")
		}
		out.key, a.Record.Version = *k, k.Latest
		return out.read(a, who.Account)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (b *Bundle) read(r kv.Reader, account string) error {
	k := &b.key
	switch {
	case !k.Exportable:
		return errs.Coded(errs.Precondition, CodeExport, "exporting is disallowed on the policy")
	case !k.PlaintextBackup:
		return errs.Coded(errs.Precondition, CodeExport, "plaintext backup is disallowed on the policy")
	case k.Latest-k.first() >= MaxBackup:
		return tooMany()
	}
	b.versions = nil
	for n := k.first(); n <= k.Latest; n++ {
		v, err := findVersion(r, account, k, n)
		if err != nil {
			return err
		}
		b.versions = append(b.versions, *v)
	}
	return nil
}

func tooMany() error {
	return errs.Coded(errs.Limit, CodeVersLim, "a key of more than %d versions cannot be backed up or restored: trim it first", MaxBackup)
}

// base is a name without the prefix of its mount.
func base(n string) string {
	for i := len(n) - 1; i >= 0; i-- {
		if n[i] == '/' {
			return n[i+1:]
		}
	}
	return n
}

// RestoreRequest asks for a key out of a backup.
type RestoreRequest struct {
	Key    string // its name here
	Bundle *Bundle
	Force  bool // in the place of a key that is there
	Reason string
	change.Options
}

// Restore makes a key of a backup. Exists: there is one of its name.
func (s *Service) Restore(ctx context.Context, who caller.Caller, req RestoreRequest) (Written, error) {
	err := CheckName(req.Key)
	if err == nil {
		err = req.Bundle.check()
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.RestoreTransitKey, req.Key, err)
	}
	k := req.Bundle.key
	k.ID, k.Edition, k.Revision, k.RotateAt = newID(), 0, 0, 0
	if k.Imported && !k.AllowRotation {
		k.RotateEvery = 0 // it would never succeed
	}
	e := &edit{op: policy.RestoreTransitKey, account: who.Account, name: req.Key,
		fields: fields{Key: &k, New: req.Bundle.versions, Force: req.Force}}
	return s.submit(ctx, who, req.Reason, req.Options, e)
}

// check refuses a backup that makes no sound key.
func (b *Bundle) check() error {
	k := &b.key
	bad := func(why string) error {
		return errs.Coded(errs.Invalid, CodeFormat, "the backup cannot be restored: %s", why)
	}
	if err := checkShape(k.Type, k.Size, k.Derived, k.Convergent); err != nil {
		return bad(errs.As(err).Msg)
	}
	switch {
	case k.Latest == 0 || k.MinDecryption == 0 || k.MinDecryption > k.Latest || k.MinEncryption > k.Latest,
		k.MinEncryption > 0 && k.MinEncryption < k.MinDecryption, k.MinAvailable > k.MinDecryption:
		return bad("its versions contradict each other")
	case k.Latest-k.first() >= MaxBackup:
		return tooMany()
	case uint64(len(b.versions)) != k.Latest-k.first()+1:
		return bad("versions are missing")
	case k.RotateEvery < 0 || k.RotateEvery > 100*365*24*3600 || k.RotateEvery != 0 && k.RotateEvery < int64(MinRotation/time.Second):
		return bad("its period of rotation is not one")
	}
	for i := range b.versions {
		if _, err := prepare(k, &b.versions[i]); err != nil {
			return bad(errs.As(err).Msg)
		}
		if len(b.versions[i].MAC) > MaxHMACKey {
			return bad("an HMAC key is too long")
		}
	}
	return nil
}

// restored is the key that a backup makes.
func (e *edit) restored() (*stored, error) {
	if e.is != nil && !e.Force {
		return nil, errs.Coded(errs.Exists, CodeKey, "key %q already exists", base(e.name))
	}
	return e.Key, nil
}
