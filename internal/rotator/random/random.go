// Package random rotates a value that nothing outside has to be told of: an API key
// or a password that services check against this server, or read from it.
//
// The new value is a password. It is the whole value, or, with the option key, one
// member of the JSON object that the value is; the other members stay as they are.
// The previous value lives on as AWSPREVIOUS.
package random

import (
	"context"

	"countersign/internal/rotator"
)

// Kind is the row of the list of rotators.
func Kind() rotator.Kind {
	return rotator.Kind{
		Name:      "random",
		Help:      "a random value that nothing outside has to be told of",
		Fate:      rotator.Stored,
		Undoes:    true,
		Passwords: true,
		Options: []rotator.Option{
			{Name: "key", Help: "the member of the JSON object that is replaced; default: the whole value is"},
		},
		New: func(rotator.Env) rotator.Rotator { return random{} },
	}
}

type random struct{}

// Create draws a value.
func (random) Create(_ context.Context, j rotator.Job) (rotator.Created, error) {
	word, err := j.Password()
	if err != nil {
		return rotator.Created{}, err
	}
	key := j.Options["key"]
	if key == "" {
		return rotator.Created{Value: rotator.Text(word)}, nil
	}
	o, err := rotator.ParseObject(j.Current)
	if err != nil {
		return rotator.Created{}, err
	}
	o.Set(key, word)
	return rotator.Created{Value: o.Value()}, nil
}

func (random) Set(context.Context, rotator.Job) error    { return nil }
func (random) Test(context.Context, rotator.Job) error   { return nil }
func (random) Finish(context.Context, rotator.Job) error { return nil }
func (random) Undo(context.Context, rotator.Job) error   { return nil }
func (random) Retire(context.Context, rotator.Job) error { return nil }
