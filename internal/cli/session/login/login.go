// Package login is the command "countersign login".
package login

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/session/answers"
	"countersign/internal/cli/session/browser"
	"countersign/internal/cli/session/held"
	"countersign/internal/cli/settings"
	"countersign/internal/client"
	"countersign/internal/sensitive"
)

// EnvPassword holds the password where nobody can be asked.
const EnvPassword = "COUNTERSIGN_PASSWORD"

// Options of the command.
type Options struct {
	Env        *env.Env
	User       string
	Account    string
	Invitation bool
	OIDC       bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Sign in, and keep the session for the commands that follow",
		Long: `Sign in, and keep the session in your configuration for the commands that
follow. It is refreshed by itself, and ends after 12 hours without use.

The password is asked for without echo, and so is a code where your account has
an authenticator; a recovery code does too. They can be piped in, a line each,
and the password can be in COUNTERSIGN_PASSWORD. With --invitation you are asked
for the invitation that an administrator gave you, and for a new password. With
--oidc you sign in at your account's identity provider, in a browser on this
machine.`,
		Example: `  countersign login --user alice --address https://secrets.example.com
  countersign login --user alice --invitation
  countersign login --oidc`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.OIDC && (o.Invitation || o.User != "") {
				return exit.Usagef("--oidc: the identity provider says who signs in; leave out --user and --invitation")
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.User, "user", "", "sign in as a user, by `NAME` (default who signed in last)")
	f.StringVar(&o.Account, "account", "", "of an account, by `NUMBER` (default the server's first)")
	f.BoolVar(&o.OIDC, "oidc", false, "sign in at the account's identity provider")
	f.BoolVar(&o.Invitation, "invitation", false, "set a first password by an invitation")
	return cmd
}

// Run signs in.
func Run(ctx context.Context, o *Options) error {
	in, err := o.Env.SignIn()
	if err != nil {
		return err
	}
	if o.OIDC {
		f, err := browser.Login(ctx, o.Env.Streams, in.Client, o.Account)
		if err != nil {
			return err
		}
		t, err := in.Client.FinishOIDC(ctx, f)
		if err != nil {
			return err
		}
		return Keep(ctx, o.Env, in, o.Account, t)
	}
	if s := in.Global.Session; o.User == "" && s != nil {
		o.User = s.User
	}
	if o.User == "" {
		return exit.Usagef("--user is missing: name who signs in")
	}
	t, err := o.password(ctx, in)
	if err != nil {
		return err
	}
	return Keep(ctx, o.Env, in, o.Account, t)
}

// password proves the user by a password, and by a code where that is asked
// for.
func (o *Options) password(ctx context.Context, in env.SignIn) (client.Tokens, error) {
	from := answers.From(o.Env.Streams)
	device := in.Global.Device(in.Client.Address(), o.Account, o.User)
	password, fresh, err := o.choose(ctx, in, from)
	if err != nil {
		return client.Tokens{}, err
	}
	if fresh.Len() > 0 {
		device = fresh
	}
	req := client.LoginRequest{Account: o.Account, User: o.User, Password: password, Device: device}
	t, err := in.Client.Login(ctx, req)
	var e *client.Error
	if errors.As(err, &e) && e.Code == client.CodeNeedCode {
		if req.Code, err = from.Ask(ctx, "code of the authenticator"); err != nil {
			return client.Tokens{}, err
		}
		t, err = in.Client.Login(ctx, req)
	}
	if t.Device.Len() == 0 {
		t.Device = fresh // the server knows it already
	}
	return t, err
}

// choose asks for the password, or makes it one by an invitation, which gives a
// device token.
func (o *Options) choose(ctx context.Context, in env.SignIn, from *answers.Source) (password, device sensitive.Bytes, err error) {
	if !o.Invitation {
		if p := o.Env.Variable(EnvPassword); p != "" {
			return sensitive.FromString(p), device, nil
		}
		password, err = from.Ask(ctx, "password of "+o.User)
		return password, device, err
	}
	invitation, err := from.Ask(ctx, "invitation for "+o.User)
	if err != nil {
		return password, device, err
	}
	if password, err = from.Choose(ctx, "new password"); err != nil {
		return password, device, err
	}
	device, err = in.Client.AcceptInvitation(ctx, o.Account, o.User, invitation, password)
	return password, device, err
}

// Keep stores a session in the user's configuration and says so.
func Keep(ctx context.Context, e *env.Env, in env.SignIn, account string, t client.Tokens) error {
	s := held.Stored(t, in.Client.Address(), e.Time())
	err := in.Store.Update(ctx, func(g *settings.Global) error {
		g.Session = &s
		if t.Device.Len() > 0 {
			g.SetDevice(in.Client.Address(), account, t.User, t.Device)
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.Streams.Notef("signed in to %s as %s", in.Client.Address(), t.User)
	if e.Variable(client.EnvToken) != "" {
		e.Streams.Notef("note: %s is set, and commands go on using it instead", client.EnvToken)
	}
	if t.NeedMFA {
		e.Streams.Notef("the account asks for a second factor: run \"countersign totp enrol\" first, or \"countersign totp confirm\" if you have one")
	}
	return nil
}
