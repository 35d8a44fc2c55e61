package login

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/core/signin"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// userRole says that a role is the terms on which a user logs in at a mount.
type userRole struct {
	Of int64 `cbor:"1,keyasint"` // when the user was made
}

// ofUser binds terms to the user whose they are. Those of an earlier one of the
// name give way to new ones.
func (e *edit) ofUser(tx *change.Tx, is *role) (*role, *userRole, error) {
	id, ok, err := authn.FindIdentity(tx, e.account, e.Role)
	switch {
	case err != nil:
		return nil, nil, err
	case !ok:
		return nil, nil, noUser()
	case id.Caller.Kind != caller.User:
		return nil, nil, errs.New(errs.Precondition, "a machine does not sign in: give it an access key")
	}
	if is != nil && (is.User == nil || is.User.Of != id.Created) {
		is = nil
	}
	return is, &userRole{id.Created}, nil
}

func noUser() error { return errs.Coded(errs.NotFound, CodeRole, "there is no such user") }

// UserpassLogin is a login by a password.
type UserpassLogin struct {
	User     string
	Password sensitive.Bytes
	Code     string // of the authenticator, where one is set up
}

// LoginUserpass gives a token to a user, by the password that it signs in with.
// Attempts are counted and throttled with those to sign in. A user with an
// authenticator needs a code beside the password.
func (s *Service) LoginUserpass(ctx context.Context, nobody caller.Caller, m *mount.Mount, req UserpassLogin) (Entered, error) {
	w, err := s.proveUser(ctx, nobody, m, &req)
	return s.finish(ctx, nobody, m, req.User, w, inVault(err))
}

// inVault says a refusal in the protocol's words.
func inVault(err error) error {
	e := errs.As(err)
	switch {
	case e == nil:
		return nil
	case e.Code == signin.CodeBadCredentials, e.Kind == errs.Invalid && e.Field == "User":
		return refused("invalid username or password")
	case e.Code == signin.CodeNeedCode:
		return refused("a code of the authenticator is needed: give it as totp beside the password, or in X-Vault-MFA")
	case e.Code == signin.CodeNeedMFA:
		return refused("%s", e.Msg)
	}
	return err
}

func (s *Service) proveUser(ctx context.Context, nobody caller.Caller, m *mount.Mount, req *UserpassLogin) (*way, error) {
	if req.Password.Len() == 0 {
		return nil, errs.InvalidField("password", "missing password")
	}
	p, err := s.signin.Prove(ctx, nobody, signin.LoginRequest{Account: nobody.Account, User: req.User, Password: req.Password, Code: req.Code})
	if err != nil {
		return nil, err
	}
	of, err := s.userTerms(ctx, nobody.Account, m, req.User, p.Who.Created)
	if err != nil {
		return nil, err
	}
	return &way{mount: m, role: req.User, terms: &of.Terms, proof: caller.ProofPassword, user: &p.Who, alias: req.User, label: req.User,
		display: short(m) + "-" + req.User, meta: map[string]string{"username": req.User},
		settle: func(tx *change.Tx) error {
			now, err := findRole(tx, nobody.Account, m.Accessor, req.User)
			if err != nil {
				return err
			}
			if now != nil && now.User != nil && now.User.Of == p.Who.Created && now.Revision != of.Revision {
				return errs.New(errs.Conflict, "the terms of the login were changed meanwhile")
			}
			return inVault(p.Settle(tx))
		}}, nil
}

// userTerms are those of a user, or the ones of who has none of its own.
func (s *Service) userTerms(ctx context.Context, acct string, m *mount.Mount, user string, of int64) (*role, error) {
	r, err := s.role(ctx, acct, m, user)
	if err != nil || r != nil && r.User != nil && r.User.Of == of {
		return r, err
	}
	return newRole(mount.Userpass)
}

// LoginUser is what a write about a user of a userpass mount changes.
type LoginUser struct {
	Name     string
	Password sensitive.Bytes // empty: it stays
	Terms    Patch           // of its logins at the mount
}

// PutLoginUser makes a user with a password, or gives one another password, and
// sets the terms of its logins. The policies among these are granted to tokens of
// this mount only: what the user may do at other doors stays. A password that is
// given takes the place of the one that there is, with its sessions. These are two
// changes, of the user and of the login role; when the first has to wait the second
// is not made.
func (s *Service) PutLoginUser(ctx context.Context, who caller.Caller, m *mount.Mount, req LoginUser) (change.Result, error) {
	op := policy.ResetPassword
	if err := name.Principal("username", req.Name); err != nil {
		return change.Result{}, s.refuse(ctx, who, op, m, "", err)
	}
	e := &passwordEdit{account: who.Account, user: req.Name}
	var res change.Result
	if req.Password.Len() > 0 {
		if err := s.mayGive(ctx, who, e); err != nil { // before the work of hashing, and what a bad password would tell
			return change.Result{}, err
		}
		hash, err := s.signin.HashPassword(ctx, req.Name, req.Password)
		if err != nil {
			return change.Result{}, s.refuse(ctx, who, op, m, req.Name, err)
		}
		e.to = &hash
		if res, err = s.changes.Submit(ctx, who, change.Request{Edit: e}); err != nil || res.Status != change.Applied {
			return res, err
		}
	}
	if len(req.Terms) == 0 && req.Password.Len() > 0 {
		return res, nil
	}
	return s.PutRole(ctx, who, m, req.Name, req.Terms)
}

// mayGive asks policy about an edit before anything else is done.
func (s *Service) mayGive(ctx context.Context, who caller.Caller, e *passwordEdit) error {
	rec := gate.NewRecord(who, e.Operation(), e.user)
	err := s.gate.DB.View(ctx, func(r kv.Reader) error {
		return e.Allow(gate.NewAccess(r, s.gate.Auth, who, &rec))
	})
	if err == nil {
		return nil
	}
	return s.gate.Finish(ctx, &rec, err)
}

// passwordEdit gives a user a password, and makes the user when there is none, or
// takes the password away. It is a change of the user, and cannot wait.
type passwordEdit struct {
	account, user string
	to            *signin.Hashed // nil: it is taken away
	accessor      string         // then with the terms at this mount
}

func (e *passwordEdit) Target() change.Target {
	return change.Target{Account: e.account, Noun: "user", Name: e.user}
}
func (e *passwordEdit) Operation() policy.Op { return policy.ResetPassword }

func (e *passwordEdit) Allow(a *gate.Access) error {
	req := policy.Request{Op: policy.ResetPassword, Resource: caller.UserARN(e.account, e.user), Account: e.account}
	if err := a.Allow(&req, nil); err != nil {
		return err
	}
	_, ok, err := authn.FindIdentity(a, e.account, e.user)
	if err != nil || ok || e.accessor != "" {
		return err
	}
	req.Op = policy.CreateUser
	return a.Allow(&req, nil)
}

func (e *passwordEdit) Apply(tx *change.Tx) error {
	_, ok, err := authn.FindIdentity(tx, e.account, e.user)
	if err != nil {
		return err
	}
	if e.to == nil {
		if !ok {
			tx.NothingToDo()
			return nil
		}
		if err := signin.DropPassword(tx, e.account, e.user); err != nil {
			return err
		}
		return tx.Delete(roleKey(e.account, e.accessor, e.user))
	}
	if !ok {
		if _, err := authn.PutUser(tx, e.account, e.user, nil); err != nil {
			return err
		}
	}
	return signin.PutPassword(tx, e.account, e.user, *e.to)
}

// DeleteLoginUser takes a user's password away, and the terms at the mount: it
// cannot log in or sign in by it any more. The user stays, with its keys and what
// it may do: deleting it is an operation on users. One that is not there is no
// error.
func (s *Service) DeleteLoginUser(ctx context.Context, who caller.Caller, m *mount.Mount, n string) (change.Result, error) {
	if err := name.Principal("username", n); err != nil {
		return change.Result{}, s.refuse(ctx, who, policy.ResetPassword, m, "", err)
	}
	return s.changes.Submit(ctx, who, change.Request{Edit: &passwordEdit{account: who.Account, user: n, accessor: m.Accessor}})
}

// GetLoginUser returns the terms of a user who has a password. NotFound with
// CodeRole: there is none such.
func (s *Service) GetLoginUser(ctx context.Context, who caller.Caller, m *mount.Mount, n string) (out Settings, err error) {
	op := policy.GetLoginRole
	if err := name.Principal("username", n); err != nil {
		return nil, s.refuse(ctx, who, op, m, "", err)
	}
	err = s.gate.View(ctx, who, op, short(m)+"/"+n, func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.LoginRoleARN(who.Account, short(m), n), Account: who.Account}, nil); err != nil {
			return err
		}
		id, ok, err := authn.FindIdentity(a, who.Account, n)
		if err == nil && ok {
			ok, err = signin.HasPassword(a, who.Account, n)
		}
		if err == nil && !ok {
			err = noUser()
		}
		if err != nil {
			return err
		}
		r, err := record.Find[role](a, roleKey(who.Account, m.Accessor, n))
		if err == nil && (r == nil || r.User == nil || r.User.Of != id.Created) {
			r, err = newRole(mount.Userpass)
		}
		if err == nil {
			out = show(r.fields())
		}
		return err
	})
	return out, err
}

// ListLoginUsers lists the users who have a password, after a name, at most max
// (default 10,000).
func (s *Service) ListLoginUsers(ctx context.Context, who caller.Caller, m *mount.Mount, after string, max int) (out []string, err error) {
	op := policy.ListLoginRoles
	if max <= 0 {
		max = MaxRoles
	}
	err = s.gate.View(ctx, who, op, short(m), func(a *gate.Access) (err error) {
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.LoginMethodARN(who.Account, short(m)), Account: who.Account}, nil); err != nil {
			return err
		}
		out, err = signin.WithPassword(a, who.Account, after, max)
		return err
	})
	return out, err
}
