package streams_test

import (
	"bytes"
	"context"
	"errors"
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
