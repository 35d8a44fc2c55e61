// Package status is the command "countersign status".
package status

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/render"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/cli/when"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env *env.Env
	which.Change
	Limit int
	JSON  bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "List the changes that wait, or show how far one has come",
		Long: `List the changes that wait for review or for their time: all that you may see,
or those of a project or an environment. With --id, show how far one change has
come. How the server is doing says "countersign server status".

Columns when piped: id, status, project or name, proposed, author, reason.`,
		Example: `  countersign status
  countersign status -p backend-api -e production
  countersign status --id 01KB2Y6V8M --json | jq -r .status`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.ID != "" && (o.Project != "" || o.Flags.Env != "" || o.Limit != 0) {
				return exit.Usagef("--id names the change alone")
			}
			return run(cmd.Context(), o)
		},
	}
	o.AddID(e, cmd)
	o.Flags.Add(e, cmd)
	cmd.Flags().IntVar(&o.Limit, "limit", 0, "at most `N` changes (default all)")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	if o.ID != "" {
		return o.one(ctx, c)
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
	if o.Env.Streams.OutTerminal {
		return o.show(items, names)
	}
	t := table.New(o.Env.Streams, "ID", "STATUS", "OF", "PROPOSED", "AUTHOR", "REASON")
	for _, x := range items {
		t.Row(x.Short, x.Status, names.Of(x), x.Time, render.Who(x.Author), x.Reason)
	}
	return t.Flush()
}

func (o *Options) one(ctx context.Context, c *client.Client) error {
	r, err := c.GetChange(ctx, o.ID)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, r)
	}
	p := render.Printer{Streams: o.Env.Streams, Names: which.Known(ctx, c), Now: o.Env.Time()}
	if err := p.Header(r); err != nil {
		return err
	}
	p.Keys(r)
	return nil
}

func (o *Options) list(ctx context.Context, c *client.Client) (items []client.Change, more bool, err error) {
	if o.Project == "" && o.Flags.Env == "" {
		return o.waiting(ctx, c, "")
	}
	places, err := o.All(ctx, o.Env, c)
	if err != nil {
		return nil, false, err
	}
	for _, p := range places {
		some, rest, err := o.waiting(ctx, c, p.Secret)
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

func (o *Options) waiting(ctx context.Context, c *client.Client, name string) ([]client.Change, bool, error) {
	return env.All(o.Limit, func(limit int, page string) (client.Page[client.Change], error) {
		return c.ListChanges(ctx, client.ChangeList{Name: name, Statuses: []string{client.Pending, client.Conflicted, client.Approved}, Limit: limit, Page: page})
	})
}

// quick is for how many changes commands to copy are shown.
const quick = 5

// show prints a table for people, with what to do next.
func (o *Options) show(items []client.Change, names which.Names) error {
	w := bufio.NewWriter(o.Env.Streams.Out)
	fmt.Fprintf(w, "%s\n", render.Number(len(items), "pending change"))
	if err := w.Flush(); err != nil || len(items) == 0 {
		return err
	}
	fmt.Fprintln(w)
	w.Flush()
	t := table.New(o.Env.Streams, "ID", "STATUS", "PROJECT", "PROPOSED", "BY", "REASON")
	for _, x := range items {
		t.Row(x.Short, x.Status, names.Of(x), when.Ago(x.Time, o.Env.Time()), render.Who(x.Author), x.Reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nQuick actions:\n")
	for _, x := range items[:min(quick, len(items))] {
		fmt.Fprintf(w, "  countersign approve --id %s\n  countersign review --id %s\n", x.Short, x.Short)
	}
	return w.Flush()
}
