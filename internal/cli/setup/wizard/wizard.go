// Package wizard is the command "countersign init".
package wizard

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/session/login"
	"countersign/internal/cli/settings"
	"countersign/internal/cli/setup/configure"
	"countersign/internal/client"
	"countersign/internal/errs"
)

// Options of the command.
type Options struct {
	Env       *env.Env
	Address   string // empty: the one in force
	User      string // to sign in as
	Project   string
	Name      string // of the environment
	Local     bool   // keep project and environment in the folder's file
	SkipLogin bool
	Yes       bool

	// use makes an address that was typed the one in force.
	use func(address string) error
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Set up this machine: server, sign-in, default project and environment",
		Long: `Set up this machine: which server, who you are, and which project and
environment commands are about when none is named. What no flag says is asked
for on a terminal; with --yes nothing is asked.

The address goes into your configuration. Project and environment go there too,
or with --local into .countersign.json of this folder, for everybody who works
in it. Where COUNTERSIGN_TOKEN or --token-file proves who you are, nobody signs
in.`,
		Example: `  countersign init
  countersign init --address https://secrets.example.com --user alice --default-project backend-api --default-env dev --local
  countersign init --yes --skip-login --default-project backend-api --default-env production`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f := cmd.Flag("address"); f != nil && f.Changed {
				o.Address = f.Value.String()
			}
			o.use = func(address string) error { return cmd.Flags().Set("address", address) }
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.User, "user", "", "sign in as a user, by `NAME`")
	f.StringVar(&o.Project, "default-project", "", "the project where none is named, by `NAME`")
	f.StringVar(&o.Name, "default-env", "", "the environment where none is named, by `NAME`")
	f.BoolVar(&o.Local, "local", false, "keep them in .countersign.json of this folder")
	f.BoolVar(&o.SkipLogin, "skip-login", false, "do not sign in, and do not ask the server whether they exist")
	f.BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	return cmd
}

// Run sets up.
func Run(ctx context.Context, o *Options) error {
	if !o.Yes && !o.Env.Streams.InTerminal {
		return exit.Usagef("there is nobody to ask: give --yes, and say what is not the default by flags")
	}
	if err := o.server(ctx); err != nil {
		return err
	}
	if !o.SkipLogin {
		if err := o.prove(ctx); err != nil {
			return err
		}
	}
	if err := o.defaults(ctx); err != nil {
		return err
	}
	return o.keep(ctx)
}

// ask takes an answer, or what stands in the brackets when it is empty.
func (o *Options) ask(ctx context.Context, question, otherwise string) (string, error) {
	if o.Yes {
		return otherwise, nil
	}
	if otherwise != "" {
		question += " [" + otherwise + "]"
	}
	answer, err := o.Env.Streams.Line(ctx, question)
	if answer == "" {
		answer = otherwise
	}
	return answer, err
}

// server finds out which server it is.
func (o *Options) server(ctx context.Context) error {
	if o.Address == "" {
		r, err := o.Env.Settings(settings.Flags{})
		if err != nil {
			return err
		}
		if o.Address, err = o.ask(ctx, "Address of the server", r.Address.Value); err != nil {
			return err
		}
		if err := o.use(o.Address); err != nil {
			return err
		}
	}
	return configure.Set(ctx, o.Env, configure.Options{Address: &o.Address})
}

// prove checks the token that is there, or signs in.
func (o *Options) prove(ctx context.Context) error {
	if o.User == "" {
		name, err := o.known(ctx)
		if err == nil {
			o.Env.Streams.Notef("the server knows you as %s", name)
			return nil
		}
		if !client.Is(err, errs.Unauthenticated) {
			return err
		}
		if o.Yes {
			return exit.Usagef("nobody is signed in: give --user with COUNTERSIGN_PASSWORD, set COUNTERSIGN_TOKEN, or give --skip-login")
		}
		if o.User, err = o.Env.Streams.Line(ctx, "User"); err != nil {
			return err
		}
	}
	return login.Run(ctx, &login.Options{Env: o.Env, User: o.User})
}

// known is who the server takes us for.
func (o *Options) known(ctx context.Context) (string, error) {
	c, err := o.Env.Connect()
	if err != nil {
		return "", err
	}
	d, err := c.WhoAmI(ctx)
	if err != nil {
		return "", err
	}
	var who struct{ Name string }
	if err := json.Unmarshal(d, &who); err != nil {
		return "", exit.With(exit.Failed, err)
	}
	return who.Name, nil
}

// defaults finds out the project and the environment; none is an answer too.
func (o *Options) defaults(ctx context.Context) (err error) {
	if o.SkipLogin {
		if o.Project, err = o.or(ctx, o.Project, "Default project"); err != nil {
			return err
		}
		o.Name, err = o.or(ctx, o.Name, "Default environment")
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	if o.Project == "" && !o.Yes {
		question := "Default project"
		if page, err := c.ListProjects(ctx, 20, ""); err == nil { // who may not list projects may know one
			var names []string
			for _, p := range page.Items {
				names = append(names, p.Name)
			}
			question += choices(names)
		}
		if o.Project, err = o.ask(ctx, question, ""); err != nil {
			return err
		}
	}
	if o.Project == "" {
		return nil
	}
	p, err := c.GetProject(ctx, o.Project)
	if client.Is(err, errs.NotFound) {
		return exit.With(exit.NotFound, errs.New(errs.NotFound, "there is no project %q", o.Project))
	}
	if err != nil {
		return err
	}
	return o.environment(ctx, p)
}

func (o *Options) environment(ctx context.Context, p client.Project) (err error) {
	var names []string
	for _, one := range p.Environments {
		names = append(names, one.Name)
	}
	if o.Name, err = o.or(ctx, o.Name, "Default environment"+choices(names)); err != nil || o.Name == "" {
		return err
	}
	for _, n := range names {
		if n == o.Name {
			return nil
		}
	}
	return exit.With(exit.NotFound, errs.New(errs.NotFound, "the project %q has no environment %q; there is %s", p.Name, o.Name, strings.Join(names, ", ")))
}

// or is an answer that was given, or is asked for.
func (o *Options) or(ctx context.Context, given, question string) (string, error) {
	if given != "" {
		return given, nil
	}
	return o.ask(ctx, question, "")
}

func choices(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// keep writes the defaults down.
func (o *Options) keep(ctx context.Context) (err error) {
	store, err := o.Env.Store()
	if err != nil {
		return err
	}
	o.Env.Streams.Notef("the server is kept in %s", store.Path())
	if o.Project == "" && o.Name == "" {
		return nil
	}
	if !o.Local && !o.Yes {
		if o.Local, err = o.Env.Streams.Confirm(ctx, "Keep project and environment in "+settings.LocalName+" of this folder, for all who work in it?"); err != nil {
			return err
		}
	}
	at := store.Path()
	if o.Local {
		at, err = settings.KeepLocal(".", o.Project, o.Name)
	} else {
		err = configure.Set(ctx, o.Env, configure.Options{Project: given(o.Project), Name: given(o.Name)})
	}
	if err != nil {
		return err
	}
	o.Env.Streams.Notef("project and environment are kept in %s", at)
	return nil
}

func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
