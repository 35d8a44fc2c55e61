// Package list is the command "countersign audit device list".
package list

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the audit devices, and how they fare",
		Long: `List the audit devices, and how they fare.

Columns when piped: name, type, options, state, how long the oldest record that
it has not written has waited, when it last wrote, why it is failing.`,
		Example: `  countersign audit device list`,
		Args:    env.Args(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, err := c.AuditDevices(ctx)
	if err != nil {
		return err
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"NAME", "TYPE", "OPTIONS", "STATE", "BEHIND", "WRITTEN", "FAILS WITH"}, func(i client.AuditDevice) []any {
		options := []string{}
		for _, k := range slices.Sorted(maps.Keys(i.Options)) {
			options = append(options, k+"="+i.Options[k])
		}
		behind := ""
		if i.Behind > 0 {
			behind = (time.Duration(i.Behind) * time.Millisecond).Round(time.Second).String()
		}
		return []any{i.Name, i.Type, options, i.State, behind, i.Written, table.Alarm(i.Why)}
	})
}
