package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/errs"
	"countersign/internal/rotator"
)

// target is a database in memory with users and their passwords, and the rotator of
// one or two of its users. Steps fail as a test says.
type target struct {
	mu    sync.Mutex
	users map[string]string
	pair  bool // alternate between two users
	// fails is asked at every step, before and after it was done. An error after it
	// says that what was done is not known to have been.
	fails func(step string, done bool) error
	calls []string
	got   map[string]string // the options of the last Set
	took  time.Duration     // of each step

	patience time.Duration // that the kind gives a step
	goesOn   bool          // with a value that a rotation made which stopped
}

func newTarget(pair bool) *target {
	return &target{users: map[string]string{"app": "first"}, pair: pair, fails: func(string, bool) error { return nil }}
}

const first = `{"username":"app","password":"first"}`

func (x *target) kind() rotator.Kind {
	fate := rotator.Replaced
	if x.pair {
		fate = rotator.Kept
	}
	return rotator.Kind{Name: "test", Help: "a target in memory", Fate: fate, Undoes: true, Passwords: true,
		Options: []rotator.Option{{Name: "admin", Help: "h", Secret: true}, {Name: "username", Help: "h"}, {Name: "mode", Help: "h", Form: true}},
		Timeout: func(map[string]string) time.Duration { return x.patience },
		May: func(_ string, o map[string]string) error {
			if o["admin"] == "elsewhere" {
				return errs.InvalidField("admin", "it is another account's")
			}
			return nil
		},
		FateOf: func(o map[string]string) rotator.Fate {
			if o["mode"] == "single" {
				return rotator.Replaced
			}
			return fate
		},
		New: func(rotator.Env) rotator.Rotator { return x }}
}

// heal ends the failures.
func (x *target) heal() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fails = func(string, bool) error { return nil }
}

func (x *target) step(ctx context.Context, name string, do func() error) error {
	x.mu.Lock()
	took := x.took
	x.mu.Unlock()
	if took > 0 {
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.calls = append(x.calls, name)
	if err := x.fails(name, false); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return x.fails(name, true)
}

func login(v rotator.Value) (user, password string, err error) {
	o, err := rotator.ParseObject(v)
	if err != nil {
		return "", "", err
	}
	return o.Get("username"), o.Get("password"), nil
}

func (x *target) accepts(v rotator.Value) bool {
	user, password, err := login(v)
	return err == nil && x.users[user] == password && password != ""
}

// Accepts is accepts for tests.
func (x *target) Accepts(v string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.accepts(rotator.Text(v))
}

func (x *target) Users() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(x.users)), " ")
}

// Called forgets the calls and returns them.
func (x *target) Called() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := strings.Join(x.calls, " ")
	x.calls = nil
	return out
}

func (x *target) Create(ctx context.Context, j rotator.Job) (made rotator.Created, err error) {
	return made, x.step(ctx, "create", func() error {
		if x.goesOn && !j.Pending.Empty() {
			made.Value = j.Pending
			return nil
		}
		o, err := rotator.ParseObject(j.Current)
		if err != nil {
			return err
		}
		word, err := j.Password()
		if err != nil {
			return err
		}
		o.Set("password", word)
		if x.pair {
			user := "app_clone"
			if o.Get("username") == user {
				user = "app"
			}
			o.Set("username", user)
			if _, there := x.users[user]; !there {
				made.Note = "new"
			}
		}
		made.Value = o.Value()
		return nil
	})
}

func (x *target) Set(ctx context.Context, j rotator.Job) error {
	return x.step(ctx, "set", func() error {
		x.got = j.Options
		user, password, err := login(j.Pending)
		if err != nil {
			return err
		}
		x.users[user] = password
		return nil
	})
}

func (x *target) Test(ctx context.Context, j rotator.Job) error {
	return x.step(ctx, "test", func() error {
		if !x.accepts(j.Pending) {
			return rotator.Fail(rotator.Credentials, nil, "the login was refused")
		}
		return nil
	})
}

func (x *target) Finish(ctx context.Context, j rotator.Job) error {
	return x.step(ctx, "finish", func() error { return nil })
}

func (x *target) Undo(ctx context.Context, j rotator.Job) error {
	return x.step(ctx, "undo", func() error {
		user, password, err := login(j.Current)
		if err != nil {
			return err
		}
		x.users[user] = password
		if !x.pair {
			return nil
		}
		other, _, err := login(j.Pending)
		if err != nil {
			return err
		}
		if j.Note == "new" {
			delete(x.users, other)
			return nil
		}
		if old, word, err := login(j.Previous); err == nil && old == other {
			x.users[old] = word
		}
		return nil
	})
}

func (x *target) Retire(ctx context.Context, j rotator.Job) error {
	return x.step(ctx, "retire", func() error {
		user, password, err := login(j.Previous)
		if err != nil {
			return err
		}
		if x.users[user] == password {
			x.users[user] = fmt.Sprintf("unknown-%d", len(x.calls))
		}
		return nil
	})
}

var errScripted = errors.New("hunter2: a cause that nobody may see")

// down fails as a target does that does not answer.
func down() error {
	return rotator.Fail(rotator.Unreachable, errScripted, "the target does not answer")
}
