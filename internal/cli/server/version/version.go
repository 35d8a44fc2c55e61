// Package version is the command "countersign version".
package version

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
)

// Info is what is known of this program.
type Info struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source
	Time     string `json:"time,omitempty"`     // of the revision
	Modified bool   `json:"modified,omitempty"` // the source had changes beside it
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Read is what the build knows of itself. version is what the linker was told,
// or empty.
func Read(version string) Info {
	i := Info{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	b, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range b.Settings {
			switch s.Key {
			case "vcs.revision":
				i.Revision = s.Value
			case "vcs.time":
				i.Time = s.Value
			case "vcs.modified":
				i.Modified = s.Value == "true"
			}
		}
		if i.Version == "" && b.Main.Version != "(devel)" {
			i.Version = b.Main.Version
		}
	}
	if i.Version == "" {
		i.Version = "development"
	}
	return i
}

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
		Use:   "version",
		Short: "Show the version of this program",
		Example: `  countersign version
  countersign version --json | jq -r .revision`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run prints.
func Run(_ context.Context, o *Options) error {
	i := Read(o.Env.Version)
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, i)
	}
	_, err := fmt.Fprintf(o.Env.Streams.Out, "countersign %s (%s, %s)\n", i.Version, i.Go, i.Platform)
	return err
}
