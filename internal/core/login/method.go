package login

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// method is the configuration of a mount, under its account and accessor.
type method struct {
	Revision uint64      `cbor:"1,keyasint"`
	JWT      *jwtMethod  `cbor:"2,keyasint,omitempty"`
	Kube     *kubeMethod `cbor:"3,keyasint,omitempty"`
}

func methodKey(acct, accessor string) kv.Key { return kv.K(acct, "login-method", accessor) }

// newMethod is a configuration with its defaults.
func newMethod(kind string) (*method, error) {
	switch kind {
	case mount.JWT:
		return &method{JWT: &jwtMethod{}}, nil
	case mount.Kubernetes:
		return &method{Kube: &kubeMethod{AnyIss: true}}, nil
	}
	return nil, errs.New(errs.Invalid, "a login method %s has no configuration", kind)
}

func (m *method) fields() []Field {
	switch {
	case m.JWT != nil:
		return m.JWT.fields()
	case m.Kube != nil:
		return m.Kube.fields()
	}
	return nil
}

func (m *method) check() error {
	switch {
	case m.JWT != nil:
		return m.JWT.check()
	case m.Kube != nil:
		return m.Kube.check()
	}
	return nil
}

// MethodFields are the settings of a method by the type of its mount; none where
// it has no configuration.
func MethodFields(mountType string) []Field {
	m, err := newMethod(kindOf(mountType))
	if err != nil {
		return nil
	}
	return m.fields()
}

// PutMethod replaces the configuration of a method: what a patch does not name is
// as in a new one, as in Vault.
func (s *Service) PutMethod(ctx context.Context, who caller.Caller, m *mount.Mount, p Patch) (change.Result, error) {
	e := s.edited(who, policy.PutLoginConfig, m, "")
	will, err := newMethod(kindOf(m.Type))
	if err == nil {
		e.Set, err = p.encode(will.fields())
	}
	if err == nil {
		if err = e.Set.apply(will.fields()); err == nil {
			err = will.check()
		}
	}
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, e.op, m, "", err)
	}
	return s.submit(ctx, who, e)
}

func (e *edit) putMethod(tx *change.Tx) error {
	key := methodKey(e.account, e.Accessor)
	is, err := record.Find[method](tx, key)
	if err != nil {
		return err
	}
	will, err := newMethod(kindOf(e.Type))
	if err != nil {
		return err
	}
	if is != nil {
		will.Revision = is.Revision
	}
	if err := base(tx, is, will.Revision); err != nil {
		return err
	}
	if err := e.Set.apply(will.fields()); err != nil {
		return err
	}
	if err := will.check(); err != nil {
		return err
	}
	will.Revision++
	return record.Put(tx, key, will)
}

// GetMethod returns the configuration of a method, without its secrets. NotFound
// with CodeConfig: it has none.
func (s *Service) GetMethod(ctx context.Context, who caller.Caller, m *mount.Mount) (out Settings, err error) {
	err = s.aboutMethod(ctx, who, m, "", func(a *gate.Access) error {
		is, err := record.Find[method](a, methodKey(who.Account, m.Accessor))
		if err == nil && is == nil {
			err = errs.Coded(errs.NotFound, CodeConfig, "the login method is not configured")
		}
		if err == nil {
			out = show(is.fields())
		}
		return err
	})
	return out, err
}

// aboutMethod runs a read about how a method is configured, or about a part of
// that, of a name.
func (s *Service) aboutMethod(ctx context.Context, who caller.Caller, m *mount.Mount, part string, f func(a *gate.Access) error) error {
	op, resource := policy.GetLoginConfig, short(m)
	if part != "" {
		if err := checkName(part); err != nil {
			return s.refuse(ctx, who, op, m, part, err)
		}
		resource += "/" + part
	}
	return s.gate.View(ctx, who, op, resource, func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.LoginMethodARN(who.Account, short(m)), Account: who.Account}, nil); err != nil {
			return err
		}
		return f(a)
	})
}
