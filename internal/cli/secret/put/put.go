// Package put is the command "countersign put".
package put

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/object"
	"countersign/internal/cli/table"
	"countersign/internal/client"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Options of the command.
type Options struct {
	Env      *env.Env
	Name     string
	Source   input.Source
	Generate int    // length of a password to generate instead of reading one
	Key      string // set this key of a JSON object; empty for the whole value
	Base     uint64
	Labels   []string
	Reason   string
	Binary   bool
	Existing bool // refuse to create

	New         bool // refuse to replace; what follows needs it
	Description string
	KMSKey      string
	Tags        []string
	JSON        bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "put NAME",
		Short: "Store a value as the new current version of a secret",
		Long: `Store a value as the new current version of a secret, which is created when it
is absent.

The value is read from standard input when that is piped, from --file, or asked
for on the terminal, twice and without echo. It is never an argument, which
other processes could read. Bytes are kept as they are; --trim drops one line
end at the end.

With --key one key of a JSON object is set and the others stay. When somebody
else changes another key at the same time, both changes are kept; when it is the
same key, the command ends with exit code 5 and nothing is changed.`,
		Example: `  countersign put myapp/database --file database.json
  printf %s "$PASSWORD" | countersign put myapp/password
  countersign put myapp/database --key password
  countersign put myapp/session-key --generate 48
  countersign put myapp/api --new --description "payment provider" --tag team=shop`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if err := o.check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Source.File, "file", "f", "", "read the value from a `FILE`; - is standard input")
	f.BoolVar(&o.Source.Trim, "trim", false, "drop one line end at the end of the value")
	f.IntVar(&o.Generate, "generate", 0, "let the server generate a password of this `LENGTH`")
	f.StringVar(&o.Key, "key", "", "set one `KEY` of a JSON object and keep the others")
	f.Uint64Var(&o.Base, "base", 0, "the `VERSION` that the value was made from; refused when another change conflicts")
	f.StringArrayVar(&o.Labels, "label", nil, "put this `LABEL` on the version instead of AWSCURRENT; the secret must exist")
	f.StringVar(&o.Reason, "reason", "", "why, for the record: a `TEXT` without secrets")
	f.BoolVar(&o.Binary, "binary", false, "keep the value as bytes even when it is text")
	f.BoolVar(&o.Existing, "existing", false, "refuse to create the secret")
	f.BoolVar(&o.New, "new", false, "refuse to replace a secret that exists")
	f.StringVar(&o.Description, "description", "", "with --new: what the secret is, a `TEXT`")
	f.StringArrayVar(&o.Tags, "tag", nil, "with --new: set a tag, `KEY=VALUE`")
	f.StringVar(&o.KMSKey, "kms-key", "", "with --new: the `KEY` that is to protect it")
	env.JSON(cmd, &o.JSON)
	return cmd
}

func (o *Options) check() error {
	if _, err := input.Pairs("--tag", o.Tags); err != nil {
		return err
	}
	describes := o.Description != "" || o.KMSKey != "" || len(o.Tags) > 0
	switch {
	case describes && !o.New:
		return exit.Usagef("--description, --tag and --kms-key are for a secret that is created; give --new")
	case o.New && (o.Existing || o.Base != 0 || len(o.Labels) > 0):
		return exit.Usagef("--new excludes --existing, --base and --label")
	case o.Generate < 0 || o.Generate > 4096:
		return exit.Usagef("--generate: a password has 1 to 4096 characters")
	case o.Generate > 0 && (o.Source.File != "" || o.Source.Trim || o.Binary):
		return exit.Usagef("--generate excludes --file, --trim and --binary")
	case o.Key != "" && (o.Base != 0 || o.Binary || len(o.Labels) > 0):
		return exit.Usagef("--key excludes --base, --binary and --label")
	}
	return nil
}

// Run reads the value and stores it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	value, err := o.value(ctx, c)
	if err != nil {
		return err
	}
	var w client.Written
	switch {
	case o.Key != "":
		w, err = o.setKey(ctx, c, value)
	case o.New:
		w, err = o.create(ctx, c, o.payload(value))
	default:
		w, err = c.PutValue(ctx, o.Name, client.PutRequest{Value: o.payload(value), Base: o.Base, Labels: o.Labels,
			Reason: o.Reason, Create: !o.Existing && o.Base == 0 && len(o.Labels) == 0})
	}
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, w)
	}
	if w.Change == "" {
		o.Env.Streams.Notef("nothing to change: version %d of %q holds this value already", w.Version, o.Name)
	} else {
		o.Env.Told(w.Outcome(), "stored version %d of %q", w.Version, o.Name)
	}
	return nil
}

func (o *Options) value(ctx context.Context, c *client.Client) (sensitive.Bytes, error) {
	if o.Generate > 0 {
		return c.RandomPassword(ctx, client.PasswordRequest{Length: o.Generate})
	}
	src := o.Source
	src.What = fmt.Sprintf("value of %s", o.Name)
	if o.Key != "" {
		src.What = fmt.Sprintf("value of %s in %s", o.Key, o.Name)
	}
	return input.Value(ctx, o.Env.Streams, src)
}

func (o *Options) payload(value sensitive.Bytes) client.Payload {
	p := client.NewPayload(value)
	p.Binary = p.Binary || o.Binary
	return p
}

func (o *Options) create(ctx context.Context, c *client.Client, p client.Payload) (client.Written, error) {
	tags, err := input.Pairs("--tag", o.Tags)
	if err != nil {
		return client.Written{}, err
	}
	return c.Create(ctx, client.CreateRequest{Name: o.Name, Value: &p, Description: o.Description, KMSKey: o.KMSKey,
		Tags: tags, Reason: o.Reason})
}

// setKey stores the current object with one key changed, and says which version
// it was made from, so that the server can merge what others change meanwhile.
func (o *Options) setKey(ctx context.Context, c *client.Client, value sensitive.Bytes) (client.Written, error) {
	var none client.Written
	var current client.Value
	var err error
	if !o.New {
		current, err = c.ReadValue(ctx, o.Name, client.Which{})
	}
	absent := o.New || client.Is(err, errs.NotFound)
	switch {
	case absent && o.Existing:
		return none, err
	case err != nil && !absent:
		return none, err
	case current.Binary:
		return none, exit.Usagef("the value of %q is bytes, so it has no keys", o.Name)
	}
	payload := client.NewPayload(value)
	if payload.Binary {
		return none, exit.Usagef("the value of a key is text, and this is none")
	}
	b, err := object.Set(current.Data.Reveal(), o.Key, value.Reveal())
	if err != nil {
		return none, exit.Usagef("%q: %w, so it has no keys", o.Name, err)
	}
	p := client.Payload{Data: sensitive.New(b)}
	if absent {
		return o.create(ctx, c, p)
	}
	return c.PutValue(ctx, o.Name, client.PutRequest{Value: p, Base: current.Version, Reason: o.Reason})
}
