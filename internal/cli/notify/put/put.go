// Package put is the command "countersign notify put".
package put

import (
	"bytes"
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/table"
	"countersign/internal/client"
	"countersign/internal/sensitive"
)

// Options of the command. A list that is nil stays as it was.
type Options struct {
	Env        *env.Env
	Name       string
	Type       string
	Kinds      *[]string
	Names      *[]string
	To         *[]string
	URLFile    string // empty: asked for, or read from standard input, where one is needed
	SecretFile string
	Rotate     bool
	Reason     string
	JSON       bool
}

// needsURL says that a target is made that has one.
func (o *Options) needsURL() bool { return o.Type != "" && o.Type != "email" }

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var kinds, names, to []string
	cmd := &cobra.Command{
		Use:   "put NAME",
		Short: "Make or change a target, to which notices go",
		Long: `Make or change a target, to which notices go. A new one needs --type.

The URL is a secret: whoever has it can post there. It is read from --url-file,
from standard input when that is piped, or asked for without echo, and is never
shown again. It is asked for when --type is given, unless that is email.

A webhook is signed. Its key is printed this once, when the server makes it: for
a new webhook, and with --rotate, after which the key before signs too for 24
hours. "*" and "?" in --kind and --name stand for any text and any character;
what is not given stays as it was.`,
		Example: `  countersign notify put ops --type webhook --kind 'change.*' --name '*/production' < url
  countersign notify put team --type slack --url-file slack.url
  countersign notify put mail --type email --to audience --to security@example.com
  countersign notify put ops --rotate`,
		Args: env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			for flag, list := range map[string]struct {
				given []string
				into  **[]string
			}{"kind": {kinds, &o.Kinds}, "name": {names, &o.Names}, "to": {to, &o.To}} {
				if cmd.Flags().Changed(flag) {
					*list.into = &list.given
				}
			}
			if err := o.check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Type, "type", "", "what kind of target a new one is: webhook, slack, teams or email, a `TYPE`")
	f.StringArrayVar(&kinds, "kind", nil, "take notices of a `KIND`, such as change.proposed (default all)")
	f.StringArrayVar(&names, "name", nil, "take notices about names of a `PATTERN` (default all)")
	f.StringArrayVar(&to, "to", nil, "send mail to an `ADDRESS`, or to audience: the persons whom a notice concerns")
	f.StringVar(&o.URLFile, "url-file", "", "read the URL from a `FILE`, or from standard input with -")
	f.StringVar(&o.SecretFile, "secret-file", "", "sign with the key in a `FILE` instead of one that the server makes")
	f.BoolVar(&o.Rotate, "rotate", false, "make a new signing key")
	f.StringVarP(&o.Reason, "reason", "r", "", "`WHY`, for the record")
	env.JSON(cmd, &o.JSON)
	return cmd
}

func (o *Options) check() error {
	if err := env.Choice("type", o.Type, "webhook", "slack", "teams", "email"); err != nil {
		return err
	}
	switch {
	case o.Type == "email" && o.URLFile != "":
		return exit.Usagef("--url-file: mail has recipients and no URL; give --to")
	case o.Type == "email" && o.To == nil:
		return exit.Usagef("--to is missing: say who gets the mail")
	case o.To != nil && o.needsURL():
		return exit.Usagef("--to: only mail has recipients; --type is %s", o.Type)
	case o.Rotate && o.SecretFile != "":
		return exit.Usagef("--rotate excludes --secret-file")
	case o.SecretFile == "-":
		return exit.Usagef("--secret-file: give the name of a file")
	case o.Type == "" && o.Kinds == nil && o.Names == nil && o.To == nil && o.URLFile == "" && o.SecretFile == "" && !o.Rotate:
		return exit.Usagef("nothing to change; a new target needs --type")
	}
	return nil
}

// url reads the URL, without the line end that an editor leaves.
func (o *Options) url(ctx context.Context) (sensitive.Bytes, error) {
	s := o.Env.Streams
	var v sensitive.Bytes
	var err error
	switch {
	case o.URLFile == "" && !o.needsURL():
		return v, nil
	case o.URLFile == "" && s.InTerminal:
		v, err = s.Ask(ctx, "URL of "+o.Name)
	default:
		v, err = input.Value(ctx, s, input.Source{File: orStdin(o.URLFile), Trim: true})
	}
	if err != nil {
		return sensitive.Bytes{}, err
	}
	v = sensitive.New(bytes.TrimSpace(v.Reveal()))
	if v.Len() == 0 {
		return sensitive.Bytes{}, exit.Usagef("the URL is empty; nothing was done")
	}
	return v, nil
}

func orStdin(file string) string {
	if file == "" {
		return "-"
	}
	return file
}

// answer is a target as --json prints it.
type answer struct {
	client.NotifyTarget
	Secret string `json:"secret,omitempty"`
}

// Run puts the target.
func Run(ctx context.Context, o *Options) error {
	req := client.PutNotifyTarget{Type: o.Type, Kinds: o.Kinds, Names: o.Names, To: o.To, Rotate: o.Rotate, Reason: o.Reason}
	var err error
	if o.SecretFile != "" {
		if req.Secret, err = input.Value(ctx, o.Env.Streams, input.Source{File: o.SecretFile, Trim: true}); err != nil {
			return err
		}
	}
	if req.URL, err = o.url(ctx); err != nil {
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	t, err := c.PutNotifyTarget(ctx, o.Name, req)
	if err != nil {
		return err
	}
	if o.JSON {
		err = table.JSON(o.Env.Streams.Out, answer{t.NotifyTarget, string(t.Secret.Reveal())})
	} else if t.Secret.Len() > 0 {
		err = table.Fields(o.Env.Streams, "name", t.Name, "secret", string(t.Secret.Reveal()))
	}
	if err != nil {
		return err
	}
	o.Env.Streams.Notef("stored target %q; to try it: countersign notify test %s", t.Name, t.Name)
	if t.Secret.Len() > 0 {
		o.Env.Streams.Notef("warning: the signing key is shown this once")
	}
	return nil
}
