// Package streams is where a command reads from and writes to.
//
// Data goes to Out, talk goes to Err, and a secret is asked for on the
// terminal with echo off. A command decides by the methods here, never by
// looking at os.Stdout itself, so that tests give it buffers.
package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"countersign/internal/sensitive"
)

// Streams are the standard streams of one run.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer

	// InTerminal and OutTerminal say whether a person is at the other end.
	InTerminal, OutTerminal bool
	// Colour allows emphasis on Out. It never carries information.
	Colour bool
	// Password reads one line from the terminal without echo; nil when there
	// is none.
	Password func(ctx context.Context) ([]byte, error)
}

// System are the process's own streams. NO_COLOR and TERM=dumb turn emphasis
// off.
func System(getenv func(string) string) *Streams {
	in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd())
	s := &Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, InTerminal: term.IsTerminal(in), OutTerminal: term.IsTerminal(out)}
	s.Colour = s.OutTerminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	if s.InTerminal {
		s.Password = func(ctx context.Context) ([]byte, error) { return readPassword(ctx, in) }
	}
	return s
}

// readPassword reads without echo, and puts the terminal back when ctx ends
// first: the read itself cannot be interrupted.
func readPassword(ctx context.Context, fd int) ([]byte, error) {
	state, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("reading terminal state: %w", err)
	}
	type result struct {
		line []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		_ = term.Restore(fd, state)
		return nil, ctx.Err()
	}
}

// Notef says one line to the person, on Err.
func (s *Streams) Notef(format string, args ...any) {
	fmt.Fprintf(s.Err, format+"\n", args...)
}

// ErrNoTerminal is returned where a person would have to be asked and none is
// there.
var ErrNoTerminal = errors.New("no terminal to ask on")

// Ask prompts for a secret with echo off.
func (s *Streams) Ask(ctx context.Context, prompt string) (sensitive.Bytes, error) {
	if s.Password == nil {
		return sensitive.Bytes{}, ErrNoTerminal
	}
	fmt.Fprintf(s.Err, "%s: ", prompt)
	b, err := s.Password(ctx)
	fmt.Fprintln(s.Err)
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("reading from the terminal: %w", err)
	}
	return sensitive.New(b), nil
}

// AskTwice prompts until nothing can be mistyped: both answers must agree.
func (s *Streams) AskTwice(ctx context.Context, prompt string) (sensitive.Bytes, error) {
	one, err := s.Ask(ctx, prompt)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	two, err := s.Ask(ctx, prompt+" again")
	if err != nil {
		return sensitive.Bytes{}, err
	}
	if !one.Equal(two) {
		return sensitive.Bytes{}, errors.New("the two inputs differ; nothing was done")
	}
	return one, nil
}

// Line prompts for one line of text, which is no secret. It reads no further
// than the end of the line.
func (s *Streams) Line(ctx context.Context, prompt string) (string, error) {
	if !s.InTerminal {
		return "", ErrNoTerminal
	}
	fmt.Fprintf(s.Err, "%s: ", prompt)
	type result struct {
		line []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := readLine(s.In)
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return "", fmt.Errorf("reading from the terminal: %w", r.err)
		}
		return strings.TrimSpace(string(r.line)), nil
	case <-ctx.Done(): // the read cannot be interrupted, and the process ends
		fmt.Fprintln(s.Err)
		return "", ctx.Err()
	}
}

// maxLine bounds what is typed as one line, in bytes.
const maxLine = 4096

func readLine(r io.Reader) (line []byte, err error) {
	for b := make([]byte, 1); len(line) < maxLine; {
		n, err := r.Read(b)
		switch {
		case n == 1 && b[0] == '\n':
			return line, nil
		case n == 1:
			line = append(line, b[0])
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		}
	}
	return nil, errors.New("the line is too long")
}

// Confirm asks a question that only "y" and "yes" answer with yes.
func (s *Streams) Confirm(ctx context.Context, question string) (bool, error) {
	answer, err := s.Line(ctx, question+" (y/N)")
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(s.Err)
		return false, nil
	}
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes", err
}

// Bold emphasizes text on Out.
func (s *Streams) Bold(text string) string { return s.style("1", text) }

// Alarm emphasizes text that says something went wrong.
func (s *Streams) Alarm(text string) string { return s.style("31", text) }

// Added, Removed and Changed emphasize lines of a comparison.
func (s *Streams) Added(text string) string { return s.style("32", text) }

// Removed emphasizes what goes.
func (s *Streams) Removed(text string) string { return s.style("31", text) }

// Changed emphasizes what is replaced.
func (s *Streams) Changed(text string) string { return s.style("33", text) }

func (s *Streams) style(code, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Showable reports whether bytes can be shown on a terminal without moving its
// cursor or changing its state.
func Showable(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0 {
			return false
		}
	}
	return true
}
