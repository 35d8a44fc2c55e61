// Package rotatetest is the suite that every rotator passes: what package rotator
// asks of one, as tests.
package rotatetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/rotator"
)

// Target is a target with one credential, made for one test.
type Target struct {
	Kind    rotator.Kind
	Rotator rotator.Rotator
	// Job is complete but for what a rotation adds. Its Current is accepted.
	Job rotator.Job
	// Accepts tells by use whether the target accepts a value. Nil: there is no target
	// outside.
	Accepts func(t *testing.T, v rotator.Value) bool
	// State spells what there is in the target beside passwords: its users. Nil: there
	// is nothing.
	State func(t *testing.T) string
	// Break makes the target not answer, until the end of the test. Nil: it cannot be.
	Break func(t *testing.T)
}

func (x *Target) fate() rotator.Fate {
	if x.Kind.FateOf != nil {
		return x.Kind.FateOf(x.Job.Options)
	}
	return x.Kind.Fate
}

func (x *Target) accepts(t *testing.T, v rotator.Value) bool {
	t.Helper()
	return x.Accepts == nil || x.Accepts(t, v)
}

func (x *Target) state(t *testing.T) string {
	if x.State == nil {
		return ""
	}
	return x.State(t)
}

// Run runs the suite. fresh makes a new target each time.
func Run(t *testing.T, fresh func(t *testing.T) *Target) {
	t.Run("rotate", func(t *testing.T) { rotate(t, fresh(t)) })
	t.Run("repeat", func(t *testing.T) { repeat(t, fresh(t)) })
	t.Run("lost-value", func(t *testing.T) { lostValue(t, fresh(t)) })
	t.Run("undo", func(t *testing.T) { undo(t, fresh) })
	t.Run("undo-other", func(t *testing.T) { undoOther(t, fresh(t)) })
	t.Run("wrong", func(t *testing.T) { wrong(t, fresh(t)) })
	t.Run("no-object", func(t *testing.T) { noObject(t, fresh(t)) })
	t.Run("ended", func(t *testing.T) { ended(t, fresh(t)) })
	t.Run("broken", func(t *testing.T) { broken(t, fresh(t)) })
	t.Run("interrupted", func(t *testing.T) { interrupted(t, fresh(t)) })
	t.Run("concurrent", func(t *testing.T) { concurrent(t, fresh) })
	t.Run("options", func(t *testing.T) { options(t, fresh(t)) })
}

const timeout = 20 * time.Second

type step struct {
	name string
	do   func(context.Context, rotator.Job) error
}

// do runs a step that has to succeed, that many times.
func (x *Target) do(t *testing.T, times int, j rotator.Job, steps ...step) {
	t.Helper()
	for _, s := range steps {
		for range times {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			err := s.do(ctx, j)
			cancel()
			if err != nil {
				t.Fatalf("%s: %s", s.name, tell(t, err, j))
			}
		}
	}
}

func (x *Target) set() step    { return step{"set", x.Rotator.Set} }
func (x *Target) test() step   { return step{"test", x.Rotator.Test} }
func (x *Target) finish() step { return step{"finish", x.Rotator.Finish} }
func (x *Target) undo() step   { return step{"undo", x.Rotator.Undo} }
func (x *Target) retire() step { return step{"retire", x.Rotator.Retire} }

// create makes the new value.
func (x *Target) create(t *testing.T, j rotator.Job) rotator.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	made, err := x.Rotator.Create(ctx, j)
	if err != nil {
		t.Fatalf("create: %s", tell(t, err, j))
	}
	if made.Value.Empty() {
		t.Fatal("create made no value")
	}
	if len(made.Note) > rotator.MaxNote {
		t.Errorf("the note has %d bytes", len(made.Note))
	}
	if string(made.Value.Data.Reveal()) == string(j.Current.Data.Reveal()) {
		t.Error("the new value is the current one")
	}
	j.Pending, j.Note = made.Value, made.Note
	return j
}

// moved is the job once the labels have moved, for Retire.
func moved(j rotator.Job) rotator.Job {
	j.Current, j.Previous, j.Pending = j.Pending, j.Current, rotator.Value{}
	return j
}

// tell is the text of a failure, in which no value may be.
func tell(t *testing.T, err error, j rotator.Job) string {
	t.Helper()
	class, msg := rotator.Why(err)
	for _, text := range []string{msg, err.Error()} {
		for _, v := range append(related(j), j.Current, j.Pending, j.Previous) {
			for _, s := range secrets(v) {
				if strings.Contains(text, s) {
					t.Errorf("a value stands in the failure of class %s", class)
				}
			}
		}
	}
	cause := ""
	var f *rotator.Failure
	if errors.As(err, &f) && f.Err != nil {
		cause = fmt.Sprintf(" (%T)", f.Err)
	}
	return fmt.Sprintf("%s: %s%s", class, msg, cause)
}

func related(j rotator.Job) (out []rotator.Value) {
	for _, v := range j.Related {
		out = append(out, v)
	}
	return out
}

// secrets are the texts in a value that must not be seen: the whole of it, and what
// stands under the names that secrets have.
func secrets(v rotator.Value) (out []string) {
	if v.Empty() {
		return nil
	}
	out = append(out, string(v.Data.Reveal()))
	o, err := rotator.ParseObject(v)
	if err != nil {
		return out
	}
	for _, n := range []string{"password", "private_key", "privateKey", "key", "token", "secret"} {
		if s := o.Get(n); len(s) >= 6 {
			out = append(out, s)
		}
	}
	return out
}

// rotate goes the whole way several times, and holds the target to its fate.
func rotate(t *testing.T, x *Target) {
	j := x.Job
	seen := map[string]bool{string(j.Current.Data.Reveal()): true}
	for round := range 5 {
		old, before := j.Current, j.Previous
		j = x.create(t, j)
		if v := string(j.Pending.Data.Reveal()); seen[v] {
			t.Fatal("a value came twice")
		} else {
			seen[v] = true
		}
		if !x.accepts(t, old) {
			t.Fatalf("round %d: creating altered the target", round)
		}
		x.do(t, 1, j, x.set())
		fate := x.fate()
		if x.Accepts != nil {
			if got := x.accepts(t, old); got != (fate == rotator.Kept) && fate != rotator.Unknown {
				t.Errorf("round %d: after set the previous value is accepted: %t; its fate is %q", round, got, fate)
			}
		}
		if !x.accepts(t, j.Pending) {
			t.Fatalf("round %d: the new value is not accepted", round)
		}
		x.do(t, 1, j, x.test(), x.finish())
		j = moved(j)
		if !before.Empty() { // the value before the previous one ends, late, and no other
			late := j
			late.Previous = before
			x.do(t, 2, late, x.retire())
			if !x.accepts(t, j.Current) || fate == rotator.Kept && !x.accepts(t, j.Previous) {
				t.Fatalf("round %d: retiring the value before the previous one ended another", round)
			}
		}
		if round%2 == 1 && x.Accepts != nil { // it stays until the next rotation is done
			continue
		}
		x.do(t, 1, j, x.retire())
		if !x.accepts(t, j.Current) {
			t.Fatalf("round %d: after retire the current value is not accepted", round)
		}
		if x.Accepts != nil && fate == rotator.Kept && x.accepts(t, j.Previous) {
			t.Errorf("round %d: after retire the previous value is still accepted", round)
		}
	}
}

// repeat does every step twice, as after a kill.
func repeat(t *testing.T, x *Target) {
	j := x.Job
	for range 3 {
		j = x.create(t, j)
		x.do(t, 2, j, x.set(), x.test(), x.set(), x.test(), x.finish())
		if !x.accepts(t, j.Pending) {
			t.Fatal("the new value is not accepted")
		}
		j = moved(j)
		x.do(t, 2, j, x.retire())
		if !x.accepts(t, j.Current) {
			t.Fatal("the current value is not accepted")
		}
	}
}

// lostValue creates twice: the first value was lost before anything was set.
func lostValue(t *testing.T, x *Target) {
	x.create(t, x.Job)
	j := x.create(t, x.Job)
	x.do(t, 1, j, x.set(), x.test(), x.finish())
	if !x.accepts(t, j.Pending) {
		t.Fatal("the new value is not accepted")
	}
}

// undo takes back whatever was done, also of a second rotation.
func undo(t *testing.T, fresh func(t *testing.T) *Target) {
	prefixes := map[string]func(*Target) []step{
		"nothing":  func(*Target) []step { return nil },
		"set":      func(x *Target) []step { return []step{x.set()} },
		"set-set":  func(x *Target) []step { return []step{x.set(), x.set()} },
		"tested":   func(x *Target) []step { return []step{x.set(), x.test()} },
		"finished": func(x *Target) []step { return []step{x.set(), x.test(), x.finish()} },
		"undone":   func(x *Target) []step { return []step{x.set(), x.undo()} },
	}
	for name, steps := range prefixes {
		for _, rounds := range []int{0, 1, 2} {
			t.Run(fmt.Sprintf("%s-%d", name, rounds), func(t *testing.T) {
				x := fresh(t)
				if !x.Kind.Undoes {
					t.Skip("this rotator says that it cannot undo")
				}
				j := x.Job
				for range rounds {
					j = x.create(t, j)
					x.do(t, 1, j, x.set(), x.test(), x.finish())
					j = moved(j)
				}
				was := x.state(t)
				j = x.create(t, j)
				x.do(t, 1, j, steps(x)...)
				x.do(t, 1, j, x.undo())
				if !x.accepts(t, j.Current) {
					t.Fatal("the current value is not accepted")
				}
				if x.Accepts != nil && x.accepts(t, j.Pending) {
					t.Error("the value that was taken back is accepted")
				}
				if is := x.state(t); is != was {
					t.Errorf("the target was\n%s\nand is\n%s", was, is)
				}
				// and then it can be rotated
				j.Pending, j.Note = rotator.Value{}, ""
				j = x.create(t, j)
				x.do(t, 1, j, x.set(), x.test(), x.finish())
				if !x.accepts(t, j.Pending) {
					t.Fatal("the new value is not accepted after an undo")
				}
			})
		}
	}
}

// undoOther undoes when something else was made current meanwhile: that holds.
func undoOther(t *testing.T, x *Target) {
	if !x.Kind.Undoes {
		t.Skip("this rotator says that it cannot undo")
	}
	if !x.Kind.Passwords {
		t.Skip("only a password can be chosen by somebody else")
	}
	j := x.create(t, x.Job)
	x.do(t, 1, j, x.set())
	o, err := rotator.ParseObject(j.Current)
	if err != nil {
		t.Skip("the value is no object")
	}
	o.Set("password", "Chosen-by-hand-7391")
	j.Current = o.Value()
	x.do(t, 1, j, x.undo())
	if !x.accepts(t, j.Current) {
		t.Error("what is current is not accepted")
	}
}

// wrong tests a value that the target does not have.
func wrong(t *testing.T, x *Target) {
	if x.Accepts == nil {
		t.Skip("there is no target that could refuse a value")
	}
	j := x.create(t, x.Job)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	err := x.Rotator.Test(ctx, j) // it was not set
	if err == nil {
		t.Fatal("a value that was not set passes the test")
	}
	t.Log(tell(t, err, j))
	if class, _ := rotator.Why(err); class != rotator.Credentials && class != rotator.Rejected {
		t.Errorf("the class is %s", class)
	}
	if !x.accepts(t, j.Current) {
		t.Error("testing altered the target")
	}
	if x.Kind.Stores {
		return // it is told of a version, and not of a value
	}
	j.Pending = j.Current
	x.do(t, 1, j, x.test())
}

// noObject gives values that are none.
func noObject(t *testing.T, x *Target) {
	if x.Accepts == nil {
		t.Skip("without a target any value will do")
	}
	for _, text := range []string{"", "{", "[]", "no object", `{"password":1}`, `{"username":""}`} {
		j := x.Job
		j.Current = rotator.Text(text)
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		_, err := x.Rotator.Create(ctx, j)
		cancel()
		if err == nil {
			continue // it may need nothing of it
		}
		if class, msg := rotator.Why(err); class != rotator.Unsuitable {
			t.Errorf("%q: %s, %s", text, class, msg)
		}
	}
}

// ended calls every step with a context that has ended: it returns soon.
func ended(t *testing.T, x *Target) {
	j := x.create(t, x.Job)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	for _, s := range []step{x.set(), x.test(), x.undo(), {"retire", func(ctx context.Context, j rotator.Job) error { return x.Rotator.Retire(ctx, moved(j)) }}} {
		if s.name == "undo" && !x.Kind.Undoes {
			continue
		}
		if err := s.do(ctx, j); err != nil {
			tell(t, err, j)
		} else if x.Accepts != nil && s.name == "set" {
			t.Errorf("%s succeeded after its time", s.name)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if !x.accepts(t, j.Current) {
		t.Error("the target was altered")
	}
}

// broken calls every step on a target that does not answer.
func broken(t *testing.T, x *Target) {
	if x.Break == nil {
		t.Skip("there is nothing that could be broken")
	}
	j := x.create(t, x.Job)
	x.Break(t)
	for _, s := range []step{x.set(), x.test(), x.undo(), {"retire", func(ctx context.Context, j rotator.Job) error { return x.Rotator.Retire(ctx, moved(j)) }}} {
		if s.name == "undo" && !x.Kind.Undoes || s.name == "retire" && x.fate() != rotator.Kept {
			continue
		}
		const limit = 500 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		began := time.Now()
		err := s.do(ctx, j)
		cancel()
		if took := time.Since(began); took > limit+2*time.Second {
			t.Errorf("%s took %s", s.name, took)
		}
		if err == nil {
			t.Errorf("%s succeeded", s.name)
			continue
		}
		if class, msg := rotator.Why(err); class != rotator.Unreachable {
			t.Errorf("%s: %s, %s", s.name, class, msg)
		}
		tell(t, err, j)
	}
}

// interrupted ends Set at instants of the time that it takes, as a kill does, and then
// undoes: at once, or after Set was called again.
func interrupted(t *testing.T, x *Target) {
	if !x.Kind.Undoes || x.Accepts == nil {
		t.Skip("there is nothing to take back")
	}
	j := x.create(t, x.Job)
	began := time.Now()
	x.do(t, 1, j, x.set())
	took := time.Since(began)
	x.do(t, 1, j, x.undo())
	was := x.state(t)
	// What the target was sent it carries out meanwhile. A server that was killed is not
	// back any sooner.
	const settle = 20 * time.Millisecond
	const instants = 10
	for i := range 2 * instants {
		j := x.create(t, x.Job)
		ctx, cancel := context.WithTimeout(t.Context(), took*time.Duration(i/2)/instants)
		err := x.Rotator.Set(ctx, j)
		cancel()
		if err != nil {
			tell(t, err, j)
		}
		time.Sleep(settle)
		if i%2 == 0 {
			x.do(t, 1, j, x.set(), x.test())
		}
		x.do(t, 1, j, x.undo())
		if !x.accepts(t, j.Current) {
			t.Fatalf("ended after %d of %d parts: the current value is not accepted", i/2, instants)
		}
		if x.accepts(t, j.Pending) {
			t.Errorf("ended after %d of %d parts: the value that was taken back is accepted", i/2, instants)
		}
		if is := x.state(t); is != was {
			t.Fatalf("ended after %d of %d parts: the target was\n%s\nand is\n%s", i/2, instants, was, is)
		}
	}
}

// concurrent rotates different secrets at the same time.
func concurrent(t *testing.T, fresh func(t *testing.T) *Target) {
	var list []*Target
	for range 4 {
		list = append(list, fresh(t))
	}
	var all sync.WaitGroup
	for _, x := range list {
		all.Go(func() {
			j := x.Job
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				made, err := x.Rotator.Create(ctx, j)
				if err == nil {
					j.Pending, j.Note = made.Value, made.Note
					err = x.Rotator.Set(ctx, j)
				}
				if err == nil {
					err = x.Rotator.Test(ctx, j)
				}
				cancel()
				if err != nil {
					t.Error(tell(t, err, j))
					return
				}
				j = moved(j)
			}
		})
	}
	all.Wait()
}

// options holds what the kind says of itself.
func options(t *testing.T, x *Target) {
	k := x.Kind
	if k.Name == "" || k.Help == "" || k.New == nil {
		t.Error("the kind has no name, help or constructor")
	}
	seen := map[string]bool{}
	for _, o := range k.Options {
		if o.Name == "" || o.Help == "" || seen[o.Name] {
			t.Errorf("the option %q has no help, or is there twice", o.Name)
		}
		seen[o.Name] = true
	}
	for n := range x.Job.Options {
		if !seen[n] {
			t.Errorf("the target uses an option %q which the kind does not list", n)
		}
	}
	if k.Check != nil {
		if err := k.Check(x.Job.Options); err != nil {
			t.Errorf("the options of the target are refused: %v", err)
		}
	}
}
