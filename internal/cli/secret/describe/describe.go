// Package describe is the command "countersign describe".
package describe

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "describe NAME",
		Short: "Show everything about a secret but its value",
		Example: `  countersign describe myapp/database
  countersign describe myapp/database --json | jq .tags`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run shows.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	d, err := c.Describe(ctx, o.Name)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, d)
	}
	return table.Fields(o.Env.Streams, pairs(d)...)
}

// pairs are the names and values of a description.
func pairs(d client.Secret) []any {
	out := []any{"name", d.Name, "arn", d.ARN, "region", d.Region, "description", d.Description, "type", d.Type,
		"kms-key", d.KMSKey, "current-version", d.Current, "created", d.Created, "changed", d.Changed,
		"last-accessed", d.Accessed, "deleted", d.Deleted, "gone-at", d.Purge, "next-rotation", d.NextRotation,
		"primary-region", d.PrimaryRegion}
	for _, k := range slices.Sorted(maps.Keys(d.Tags)) {
		out = append(out, "tag", k+"="+d.Tags[k])
	}
	for _, id := range slices.Sorted(maps.Keys(d.Labels)) {
		out = append(out, "label", strings.Join(d.Labels[id], ",")+" on "+id)
	}
	if d.Schema {
		out = append(out, "schema", "yes")
	}
	for _, r := range d.Replicas {
		out = append(out, "replica", strings.TrimSpace(r.Region+" "+r.Status+" "+r.Message))
	}
	return out
}
