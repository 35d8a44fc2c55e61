// Package provider is the command "countersign account identity-provider".
package provider

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/session/answers"
	"countersign/internal/cli/table"
	"countersign/internal/client"
	"countersign/internal/sensitive"
)

// Options of the command.
type Options struct {
	Env *env.Env
	client.IdentityProvider
	AskSecret bool // for the client secret
	Delete    bool
	JSON      bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var claims []string
	cmd := &cobra.Command{
		Use:   "identity-provider",
		Short: "Show, set or forget the OpenID Connect provider by which people sign in",
		Long: `Show the OpenID Connect provider by which people sign in; set it, with --issuer;
or forget it, with --delete. Setting it replaces all of it but the client
secret, which is asked for with --confidential, or piped in, and stays
otherwise. Register http://127.0.0.1/callback, with any port, as its redirect
address.`,
		Example: `  countersign account identity-provider
  countersign account identity-provider --issuer https://id.example.com --client-id countersign --domain example.com --link-by-email`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Claims, err = input.Pairs("--claim", claims); err != nil {
				return err
			}
			switch {
			case o.Delete && o.Issuer != "":
				return exit.Usagef("--delete and --issuer exclude each other")
			case o.Issuer == "" && cmd.Flags().NFlag() > 0 && !o.Delete && !o.JSON:
				return exit.Usagef("--issuer is missing: setting the provider replaces all of it")
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Issuer, "issuer", "", "the provider's `URL`, as its discovery document says it")
	f.StringVar(&o.ClientID, "client-id", "", "this server's `ID` there")
	f.BoolVar(&o.AskSecret, "confidential", false, "ask for the client secret")
	f.StringArrayVar(&o.Scopes, "scope", nil, "ask for a `SCOPE` (default profile and email)")
	f.StringVar(&o.NameClaim, "name-claim", "", "the `CLAIM` that names a user who is made (default email)")
	f.StringArrayVar(&o.Domains, "domain", nil, "let in verified e-mail addresses of this `DOMAIN` alone")
	f.StringArrayVar(&claims, "claim", nil, "let in who has this claim alone, `CLAIM=VALUE`")
	f.StringArrayVar(&o.MFA, "mfa", nil, "count this `VALUE` of amr or acr as a second factor")
	f.BoolVar(&o.LinkByEmail, "link-by-email", false, "link at the first login to the user of the verified address")
	f.BoolVar(&o.AutoCreate, "auto-create", false, "make a user without any permission for who has none")
	f.BoolVar(&o.Delete, "delete", false, "forget the provider")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run shows, sets or forgets.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	switch {
	case o.Delete:
		if err := c.DeleteIdentityProvider(ctx); err != nil {
			return err
		}
		o.Env.Streams.Notef("the identity provider is forgotten")
		return nil
	case o.Issuer != "":
		var secret sensitive.Bytes
		if o.AskSecret {
			if secret, err = answers.From(o.Env.Streams).Ask(ctx, "client secret"); err != nil {
				return err
			}
		}
		if err := c.PutIdentityProvider(ctx, o.IdentityProvider, secret); err != nil {
			return err
		}
		o.Env.Streams.Notef("people sign in with: countersign login --oidc")
		return nil
	}
	p, err := c.GetIdentityProvider(ctx)
	if err != nil {
		return err
	}
	return table.JSON(o.Env.Streams.Out, p)
}
