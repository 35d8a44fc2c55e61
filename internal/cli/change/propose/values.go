package propose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"countersign/internal/cli/change/which"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/settings"
	"countersign/internal/dotenv"
	"countersign/internal/sensitive"
)

// checkSets refuses a value on the command line, and does not repeat it: it is
// in the shell's history already.
func checkSets(sets []string) error {
	seen := map[string]bool{}
	asked, piped := 0, 0
	for _, s := range sets {
		key, from, has := strings.Cut(s, "=")
		switch {
		case key == "":
			return exit.Usagef("--set: the key is missing; give KEY or KEY=@FILE")
		case has && !strings.HasPrefix(from, "@"):
			return exit.Usagef("--set %s: a value is never an argument, where other processes could read it: give --set %s and pipe or type the value, or --set %s=@FILE",
				key, key, key)
		case has && from == "@":
			return exit.Usagef("--set %s: the file is missing; give %s=@FILE", key, key)
		case seen[key]:
			return exit.Usagef("--set: key %q is given twice", key)
		case !has:
			asked++
		case from == "@-":
			piped++
		}
		seen[key] = true
	}
	if piped > 1 || piped > 0 && asked > 0 {
		return exit.Usagef("--set: one value can be read from standard input; give the others as KEY=@FILE")
	}
	return nil
}

// fromSets reads the values of --set.
func (o *Options) fromSets(ctx context.Context, set map[string]sensitive.Bytes, p which.Place) error {
	asked := 0
	for _, s := range o.Set {
		if !strings.Contains(s, "=") {
			asked++
		}
	}
	if asked > 1 && !o.Env.Streams.InTerminal {
		return exit.Usagef("--set: one value can be read from standard input; give the others as KEY=@FILE")
	}
	if o.File == "-" && asked > 0 && !o.Env.Streams.InTerminal {
		return exit.Usagef("--set: standard input holds the file already; give KEY=@FILE")
	}
	for _, s := range o.Set {
		key, from, _ := strings.Cut(s, "=")
		v, err := input.Value(ctx, o.Env.Streams, input.Source{File: strings.TrimPrefix(from, "@"), Trim: o.Trim, What: fmt.Sprintf("value of %s in %s", key, p)})
		if err != nil {
			return fmt.Errorf("--set %s: %w", key, err)
		}
		set[key] = v
	}
	return nil
}

// fromFile reads the variables of a .env file.
func (o *Options) fromFile(set map[string]sensitive.Bytes) error {
	file, err := o.file()
	if err != nil {
		return err
	}
	for _, p := range file.Pairs() {
		set[p.Key] = p.Value
	}
	return nil
}

func (o *Options) file() (*dotenv.File, error) {
	if o.File == "-" {
		text, err := io.ReadAll(io.LimitReader(o.Env.Streams.In, dotenv.MaxSize+1))
		if err != nil {
			return nil, fmt.Errorf("reading input: %w", err)
		}
		f, err := dotenv.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return f, nil
	}
	r, err := o.Env.Settings(settings.Flags{File: o.File})
	if err != nil {
		return nil, err
	}
	f, err := dotenv.ReadFile(r.File.Value)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, exit.With(exit.Usage, fmt.Errorf("there is no file %q; name one with --file, or keys with --set", r.File.Value))
	}
	return f, err
}
