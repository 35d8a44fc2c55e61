// Package update is the command "countersign update".
package update

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	client.UpdateRequest
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var description, kmsKey string
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Change the description or the key of a secret, not its value",
		Example: `  countersign update myapp/database --description "orders, primary"
  countersign update myapp/database --description ""`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if cmd.Flags().Changed("description") {
				o.Description = &description
			}
			if cmd.Flags().Changed("kms-key") {
				o.KMSKey = &kmsKey
			}
			if o.Description == nil && o.KMSKey == nil {
				return exit.Usagef("nothing to change; give --description or --kms-key")
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&description, "description", "", "what the secret is, a `TEXT`; empty for none")
	f.StringVar(&kmsKey, "kms-key", "", "the `KEY` that is to protect it")
	f.StringVar(&o.Reason, "reason", "", "why, for the record: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run changes it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	w, err := c.Update(ctx, o.Name, o.UpdateRequest)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, w)
	}
	o.Env.Told(w.Outcome(), "changed %q", o.Name)
	return nil
}
