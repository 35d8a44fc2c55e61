// Package decide is what the commands that decide on a change have in common:
// the question before, and what is said after.
package decide

import (
	"context"
	"errors"

	"countersign/internal/cli/change/render"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Able fails where a question would have to be asked and nobody is there, before
// anything is read for it.
func Able(e *env.Env, yes bool) error {
	if !yes && !e.Streams.InTerminal {
		return exit.Usagef("there is nobody to confirm it: give --yes")
	}
	return nil
}

// Ask asks a question unless yes answers it. nil is to go ahead.
func Ask(ctx context.Context, e *env.Env, yes bool, question string) error {
	if yes {
		return nil
	}
	if err := Able(e, yes); err != nil {
		return err
	}
	ok, err := e.Streams.Confirm(ctx, question)
	if err != nil {
		return err
	}
	if !ok {
		return exit.With(exit.Failed, errors.New("nothing was done"))
	}
	return nil
}

// Say prints the answer as JSON, or says a line.
func Say(e *env.Env, asJSON bool, answer any, format string, args ...any) error {
	if asJSON {
		return table.JSON(e.Streams.Out, answer)
	}
	e.Streams.Notef(format, args...)
	return nil
}

// Printer prints for people to read before they decide: to standard error when
// standard output is for a program.
func Printer(ctx context.Context, e *env.Env, c *client.Client, asJSON bool) render.Printer {
	p := render.Printer{Streams: e.Streams, Names: which.Known(ctx, c), Now: e.Time()}
	if asJSON {
		p.To = e.Streams.Err
	}
	return p
}
