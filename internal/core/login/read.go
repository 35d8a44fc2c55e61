package login

import (
	"bytes"
	"context"
	"errors"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/kv"
)

// GetRole returns the settings of a role. NotFound with CodeRole: there is none.
func (s *Service) GetRole(ctx context.Context, who caller.Caller, m *mount.Mount, n string) (out Settings, err error) {
	err = s.aboutRole(ctx, who, policy.GetLoginRole, m, n, func(_ *gate.Access, r *role) error {
		out = show(r.fields())
		return nil
	})
	return out, err
}

// aboutRole runs a read about one role.
func (s *Service) aboutRole(ctx context.Context, who caller.Caller, op policy.Op, m *mount.Mount, n string, f func(a *gate.Access, r *role) error) error {
	n = roleName(m, n)
	if err := checkName(n); err != nil {
		return s.refuse(ctx, who, op, m, n, err)
	}
	return s.gate.View(ctx, who, op, short(m)+"/"+n, func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.LoginRoleARN(who.Account, short(m), n), Account: who.Account}, nil); err != nil {
			return err
		}
		r, err := findRole(a, who.Account, m.Accessor, n)
		if err == nil && (r == nil || (r.AppRole == nil) != (m.Type != mount.AppRole)) {
			err = noRole()
		}
		if err != nil {
			return err
		}
		return f(a, r)
	})
}

// ListRoles lists the names of a method's roles, after the given one, at most max
// (default 10,000).
func (s *Service) ListRoles(ctx context.Context, who caller.Caller, m *mount.Mount, after string, max int) (out []string, err error) {
	op := policy.ListLoginRoles
	err = s.gate.View(ctx, who, op, short(m), func(a *gate.Access) (err error) {
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.LoginMethodARN(who.Account, short(m)), Account: who.Account}, nil); err != nil {
			return err
		}
		out, err = names(a, kv.K(who.Account, "login-role", m.Accessor), after, max)
		return err
	})
	return out, err
}

// names lists the last parts of the keys below a prefix.
func names(r kv.Reader, prefix kv.Key, after string, limit int) (out []string, err error) {
	if limit <= 0 {
		limit = MaxRoles
	}
	rng := kv.Prefix(prefix)
	if after != "" {
		rng.Start = append(bytes.Clone(prefix), append(kv.K(after), 0)...)
	}
	for p, err := range r.Scan(rng) {
		if err != nil {
			return nil, err
		}
		strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
		if err != nil {
			return nil, err
		}
		if out = append(out, strs[0]); len(out) == limit {
			break
		}
	}
	return out, nil
}

func getOrNil(r kv.Reader, key kv.Key) ([]byte, error) {
	b, err := r.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	return bytes.Clone(b), err
}

func prefixOf(parts ...string) kv.Range { return kv.Prefix(kv.K(parts...)) }
