// Package delete is the command "countersign delete".
package delete

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/cli/when"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	client.DeleteOptions
	Versions []uint64 // only these; empty: the secret
	JSON     bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var window string
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Mark a secret for deletion, or delete it at once",
		Long: `Mark a secret for deletion. Until the window is over it cannot be read, and
"countersign restore NAME" brings it back. With --force it is gone at once, with
all its versions, and cannot be brought back.

With --version only that version is deleted: it keeps its number and labels,
reads as if it were not there, and can be brought back with "countersign restore
NAME --version N". With --force its value is destroyed for good. No older
version becomes the current one by it.`,
		Example: `  countersign delete myapp/database
  countersign delete myapp/database --window 7d --reason "service retired"
  countersign delete scratch/test --force
  countersign delete myapp/database --version 3
  countersign delete myapp/database --version 1,2 --force --reason "leaked"`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if window != "" && o.Force {
				return exit.Usagef("--force excludes --window")
			}
			if window != "" && len(o.Versions) > 0 {
				return exit.Usagef("--version excludes --window: a version can be restored as long as it is kept")
			}
			if window != "" {
				d, err := when.Duration(window)
				if err != nil || d%(24*time.Hour) != 0 {
					return exit.Usagef("--window: %q is no number of days; give 7d to 30d", window)
				}
				o.Window = int(d / (24 * time.Hour))
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&window, "window", "", "how `LONG` it can be restored: 7d to 30d (default 30d)")
	env.Versions(cmd, &o.Versions, "only the version with this `NUMBER`; repeat it for more")
	f.BoolVar(&o.Force, "force", false, "delete at once and for good")
	f.StringVar(&o.Reason, "reason", "", "why, for the record: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run deletes.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	if len(o.Versions) > 0 {
		return o.versions(ctx, c)
	}
	d, err := c.Delete(ctx, o.Name, o.DeleteOptions)
	if err != nil {
		return err
	}
	s := o.Env.Streams
	switch {
	case o.JSON:
		return table.JSON(s.Out, d)
	case o.Env.Waits(d.Outcome()):
	case o.Force:
		s.Notef("deleted %q for good", o.Name)
	default:
		s.Notef("%q is gone for good on %s; until then: countersign restore %s", o.Name, d.Purge.Local().Format(time.DateTime), o.Name)
	}
	return nil
}

// versions deletes single versions, or with Force destroys them.
func (o *Options) versions(ctx context.Context, c *client.Client) error {
	w, err := c.DeleteVersions(ctx, o.Name, o.Versions, o.Force, o.Reason)
	if err != nil {
		return err
	}
	s, which := o.Env.Streams, env.Spell(o.Versions)
	switch {
	case o.JSON:
		return table.JSON(s.Out, w)
	case w.Change == "":
		s.Notef("%q has no %s that is not gone already", o.Name, which)
	case o.Env.Waits(w.Outcome()):
	case o.Force:
		s.Notef("destroyed %s of %q for good", which, o.Name)
	default:
		s.Notef("deleted %s of %q; it can be restored: countersign restore --help", which, o.Name)
	}
	return nil
}
