// Package answers takes passwords, codes and invitations: from the terminal
// with echo off, or a line each from what is piped in. None is ever an argument
// or a flag, where every process of the machine could read it.
package answers

import (
	"bufio"
	"context"
	"errors"
	"io"

	"countersign/internal/cli/exit"
	"countersign/internal/cli/streams"
	"countersign/internal/sensitive"
)

// maxLine bounds a piped line: a password is at most 1024 bytes.
const maxLine = 4096

// Source asks one question after the other.
type Source struct {
	s  *streams.Streams
	in *bufio.Reader // nil on a terminal
}

// From is the source of a run's streams.
func From(s *streams.Streams) *Source {
	if s.InTerminal {
		return &Source{s: s}
	}
	return &Source{s: s, in: bufio.NewReaderSize(s.In, maxLine)}
}

// Ask takes one answer.
func (a *Source) Ask(ctx context.Context, what string) (sensitive.Bytes, error) {
	if a.in == nil {
		return a.s.Ask(ctx, what)
	}
	return a.line(what)
}

// Choose takes an answer that is made up now: typed twice on a terminal.
func (a *Source) Choose(ctx context.Context, what string) (sensitive.Bytes, error) {
	if a.in == nil {
		return a.s.AskTwice(ctx, what)
	}
	return a.line(what)
}

func (a *Source) line(what string) (sensitive.Bytes, error) {
	b, err := a.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return sensitive.Bytes{}, exit.Usagef("%s: the line is too long", what)
	case err != nil && !errors.Is(err, io.EOF):
		return sensitive.Bytes{}, err
	case len(b) == 0:
		return sensitive.Bytes{}, exit.Usagef("%s: nothing was given; type it on a terminal, or pipe it in, a line for each question", what)
	}
	if n := len(b); b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return sensitive.FromString(string(b)), nil
}
