package cli_test

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign/internal/cli"
	"countersign/internal/cli/exit"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"countersign": func() { os.Exit(int(cli.Run(context.Background(), os.Args[1:], "v1.2.3"))) },
	})
}

// TestScripts runs each script against a fake server of its own. In a script,
// "exits CODE command..." asks for an exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("COUNTERSIGN_ADDR", startFake(e.T().(testing.TB)))
			e.Setenv("COUNTERSIGN_TOKEN", "cst_T_SECRET")
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a command that must end with an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE command...")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("%q is no exit code", args[0])
	}
	err = ts.Exec(args[1], args[2:]...)
	got := exit.OK
	if e, ok := err.(interface{ ExitCode() int }); ok {
		got = exit.Code(e.ExitCode())
	} else if err != nil {
		ts.Fatalf("running %s: %v", args[1], err)
	}
	if got != exit.Code(want) {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
