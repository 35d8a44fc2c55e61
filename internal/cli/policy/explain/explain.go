// Package explain is the command "countersign policy explain".
package explain

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/policy/words"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	ID   string
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "explain ID",
		Short: "Say why a request was denied",
		Long: `Say why a request was denied: who asked for what, which statement decided, and
what would have had to be different. ID is the decision id that the refused
caller was given. The one who was refused is told no more than that id, so this
needs a permission of its own.`,
		Example: `  countersign policy explain 01JD7Q3W6ZJ8Y2N4T5V6X7C8D9`,
		Args:    env.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run explains.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	r, err := c.Explain(ctx, o.ID)
	if err != nil {
		return err
	}
	s := o.Env.Streams
	if o.JSON {
		return table.JSON(s.Out, r)
	}
	for _, line := range sentences(r) {
		if _, err := fmt.Fprintln(s.Out, table.Clean(line)); err != nil {
			return err
		}
	}
	return nil
}

func sentences(r client.Record) []string {
	who := "Somebody without an identity"
	if p := r.Principal; p.Name != "" {
		who = fmt.Sprintf("%s %q", p.Kind, p.Name)
		if p.KeyID != "" {
			how := "with the access key"
			if p.Proof == "session" {
				how = "in the session"
			}
			who += fmt.Sprintf(" %s %s", how, p.KeyID)
		}
	}
	what := r.Operation
	if r.Resource != "" {
		what += fmt.Sprintf(" on %q", r.Resource)
	}
	from := ""
	if r.Source != "" {
		from = " from " + r.Source
	}
	out := []string{fmt.Sprintf("On %s %s asked for %s through %s%s.", r.Time.UTC().Format(time.RFC3339), who, what, r.Front, from)}
	if r.Decision == nil {
		return append(out, "The log holds no decision about it.")
	}
	return append(out, words.Decision(*r.Decision)...)
}
