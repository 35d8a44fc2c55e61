// Package kept reads the variables that an environment keeps, and compares
// variables without showing them.
package kept

import (
	"context"
	"fmt"

	"countersign/internal/cli/change/which"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/object"
	"countersign/internal/cli/streams"
	"countersign/internal/cli/table"
	"countersign/internal/client"
	"countersign/internal/dotenv"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Read returns the variables of a place in their order: strings as they are,
// other values as JSON.
func Read(ctx context.Context, c *client.Client, p which.Place) ([]dotenv.Pair, error) {
	v, err := c.ReadValue(ctx, p.Secret, client.Which{})
	if err != nil {
		return nil, err
	}
	members, err := object.Members(v.Data.Reveal())
	if v.Binary || err != nil {
		return nil, exit.Usagef("the value of %q has no variables: it is no JSON object; countersign get prints it", p.Secret)
	}
	pairs := make([]dotenv.Pair, len(members))
	for i, m := range members {
		pairs[i] = dotenv.Pair{Key: m.Key, Value: m.Value}
	}
	return pairs, nil
}

// ReadAny is Read, where nothing was stored yet counts as no variables.
func ReadAny(ctx context.Context, c *client.Client, p which.Place) ([]dotenv.Pair, error) {
	pairs, err := Read(ctx, c, p)
	if client.Is(err, errs.NotFound) {
		return nil, nil
	}
	return pairs, err
}

// Difference is how a second list of variables differs from a first, each by
// the order of its list. It holds no value.
type Difference struct {
	Left    string   `json:"left"`
	Right   string   `json:"right"`
	Equal   bool     `json:"equal"`
	Added   []string `json:"added"`   // only in the second
	Removed []string `json:"removed"` // only in the first
	Changed []string `json:"changed"`
}

// Compare compares two lists.
func Compare(left, right string, a, b []dotenv.Pair) Difference {
	d := Difference{Left: left, Right: right, Added: []string{}, Removed: []string{}, Changed: []string{}}
	have, want := index(a), index(b)
	for _, p := range a {
		if v, ok := want[p.Key]; !ok {
			d.Removed = append(d.Removed, p.Key)
		} else if !v.Equal(p.Value) {
			d.Changed = append(d.Changed, p.Key)
		}
	}
	for _, p := range b {
		if _, ok := have[p.Key]; !ok {
			d.Added = append(d.Added, p.Key)
		}
	}
	d.Equal = len(d.Added)+len(d.Removed)+len(d.Changed) == 0
	return d
}

func index(pairs []dotenv.Pair) map[string]sensitive.Bytes {
	m := make(map[string]sensitive.Bytes, len(pairs))
	for _, p := range pairs {
		m[p.Key] = p.Value
	}
	return m
}

// Print prints a difference, keys alone, and ends with exit.Differs where there
// is one.
func (d Difference) Print(s *streams.Streams, asJSON bool) error {
	if err := d.print(s, asJSON); err != nil {
		return err
	}
	if !d.Equal {
		return exit.Silently(exit.Differs)
	}
	return nil
}

func (d Difference) print(s *streams.Streams, asJSON bool) error {
	if asJSON {
		return table.JSON(s.Out, d)
	}
	left, right := table.Clean(d.Left), table.Clean(d.Right)
	if d.Equal {
		s.Notef("%s and %s hold the same", left, right)
		return nil
	}
	if !s.OutTerminal {
		t := table.New(s, "CHANGE", "KEY")
		for _, g := range d.groups(s) {
			for _, k := range g.keys {
				t.Row(g.sign, k)
			}
		}
		return t.Flush()
	}
	fmt.Fprintf(s.Out, "%s %s\n%s %s\n\n", s.Removed("-"), left, s.Added("+"), right)
	for _, g := range d.groups(s) {
		for _, k := range g.keys {
			fmt.Fprintln(s.Out, g.style(g.sign+" "+table.Clean(k)))
		}
	}
	return nil
}

type group struct {
	sign  string
	keys  []string
	style func(string) string
}

func (d Difference) groups(s *streams.Streams) []group {
	return []group{{"-", d.Removed, s.Removed}, {"+", d.Added, s.Added}, {"~", d.Changed, s.Changed}}
}
