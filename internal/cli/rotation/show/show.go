// Package show is the command "countersign rotation show".
package show

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/streams"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env     *env.Env
	Name    string
	History bool
	JSON    bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show how a secret is rotated, and how that went",
		Long: `Show how a secret is rotated: its settings, what is under way, why the last
rotation failed, previous credentials that are yet to end, and when the next
rotation is.

With --history the last 25 rotations. Columns when piped: ended, result,
version, by, took, step that failed, class, why, what became of the previous
credential.`,
		Example: `  countersign rotation show myapp/database
  countersign rotation show myapp/database --history`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.History, "history", false, "list the rotations that are over")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run shows it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	st, err := c.Rotation(ctx, o.Name)
	if err != nil {
		return err
	}
	switch {
	case o.JSON:
		return table.JSON(o.Env.Streams.Out, st)
	case o.History:
		return history(o.Env.Streams, st)
	}
	return fields(o.Env.Streams, st)
}

func fields(s *streams.Streams, st client.RotationStatus) error {
	by := st.Function
	if by == "" {
		by = st.Rotator
	}
	when := st.Schedule
	if st.Days != 0 {
		when = fmt.Sprintf("%d days after the last", st.Days)
	}
	state := st.State
	if st.Overdue {
		state += ", overdue"
	}
	pairs := []any{"name", st.Name, "state", state, "rotator", by, "options", options(st.Options), "schedule", when, "enabled", st.Enabled,
		"window", st.Window, "jitter", st.Jitter, "blackout", st.Blackout, "grace", st.Grace, "readers", st.Readers, "deadline", st.Deadline,
		"last", st.Last, "next", st.Next, "window-closes", st.Closes}
	if r := st.Run; r != nil {
		pairs = append(pairs, "making-version", r.Version, "step", r.Step, "attempt", r.Attempt, "goes-on", r.Next)
		if r.Failure != nil {
			pairs = append(pairs, "failed-because", r.Failure.Step+": "+r.Failure.Message)
		}
	}
	if f := st.Failure; f != nil && st.Run == nil {
		pairs = append(pairs, "failed-at", f.Time, "failed-because", f.Step+": "+f.Message)
	}
	for _, e := range st.Retiring {
		text := fmt.Sprintf("version %d, with the next rotation", e.Version)
		if !e.At.IsZero() {
			text = fmt.Sprintf("version %d, after %s", e.Version, table.Time(s, e.At))
		}
		if e.Readers > 0 {
			text += fmt.Sprintf("; %d readers have not read the new one", e.Readers)
		}
		if e.Failure != nil {
			text += "; " + e.Failure.Message
		}
		pairs = append(pairs, "ends", text)
	}
	return table.Fields(s, pairs...)
}

func options(m map[string]string) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return out
}

func history(s *streams.Streams, st client.RotationStatus) error {
	t := table.New(s, "ENDED", "RESULT", "VERSION", "BY", "TOOK", "STEP", "CLASS", "WHY", "PREVIOUS")
	for _, h := range st.History {
		var f client.RotationFailure
		if h.Failure != nil {
			f = *h.Failure
		}
		by := h.By[strings.LastIndexByte(h.By, '/')+1:]
		if by == "" {
			by = "schedule"
		}
		t.Row(h.Ended, h.Result, h.Version, by, h.Ended.Sub(h.Began).String(), f.Step, f.Class, f.Message, h.Previous)
	}
	return t.Flush()
}
