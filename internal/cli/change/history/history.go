// Package history is the command "countersign history".
package history

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/render"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/cli/when"
	"countersign/internal/client"
	"countersign/internal/errs"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string // of a secret; empty for what is in force
	which.Flags
	All    bool
	Status []string
	Author string
	Since  time.Time
	Limit  int
	JSON   bool
}

// statuses are those that --status takes.
var statuses = []string{client.Draft, client.Pending, client.Conflicted, client.Approved, client.Applied, client.Rejected, client.Withdrawn, client.Expired}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var since string
	cmd := &cobra.Command{
		Use:   "history [NAME]",
		Short: "List who changed what, when and why, newest first",
		Long: `List who changed what, when and why, newest first: the changes of the
environment in force, of the project with --project alone, of the secret NAME,
or all of them with --all. They are changes of values and of everything else
about a secret, by whichever client they were made.

Columns when piped: id, time, status, project or name, operation, version
before, version after, keys of a JSON object that differ, author, reason.`,
		Example: `  countersign history
  countersign history myapp/database --limit 1 --json | jq -r '.[0].reason'
  countersign history --all --status pending --since 30d
  countersign history -p backend-api -e production --author alice`,
		Args:              env.AtMost(1),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 1 {
				o.Name = args[0]
			}
			if o.All && (o.Name != "" || o.Flags.Env != "") {
				return exit.Usagef("--all excludes NAME and --env")
			}
			for _, s := range o.Status {
				if err := env.Choice("status", s, statuses...); err != nil {
					return err
				}
			}
			if since != "" {
				if o.Since, err = when.Past(since, e.Time()); err != nil {
					return exit.Usagef("--since: %w", err)
				}
			}
			return run(cmd.Context(), o)
		},
	}
	o.Flags.Add(e, cmd)
	f := cmd.Flags()
	f.BoolVar(&o.All, "all", false, "of all projects and secrets, or with --project of all its environments")
	f.StringSliceVar(&o.Status, "status", nil, "only those in a `STATE`: "+strings.Join(statuses, ", "))
	f.StringVar(&o.Author, "author", "", "only those of a user or machine, by `NAME`")
	f.StringVar(&since, "since", "", "only those made since a `TIME`: 1h, 30d, 2026-11-23")
	f.IntVar(&o.Limit, "limit", 0, "at most `N` changes (default all)")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, more, err := o.list(ctx, c)
	if err != nil {
		return err
	}
	if more {
		defer o.Env.Streams.Notef("there are more; raise --limit")
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, append([]client.Change{}, items...))
	}
	names := which.Known(ctx, c)
	t := table.New(o.Env.Streams, "ID", "TIME", "STATUS", "PROJECT", "OPERATION", "FROM", "TO", "KEYS", "AUTHOR", "REASON")
	for _, h := range items {
		t.Row(cmp.Or(h.Short, h.ID), h.Time, h.Status, names.Of(h), h.Operation, h.Base, h.Version, h.Keys, render.Who(h.Author), h.Reason)
	}
	return t.Flush()
}

func (o *Options) list(ctx context.Context, c *client.Client) (items []client.Change, more bool, err error) {
	if o.All && o.Project == "" {
		return o.changes(ctx, c, which.Place{})
	}
	places, err := o.places(ctx, c)
	if err != nil {
		return nil, false, err
	}
	for _, p := range places {
		some, rest, err := o.changes(ctx, c, p)
		if err != nil {
			return nil, false, err
		}
		items, more = append(items, some...), more || rest
	}
	slices.SortFunc(items, func(a, b client.Change) int { return strings.Compare(b.ID, a.ID) }) // ids are in the order of time
	if o.Limit > 0 && len(items) > o.Limit {
		items, more = items[:o.Limit], true
	}
	return items, more, nil
}

func (o *Options) places(ctx context.Context, c *client.Client) ([]which.Place, error) {
	if o.Name == "" {
		return o.Flags.All(ctx, o.Env, c)
	}
	p, err := o.Find(ctx, o.Env, c, o.Name)
	return []which.Place{p}, err
}

// changes lists those of one secret, or all. Those of one secret take only the
// permission to read it, unless something is selected. A secret that was only
// proposed does not exist yet.
func (o *Options) changes(ctx context.Context, c *client.Client, p which.Place) ([]client.Change, bool, error) {
	name := p.Secret
	if name != "" && len(o.Status) == 0 && o.Author == "" && o.Since.IsZero() {
		items, more, err := env.All(o.Limit, func(limit int, page string) (client.Page[client.Change], error) {
			return c.SecretChanges(ctx, name, limit, page)
		})
		if !client.Is(err, errs.NotFound) || p.Project == "" {
			return items, more, err
		}
	}
	return env.All(o.Limit, func(limit int, page string) (client.Page[client.Change], error) {
		return c.ListChanges(ctx, client.ChangeList{Name: name, Statuses: o.Status, Author: o.Author, Since: o.Since, Limit: limit, Page: page})
	})
}
