package streams_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"countersign/internal/cli/streams"
)

// typed is a terminal on which these lines are typed.
func typed(lines ...string) (*streams.Streams, *bytes.Buffer) {
	var talk bytes.Buffer
	s := &streams.Streams{Out: &bytes.Buffer{}, Err: &talk, InTerminal: true}
	s.Password = func(context.Context) ([]byte, error) {
		if len(lines) == 0 {
			return nil, errors.New("end of input")
		}
		line := lines[0]
		lines = lines[1:]
		return []byte(line), nil
	}
	return s, &talk
}

func TestAskTwice(t *testing.T) {
	tests := []struct {
		name    string
		lines   []string
		want    string
		refused string
	}{
		{"same", []string{"s3cret", "s3cret"}, "s3cret", ""},
		{"different", []string{"s3cret", "s3cert"}, "", "differ"},
		{"ended", []string{"s3cret"}, "", "end of input"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, talk := typed(tt.lines...)
			got, err := s.AskTwice(t.Context(), "value of a")
			if tt.refused == "" && (err != nil || string(got.Reveal()) != tt.want) {
				t.Errorf("got %v", err)
			}
			if tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)) {
				t.Errorf("got %v, want a refusal with %q", err, tt.refused)
			}
			if want := "value of a: \nvalue of a again: \n"; talk.String() != want {
				t.Errorf("said %q, want %q", talk, want)
			}
		})
	}
}

func TestAskWithoutTerminal(t *testing.T) {
	s := &streams.Streams{Err: &bytes.Buffer{}}
	if _, err := s.Ask(t.Context(), "value"); !errors.Is(err, streams.ErrNoTerminal) {
		t.Errorf("got %v, want ErrNoTerminal", err)
	}
}

func TestColour(t *testing.T) {
	s := &streams.Streams{}
	if got := s.Bold("a") + s.Alarm("b"); got != "ab" {
		t.Errorf("without colour: %q", got)
	}
	s.Colour = true
	if got := s.Bold("a") + s.Alarm(""); got != "\x1b[1ma\x1b[0m" {
		t.Errorf("with colour: %q", got)
	}
}

func TestSystemHonoursNoColor(t *testing.T) {
	s := streams.System(func(k string) string { return map[string]string{"NO_COLOR": "1"}[k] })
	if s.Colour {
		t.Error("NO_COLOR was ignored")
	}
}

func TestConfirm(t *testing.T) {
	for in, want := range map[string]bool{"y\n": true, "YES \r\n": true, "yes": true, "n\n": false, "\n": false, "": false, "yeah\n": false} {
		var talk bytes.Buffer
		rest := strings.NewReader(in + "more")
		if in == "yes" || in == "" {
			rest = strings.NewReader(in)
		}
		s := &streams.Streams{In: rest, Err: &talk, InTerminal: true}
		got, err := s.Confirm(t.Context(), "Go on?")
		if err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", in, got, err, want)
		}
		if !strings.HasPrefix(talk.String(), "Go on? (y/N): ") {
			t.Errorf("asked %q", &talk)
		}
		if left, _ := io.ReadAll(rest); len(in) > 0 && in[len(in)-1] == '\n' && string(left) != "more" {
			t.Errorf("%q: the next line was read too; %q is left", in, left)
		}
	}
}

func TestLineRefuses(t *testing.T) {
	s := &streams.Streams{In: strings.NewReader("y\n"), Err: io.Discard}
	if _, err := s.Line(t.Context(), "x"); !errors.Is(err, streams.ErrNoTerminal) {
		t.Errorf("without a terminal: %v", err)
	}
	s = &streams.Streams{In: strings.NewReader(strings.Repeat("x", 5000)), Err: io.Discard, InTerminal: true}
	if _, err := s.Line(t.Context(), "x"); err == nil {
		t.Error("a line without end was taken")
	}
	blocked, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s = &streams.Streams{In: blocked, Err: io.Discard, InTerminal: true}
	if _, err := s.Confirm(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
