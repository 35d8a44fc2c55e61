// Package label is the command "countersign label".
package label

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Name   string
	Label  string
	To     string // version number or id
	Remove bool
	Reason string
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "label NAME LABEL",
		Short: "Move a label to another version of a secret, or take it off",
		Long: `Move a label to another version of a secret, put it on one, or take it off.

Moving AWSCURRENT makes that version the one that readers get, and moves
AWSPREVIOUS to the version that it leaves: this is how a change is rolled back.`,
		Example: `  countersign label myapp/database AWSCURRENT --to 3
  countersign label myapp/database golden --to 3
  countersign label myapp/database golden --remove`,
		Args:              env.Args("NAME", "LABEL"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name, o.Label = args[0], args[1]
			if (o.To == "") != o.Remove {
				return exit.Usagef("give either --to VERSION or --remove")
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.To, "to", "", "the `VERSION` to put the label on, by number or id")
	f.BoolVar(&o.Remove, "remove", false, "take the label off")
	f.StringVar(&o.Reason, "reason", "", "why, for the record: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run moves the label.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	r := client.LabelRequest{Label: o.Label, Reason: o.Reason}
	d, err := c.Describe(ctx, o.Name)
	if err != nil {
		return err
	}
	for id, labels := range d.Labels {
		for _, l := range labels {
			if l == o.Label {
				r.From = id
			}
		}
	}
	if o.Remove && r.From == "" {
		return exit.With(exit.NotFound, fmt.Errorf("no version of %q has the label %q", o.Name, o.Label))
	}
	if !o.Remove {
		if r.To, err = versionID(ctx, c, o.Name, o.To); err != nil {
			return err
		}
	}
	w, err := c.MoveLabel(ctx, o.Name, r)
	if err != nil {
		return err
	}
	s := o.Env.Streams
	switch {
	case o.JSON:
		return table.JSON(s.Out, w)
	case o.Env.Waits(w.Outcome()):
	case w.Change == "":
		s.Notef("nothing to change: the label is there already")
	case o.Remove:
		s.Notef("took %s off %q", o.Label, o.Name)
	default:
		s.Notef("%s of %q is now on version %s", o.Label, o.Name, o.To)
	}
	return nil
}

// versionID is the id of a version that is named by its number or id.
func versionID(ctx context.Context, c *client.Client, secret, version string) (string, error) {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil || len(version) > 20 {
		return version, nil
	}
	items, _, err := env.All(0, func(limit int, page string) (client.Page[client.Version], error) {
		return c.ListVersions(ctx, secret, true, limit, page)
	})
	if err != nil {
		return "", err
	}
	for _, v := range items {
		if v.Number == n {
			return v.ID, nil
		}
	}
	return "", exit.With(exit.NotFound, fmt.Errorf("%q has no version %d", secret, n))
}
