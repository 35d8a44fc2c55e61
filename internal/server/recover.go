package server

import (
	"context"
	"errors"
	"io"
	"time"

	"countersign/internal/caller"
	"countersign/internal/config"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/signin"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// RecoverOptions say whom Recover lets in again.
type RecoverOptions struct {
	User  string // of the home account
	Key   bool   // make an access key instead of an invitation
	Admin bool   // make the user when it is absent, and let it do everything
	// DropRules removes every protection rule: the way out when nobody is left
	// who could approve a change of them.
	DropRules bool
}

// Recovered is what Recover made: one of the two.
type Recovered struct {
	Account, User string
	Key           FirstKey
	Invitation    signin.Invitation
}

// Recover lets somebody in again when nobody can sign in, while no server has
// the store open. Who can do this has the store and its key, and so could read
// everything. A user who is disabled is enabled; with an invitation the
// password, the authenticator and the sessions that were there end. All of it
// is in the audit log.
func Recover(ctx context.Context, cfg config.Config, o RecoverOptions, stderr io.Writer) (out Recovered, err error) {
	c, err := openCore(ctx, cfg, newLogger(cfg.Log, stderr), nil)
	if errors.Is(err, kv.ErrInUse) {
		return out, &errs.Error{Kind: errs.Unavailable, Msg: "stop the server first: the store has to be closed", Err: err}
	}
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	ready, err := c.authn.Bootstrapped(ctx)
	if err != nil {
		return out, err
	}
	if !ready {
		return out, errs.New(errs.Precondition, "the store has no account yet: make it with \"countersign server init\"")
	}
	now := time.Now()
	who := caller.ForSystem(cfg.Account, "recover", audit.NewID(now), now)
	out = Recovered{Account: cfg.Account, User: o.User}
	if o.DropRules {
		if err := c.dropRules(ctx, who); err != nil {
			return out, err
		}
	}
	if o.Admin {
		if err := c.makeAdmin(ctx, who, o.User); err != nil {
			return out, err
		}
	}
	if _, err := c.authn.UpdateUser(ctx, who, authn.UpdateUserRequest{Name: o.User, Disabled: new(false)}); err != nil {
		return out, err
	}
	if o.Key {
		k, err := c.authn.CreateKey(ctx, who, authn.CreateKeyRequest{Owner: o.User, Description: "recovery"})
		secret := string(k.Secret.Reveal())
		out.Key = FirstKey{ID: k.ID, Secret: secret, Token: authn.Token(k.ID, secret), Account: cfg.Account, User: o.User, Created: k.Created}
		return out, err
	}
	if err := c.signin.DisableTOTP(ctx, who, signin.DisableRequest{User: o.User}); err != nil && !errs.Is(err, errs.Precondition) {
		return out, err
	}
	out.Invitation, err = c.signin.InviteUser(ctx, who, signin.InviteRequest{User: o.User, Reset: true})
	return out, err
}

// dropRules removes every protection rule of the home account.
func (c *core) dropRules(ctx context.Context, who caller.Caller) error {
	list, err := c.changes.Rules(ctx, who)
	if err != nil {
		return err
	}
	_, err = c.changes.PutRules(ctx, who, change.RuleChange{Whole: true, Revision: list.Revision}, "recovery on a stopped server", change.Options{})
	return err
}

// makeAdmin makes a user who may do everything, or lets one that is there.
func (c *core) makeAdmin(ctx context.Context, who caller.Caller, user string) error {
	if _, err := c.authn.CreateUser(ctx, who, authn.CreateUserRequest{Name: user}); err != nil && !errs.Is(err, errs.Exists) {
		return err
	}
	_, err := c.authn.Attach(ctx, who, authn.Attachment{Policy: "AdministratorAccess", User: user})
	return err
}
