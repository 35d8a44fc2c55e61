// Package dev is the command "countersign dev".
package dev

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
)

// Options of the command.
type Options struct {
	Env       *env.Env
	Dir       string
	Listen    string
	Demo      bool
	Functions []string // ARN=URL
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a server for trying things out, with everything in one folder",
		Long: `Run a server for trying things out, with everything in one folder, which is made
when absent and kept: start it again and everything is still there. It listens
on loopback only, without TLS.

DIR/env holds export lines that point this command line and the AWS clients of
a shell at the server. One line is printed to standard output when it is ready.

With --demo there are a project with two environments, a rule that protects one
of them, and three who share the work: alice, who proposes, bob, who approves,
and ci, a machine. DIR/alice.env and so on make a shell theirs.

With --function, rotations call the rotation function of that ARN at the URL, on
this machine, as AWS Lambda or its runtime interface emulator serves it. What
the function writes back counts as the rotator's when it comes from the user or
machine "rotator".`,
		Example: `  countersign dev
  countersign dev --demo
  countersign dev --dir sandbox --listen 127.0.0.1:9200
  . .countersign/env && countersign list`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Dir == "" {
				return exit.Usagef("--dir is empty: name a folder")
			}
			for _, f := range o.Functions {
				if arn, url, ok := strings.Cut(f, "="); !ok || arn == "" || url == "" {
					return exit.Usagef("--function is ARN=URL")
				}
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Dir, "dir", ".countersign", "the folder `DIR` for everything")
	cmd.Flags().BoolVar(&o.Demo, "demo", false, "prepare a project, a protection rule and people to try reviews with")
	cmd.Flags().StringVar(&o.Listen, "listen", "127.0.0.1:8200", "listen on this `ADDRESS`, a loopback one; port 0 takes a free one")
	cmd.Flags().StringArrayVar(&o.Functions, "function", nil, "call the rotation function at `ARN=URL`; repeat it for more")
	return cmd
}

// Run serves.
func Run(ctx context.Context, o *Options) error {
	if o.Env.Server.Dev == nil {
		return env.ErrNoServer
	}
	s := o.Env.Streams
	return o.Env.Server.Dev(ctx, env.DevOptions{Dir: o.Dir, Listen: o.Listen, Demo: o.Demo, Functions: o.Functions, Out: s.Out, Err: s.Err})
}
