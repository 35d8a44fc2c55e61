// Command bench measures what the design promises about speed, and says
// whether it holds.
//
// Everything runs on this machine in one go: a bare net/http server that
// answers 300 bytes of JSON, the real server binary over a store of 100,000
// secrets, and the engine alone. Each is a process of its own on one core with
// GOMAXPROCS=1, and the load generator has another core. The generator sends
// prepared bytes over keep-alive connections and looks for no more than the end
// of the answer.
//
// The figure to trust on a machine that does other things is the server's
// processor time by request, read from /proc. Loads that are compared take
// turns, ratios are taken within a turn, and the median of the turns counts.
//
// It needs Linux, and the binary that "make build" makes:
//
//	go run . [-out FILE] [-markdown] [-server BINARY] [-dir FOLDER] [-profile FILE [-load LOAD]]
//
// It exits with 1 when something could not be measured, and with 3 when a
// budget is not held.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Exit codes.
const (
	exitFailed = 1
	exitBudget = 3
)

var errBudget = errors.New("a budget is not held")

func main() {
	ctx := context.Background()
	var err error
	if len(os.Args) > 2 && os.Args[1] == "child" {
		err = child(ctx, os.Args[2:])
	} else {
		err = run(ctx, os.Args[1:])
	}
	switch {
	case errors.Is(err, errBudget):
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(exitBudget)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(exitFailed)
	}
}

type options struct {
	out, server, dir, profile string
	only                      string
	load                      string
	conns                     int
	markdown                  bool
	secrets, rounds, tokens   int
	each                      time.Duration
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.out, "out", "", "write the figures to this file, as JSON")
	flags.StringVar(&o.server, "server", filepath.Join("..", "..", "build", "countersign"), "the server's binary; empty: this program serves, with the same code")
	flags.StringVar(&o.dir, "dir", "", "keep the stores in a new folder under this one (default the system's for temporary files)")
	flags.StringVar(&o.profile, "profile", "", "instead, profile the server under -load, into this file")
	flags.StringVar(&o.load, "load", "signed", "what to profile: signed or token reads, or puts")
	flags.StringVar(&o.only, "only", "", "measure only one part, by the word that it begins with: starting, reading, writing, rotating, ...")
	flags.IntVar(&o.conns, "connections", 16, "with how many connections to profile")
	flags.BoolVar(&o.markdown, "markdown", false, "print the tables as Markdown")
	flags.IntVar(&o.secrets, "secrets", 100_000, "how many secrets the store holds")
	flags.IntVar(&o.tokens, "tokens", 1_000_000, "how many live Vault tokens a second store holds; 0: none is made")
	flags.IntVar(&o.rounds, "rounds", 5, "how many turns each load takes")
	flags.DurationVar(&o.each, "each", 600*time.Millisecond, "how long a turn of a load is")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.secrets < spread || o.rounds < 1 || o.each < 50*time.Millisecond {
		return fmt.Errorf("at least %d secrets, one turn and 50ms are needed", spread)
	}
	dir, err := os.MkdirTemp(o.dir, "countersign-bench-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	b, err := prepare(ctx, o, dir)
	if err != nil {
		return err
	}
	if o.profile != "" {
		return b.profile(ctx)
	}
	begin := time.Now()
	if err := b.measure(ctx); err != nil {
		return err
	}
	b.report.Took = time.Since(begin).Seconds()
	b.report.judge()
	if o.only != "" {
		b.report.Budgets = slices.DeleteFunc(b.report.Budgets, func(b Budget) bool { return b.Measured == 0 })
	}
	b.report.print(os.Stdout, o.markdown)
	if o.out != "" {
		if err := b.report.save(o.out); err != nil {
			return err
		}
	}
	if !b.report.held() {
		return errBudget
	}
	return nil
}
