// Command countersign is the secrets manager: the server, and the command line
// that speaks to one.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // time windows name zones, and an empty container image has none

	"countersign/internal/cli"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

func main() { os.Exit(run()) }

// run ends at the first SIGINT or SIGTERM in an orderly way; a second one ends
// the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return int(cli.Run(ctx, os.Args[1:], version))
}
