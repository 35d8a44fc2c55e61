// Package add is the command "countersign user ssh-key add".
package add

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/table"
	"countersign/internal/errs"
	"countersign/internal/sshsig"
)

// Options of the command.
type Options struct {
	Env   *env.Env
	Name  string
	File  string // empty and "-": standard input
	Label string // default: the comment of the key
	JSON  bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Register an SSH public key of a user",
		Long: `Register an SSH public key of a user, by which signed approvals of changes are
proved. The file is the .pub one, a line of text; a private key is refused
before anything is sent.`,
		Example: `  countersign user ssh-key add alice --file ~/.ssh/id_ed25519.pub
  ssh-add -L | grep work | countersign user ssh-key add alice --label work`,
		Args: env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.File, "file", "f", "", "read the public key from a `FILE` (default standard input)")
	cmd.Flags().StringVar(&o.Label, "label", "", "what to call it, a `TEXT` (default the comment in the file)")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run registers the key.
func Run(ctx context.Context, o *Options) error {
	line, err := input.Document(o.Env.Streams, o.File)
	if err != nil {
		return err
	}
	pub, err := sshsig.ParsePublicKey(line)
	if err != nil {
		return exit.Usagef("%s", errs.As(err).Msg)
	}
	if fields := strings.Fields(line); o.Label == "" && len(fields) > 2 {
		o.Label = strings.Join(fields[2:], " ")
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	key, err := c.AddSSHKey(ctx, o.Name, pub.String(), o.Label)
	if err != nil {
		return err
	}
	if o.JSON {
		o.Env.Waits(key.Outcome())
		return table.JSON(o.Env.Streams.Out, key)
	}
	o.Env.Told(key.Outcome(), "registered %s of %q", key.Fingerprint, o.Name)
	return nil
}
