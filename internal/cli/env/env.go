// Package env is what every command finds around it: its streams, the way to a
// server, the server's own functions, and the time.
//
// Commands get an *Env when they are made and keep it as a field of their
// options; they reach for nothing else, so that a test gives them a server in
// memory and buffers.
package env

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/exit"
	"countersign/internal/cli/settings"
	"countersign/internal/cli/streams"
	"countersign/internal/client"
)

// Env is what a run of the command line has.
type Env struct {
	Streams *streams.Streams
	// Connect makes the client that the flags and the environment ask for. It
	// opens no connection.
	Connect func() (*client.Client, error)
	// SignIn makes the client that asks as nobody, with the place where the
	// session is kept.
	SignIn func() (SignIn, error)
	// Settings are what is in force: of a command's flags, the environment, the
	// project's file and the user's. The flags that all commands have are added.
	Settings func(settings.Flags) (settings.Resolved, error)
	// Store is the place of the user's configuration.
	Store   func() (settings.Store, error)
	Getenv  func(string) string // of the few commands that read a variable of their own
	Server  ServerSide
	Version string
	Now     func() time.Time // default time.Now
}

// SignIn is what signing in and out needs.
type SignIn struct {
	Client *client.Client // without credentials
	Store  settings.Store
	Global settings.Global // what Store held
}

// Variable is a variable of the environment.
func (e *Env) Variable(name string) string {
	if e.Getenv == nil {
		return ""
	}
	return e.Getenv(name)
}

// Time is the present time.
func (e *Env) Time() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// Group makes a command that only holds others.
func Group(use, short, example string, sub ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example}
	Hold(c)
	c.AddCommand(sub...)
	return c
}

// Hold makes a command one that only holds others. Called alone it shows its
// help; with a word that none of them has, it is a usage error.
func Hold(c *cobra.Command) {
	c.Args = cobra.ArbitraryArgs
	c.SuggestionsMinimumDistance = 2
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return exit.Usagef("unknown command %q; did you mean %q?", args[0], cmd.CommandPath()+" "+near[0])
		}
		return exit.Usagef("unknown command %q; see %q", args[0], cmd.CommandPath()+" --help")
	}
}

// Args asks for exactly these arguments, by name.
func Args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return exit.Usagef("%s is missing; see %q", names[len(args)], cmd.CommandPath()+" --help")
		case len(args) > len(names):
			return tooMany(cmd, args[len(names)])
		}
		return nil
	}
}

// AtLeast asks for the named arguments, of which the last may be repeated.
func AtLeast(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return exit.Usagef("%s is missing; see %q", names[len(args)], cmd.CommandPath()+" --help")
		}
		return nil
	}
}

// AtMost allows up to n arguments.
func AtMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return tooMany(cmd, args[n])
		}
		return nil
	}
}

// tooMany does not repeat what follows "put NAME": it could be a value that
// somebody typed there by mistake.
func tooMany(cmd *cobra.Command, arg string) error {
	if cmd.Name() == "put" {
		return exit.Usagef("too many arguments; a value is never an argument, where other processes could read it; see %q", cmd.CommandPath()+" --help")
	}
	return exit.Usagef("unexpected argument %q; see %q", arg, cmd.CommandPath()+" --help")
}

// JSON adds the flag that asks for JSON.
func JSON(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "json", false, "print JSON")
}

// completionTime bounds what a shell waits for a completion.
const completionTime = time.Second

// maxCompletions bounds how many names are offered.
const maxCompletions = 200

// Complete asks the server for what a shell offers, and offers nothing when that
// fails.
func (e *Env) Complete(ask func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	c, err := e.Connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(context.Background()), completionTime)
	defer cancel()
	names, err := ask(ctx, c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// SecretNames completes the first argument with names of secrets. It asks for
// one page.
func (e *Env) SecretNames(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return e.Complete(func(ctx context.Context, c *client.Client) (names []string, err error) {
		page, err := c.ListSecrets(ctx, client.ListOptions{Prefix: toComplete, Sort: "name", Limit: maxCompletions})
		for _, s := range page.Items {
			names = append(names, s.Name)
		}
		return names, err
	})
}

// Choice checks that a flag's value is one of a few.
func Choice(flag, value string, allowed ...string) error {
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	return exit.Usagef("--%s: %q is none of %s", flag, value, strings.Join(allowed, ", "))
}

// All follows the pages of a listing, up to limit items; 0 is no limit. more
// tells that the limit cut it.
func All[T any](limit int, page func(limit int, page string) (client.Page[T], error)) (items []T, more bool, err error) {
	const most = 100 // of one page
	next := ""
	for {
		want := most
		if limit > 0 {
			want = min(most, limit-len(items))
		}
		p, err := page(want, next)
		if err != nil {
			return nil, false, err
		}
		items = append(items, p.Items...)
		switch {
		case limit > 0 && len(items) >= limit:
			return items[:limit], p.Next != "" || len(items) > limit, nil
		case p.Next == "":
			return items, false, nil
		case p.Next == next:
			return nil, false, fmt.Errorf("listing: the server repeats a page")
		}
		next = p.Next
	}
}
