// Package input takes what a user hands to a command: secret values, documents
// and pairs.
//
// A secret value comes from a file, from standard input when that is piped, or
// from a prompt with echo off, typed twice. There is no way to take one from
// the command line, where every process of the machine could read it. The
// bytes are taken as they are: nothing is trimmed unless that is asked for.
package input

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"countersign/internal/cli/exit"
	"countersign/internal/cli/streams"
	"countersign/internal/sensitive"
)

// MaxValue is the largest value that is read, in bytes: what a server stores.
const MaxValue = 1 << 20

// Source says where a value comes from.
type Source struct {
	File string // path, or "-" for standard input; default: standard input when piped, else a prompt
	Trim bool   // drop one line end at the end
	What string // the prompt, such as "value of myapp/database"
	Once bool   // the prompt asks once: what is given is compared, not kept
}

// Value reads a secret value.
func Value(ctx context.Context, s *streams.Streams, src Source) (sensitive.Bytes, error) {
	if src.File == "" && s.InTerminal {
		ask := s.AskTwice
		if src.Once {
			ask = s.Ask
		}
		v, err := ask(ctx, src.What)
		if err == nil && v.Len() == 0 {
			err = exit.Usagef("the value is empty; nothing was done")
		}
		return v, err
	}
	b, err := read(s, src.File, MaxValue)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	if src.Trim {
		b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	}
	switch {
	case len(b) == 0:
		return sensitive.Bytes{}, exit.Usagef("the value is empty; pipe it in, or give --file")
	case src.File == "" && !src.Trim && bytes.IndexByte(b, '\n') == len(b)-1:
		s.Notef("note: the value ends with a line end, which is kept; --trim drops it")
	}
	return sensitive.New(b), nil
}

// MaxDocument is the largest document that is read, in bytes.
const MaxDocument = 1 << 20

// Document reads a text that is no secret, from a file or, for "" and "-",
// from standard input, which must then not be a terminal.
func Document(s *streams.Streams, file string) (string, error) {
	if file == "" && s.InTerminal {
		return "", exit.Usagef("nothing to read; give --file, or pipe the document in")
	}
	b, err := read(s, file, MaxDocument)
	return string(b), err
}

func read(s *streams.Streams, file string, limit int) ([]byte, error) {
	from := s.In
	if file != "" && file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, exit.With(exit.Usage, fmt.Errorf("opening input: %w", err))
		}
		defer f.Close()
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("reading input: %w", err)
	}
	if len(b) > limit {
		return nil, exit.Usagef("the input is larger than %d bytes", limit)
	}
	return b, nil
}

// Pairs parses KEY=VALUE arguments, each key once.
func Pairs(flag string, args []string) (map[string]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(args))
	for _, a := range args {
		k, v, ok := strings.Cut(a, "=")
		if !ok || k == "" {
			return nil, exit.Usagef("%s: %q is no KEY=VALUE", flag, a)
		}
		if _, twice := out[k]; twice {
			return nil, exit.Usagef("%s: key %q is given twice", flag, k)
		}
		out[k] = v
	}
	return out, nil
}

// WriteFile writes a file that only its owner can read, whole or not at all:
// fill writes into a temporary file beside it, which takes its place when fill
// succeeds and the bytes are on disk.
func WriteFile(path string, fill func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("creating output: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := fill(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing output: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("naming output: %w", err)
	}
	return f.Close()
}
