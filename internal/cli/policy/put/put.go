// Package put is the command "countersign policy put".
package put

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/input"
)

// Options of the command.
type Options struct {
	Env         *env.Env
	Name        string
	File        string // empty and "-": standard input
	Description string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "put NAME",
		Short: "Create or replace a policy",
		Long: `Create or replace a policy: an IAM JSON document, or paths and capabilities as
Vault has them, in HCL or as JSON. Which one it is follows from the text. It
counts from the next request on for everybody that it is attached to. A document
with an error is refused, and the one that was there stays.`,
		Example: `  countersign policy put read-myapp --file read-myapp.json
  countersign policy put read-shop --file read-shop.hcl
  countersign policy get read-myapp | sed s/myapp/shop/ | countersign policy put read-shop`,
		Args: env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.File, "file", "f", "", "read the document from a `FILE` (default standard input)")
	cmd.Flags().StringVar(&o.Description, "description", "", "what the policy is for, a `TEXT`")
	return cmd
}

// Run stores the policy.
func Run(ctx context.Context, o *Options) error {
	document, err := input.Document(o.Env.Streams, o.File)
	if err != nil {
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	p, err := c.PutPolicy(ctx, o.Name, document, o.Description)
	if err != nil {
		return err
	}
	o.Env.Told(p.Outcome(), "stored policy %q", o.Name)
	return nil
}
