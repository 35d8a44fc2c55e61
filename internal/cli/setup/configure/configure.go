// Package configure is the command "countersign configure".
package configure

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/settings"
	"countersign/internal/cli/table"
)

// Options of the command. Nil is not given; empty takes a setting away.
type Options struct {
	Env                                    *env.Env
	Address, CAFile, Region, Project, Name *string // Name is that of the environment
	JSON                                   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "configure",
		Short: "Show the settings in force, or set those of your configuration",
		Long: `Show the settings in force and where each is from, or set those of your
configuration: --address, --ca-file, --region, --default-project, --default-env.
An empty one is taken away.

A setting is that of the flag, or else of the environment (COUNTERSIGN_ADDR,
COUNTERSIGN_PROJECT, COUNTERSIGN_ENV), of .countersign.json or .sr.json in the
folder or above it, or of your configuration.

Columns when piped: setting, value, source.`,
		Example: `  countersign configure
  countersign configure --address https://secrets.example.com
  countersign configure --default-project backend-api --default-env dev`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for name, to := range map[string]**string{"address": &o.Address, "ca-file": &o.CAFile, "region": &o.Region,
				"default-project": &o.Project, "default-env": &o.Name} {
				if f := cmd.Flag(name); f != nil && f.Changed {
					v := f.Value.String()
					*to = &v
				}
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().String("default-project", "", "the project where none is named, by `NAME`")
	cmd.Flags().String("default-env", "", "the environment where none is named, by `NAME`")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run shows or sets.
func Run(ctx context.Context, o *Options) error {
	if o.Address == nil && o.CAFile == nil && o.Region == nil && o.Project == nil && o.Name == nil {
		return o.show()
	}
	if err := Set(ctx, o.Env, *o); err != nil {
		return err
	}
	store, err := o.Env.Store()
	if err != nil {
		return err
	}
	if o.JSON {
		return o.show()
	}
	o.Env.Streams.Notef("kept in %s", store.Path())
	return nil
}

// Set checks settings and keeps them in the user's configuration.
func Set(ctx context.Context, e *env.Env, o Options) error {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	r, err := e.Settings(settings.Flags{Project: text(o.Project), Env: text(o.Name)}) // the flags of all commands are added
	if err != nil {
		return err
	}
	if text(o.Address) != "" {
		if _, err := e.Connect(); err != nil { // such as plain HTTP to another machine
			return err
		}
		o.Address = &r.Address.Value // in its one spelling
	}
	if text(o.CAFile) != "" {
		abs, err := filepath.Abs(*o.CAFile)
		if err != nil {
			return fmt.Errorf("finding the certificates: %w", err)
		}
		o.CAFile = &abs
	}
	store, err := e.Store()
	if err != nil {
		return err
	}
	return store.Update(ctx, func(g *settings.Global) error {
		for _, s := range []struct{ to, from *string }{{&g.Address, o.Address}, {&g.CAFile, o.CAFile}, {&g.Region, o.Region},
			{&g.Project, o.Project}, {&g.Env, o.Name}} {
			if s.from != nil {
				*s.to = *s.from
			}
		}
		return nil
	})
}

type shown struct {
	Name   string `json:"setting"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

func (o *Options) show() error {
	r, err := o.Env.Settings(settings.Flags{})
	if err != nil {
		return err
	}
	var list []shown
	for _, s := range []struct {
		name string
		settings.Setting
	}{{"address", r.Address}, {"ca-file", r.CAFile}, {"region", r.Region}, {"project", r.Project}, {"env", r.Env}, {"file", r.File}} {
		list = append(list, shown{s.name, s.Value, s.From})
	}
	if s := r.Session(); s != nil {
		list = append(list, shown{"user", s.User, "session"})
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, list)
	}
	t := table.New(o.Env.Streams, "SETTING", "VALUE", "SOURCE")
	for _, s := range list {
		t.Row(s.Name, s.Value, s.Source)
	}
	return t.Flush()
}
