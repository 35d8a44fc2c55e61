// Package call is what the rotators have in common that call something of the
// operator's: a webhook, a command.
//
// What is called gets one JSON document for each call, a Document, and answers with
// another in create, an Answer. In mode "steps" it is called at every step of a
// rotation. In mode "single" it is called once: the value is made here, and a call
// "rotate" is to make the target accept it and to prove that; undoing calls "rotate"
// with the two values changed over.
//
// Only what the server's configuration names is called, and only for the accounts
// that it names. Nothing of a secret's settings chooses an address, a path or an
// argument: they stand in the document.
//
// What is called is trusted with the values of the secrets that are rotated by it,
// and not with more: no text that it sends is shown to anybody but a Code, which is
// short and has few characters, and no value in it.
package call

import (
	"context"
	"errors"
	"slices"
	"time"

	"countersign/internal/errs"
	"countersign/internal/rotator"
)

// Mode is how something is called.
type Mode string

// The modes.
const (
	Steps  Mode = "steps"  // at every step
	Single Mode = "single" // once, with the new value
)

// Steps of a rotation, as documents name them.
const (
	Create = "create"
	Set    = "set"
	Test   = "test"
	Finish = "finish"
	Undo   = "undo"
	Retire = "retire"
	Rotate = "rotate" // of mode single
)

// Options beside the one that names what is called.
const (
	OptionGenerate = "generate"
	OptionKey      = "key"
	OptionDetail   = "detail"
)

// Do makes one call. The error is a Failure, or wraps Unsupported.
type Do func(ctx context.Context, j rotator.Job, d *Document) (Answer, error)

// Called is one thing that the configuration names.
type Called struct {
	Name     string
	Mode     Mode
	Previous rotator.Fate  // of the previous credential
	Accounts []string      // that may use it
	Timeout  time.Duration // of one call
	// Bind makes what does the calls.
	Bind func(rotator.Env) Do
}

// ErrUnsupported says that what was called does not know the step.
var ErrUnsupported = errors.New("the step is not supported")

// Kind makes a kind of rotator out of what is configured. option is the option by
// which secrets name it, and the word for it in messages.
func Kind(k rotator.Kind, option string, list []Called) rotator.Kind {
	find := func(options map[string]string) *Called {
		for i := range list {
			if list[i].Name == options[option] {
				return &list[i]
			}
		}
		return nil
	}
	may := func(account string, options map[string]string) *Called {
		if c := find(options); c != nil && slices.Contains(c.Accounts, account) {
			return c
		}
		return nil
	}
	k.Fate, k.Undoes, k.Passwords = rotator.Unknown, true, true
	k.Options = []rotator.Option{
		{Name: option, Help: "name of the " + option + " in the server's configuration", Require: true},
		{Name: OptionGenerate, Help: "true: the value is drawn here, and create is not called; default false, and true in mode single", Form: true},
		{Name: OptionKey, Help: "the member of the JSON object that a value drawn here replaces; default: it is the whole value", Form: true},
		{Name: OptionDetail, Help: "a text that is handed on in the document, such as which of several targets is meant"},
	}
	k.Check = func(options map[string]string) error {
		switch g := options[OptionGenerate]; g {
		case "", "true", "false":
		default:
			return errs.InvalidField(OptionGenerate, "it is true or false")
		}
		if c := find(options); c != nil && !c.generates(options) && options[OptionKey] != "" {
			return errs.InvalidField(OptionKey, "it is for a value that is drawn here: set %s to true", OptionGenerate)
		}
		return nil
	}
	k.May = func(account string, options map[string]string) error {
		if may(account, options) == nil { // the same whether it is there for others or not at all
			return errs.InvalidField(option, "the server's configuration has no %s %q for this account", option, options[option])
		}
		return nil
	}
	k.FateOf = func(options map[string]string) rotator.Fate {
		if c := find(options); c != nil {
			return c.Previous
		}
		return rotator.Unknown
	}
	k.Timeout = func(options map[string]string) time.Duration {
		if c := find(options); c != nil {
			return c.Timeout
		}
		return 0
	}
	k.New = func(env rotator.Env) rotator.Rotator {
		return &caller{option: option, env: env, find: may}
	}
	return k
}

func (c *Called) generates(options map[string]string) bool {
	return c.Mode == Single || options[OptionGenerate] == "true"
}

// caller is the rotator.
type caller struct {
	option string
	env    rotator.Env
	find   func(account string, options map[string]string) *Called
}

// called is what a job is to call.
func (x *caller) called(j rotator.Job) (*Called, error) {
	c := x.find(j.Account, j.Options)
	if c == nil {
		return nil, rotator.Fail(rotator.Unsuitable, nil, "the server's configuration has no %s %q for the account", x.option, j.Options[x.option])
	}
	return c, nil
}

// do makes a call within its time.
func (x *caller) do(ctx context.Context, c *Called, j rotator.Job, d *Document) (Answer, error) {
	if err := ctx.Err(); err != nil {
		return Answer{}, Late(err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return c.Bind(x.env)(ctx, j, d)
}

// step calls one step of mode steps, and nothing in mode single.
func (x *caller) step(ctx context.Context, j rotator.Job, step string) error {
	c, err := x.called(j)
	if err != nil || c.Mode == Single {
		return err
	}
	_, err = x.do(ctx, c, j, x.document(j, step))
	if errors.Is(err, ErrUnsupported) && step != Finish { // which is for those that want to be told
		return rotator.Fail(rotator.Unsuitable, err, "the %s %q does not know the step %s", x.option, c.Name, step)
	}
	if errors.Is(err, ErrUnsupported) {
		return nil
	}
	return err
}

// Create makes the value here, or has it made. A rotation that stopped goes on with
// the value that it made: the target may have it.
func (x *caller) Create(ctx context.Context, j rotator.Job) (rotator.Created, error) {
	c, err := x.called(j)
	if err != nil {
		return rotator.Created{}, err
	}
	if !j.Pending.Empty() {
		return rotator.Created{Value: j.Pending, Note: j.Note}, nil
	}
	if c.generates(j.Options) {
		return generate(j)
	}
	a, err := x.do(ctx, c, j, x.document(j, Create))
	switch {
	case errors.Is(err, ErrUnsupported), err == nil && a.Value.Empty():
		return rotator.Created{}, rotator.Fail(rotator.Unsuitable, err, "the %s %q makes no value: let it answer create with one, or set the option %s to true", x.option, c.Name, OptionGenerate)
	case err != nil:
		return rotator.Created{}, err
	case a.Value.Data.Equal(j.Current.Data):
		return rotator.Created{}, rotator.Fail(rotator.Rejected, nil, "the %s %q made the value that is current", x.option, c.Name)
	}
	return rotator.Created{Value: a.Value, Note: a.Note}, nil
}

// generate draws a password, as the whole value or as one member of it.
func generate(j rotator.Job) (rotator.Created, error) {
	word, err := j.Password()
	if err != nil {
		return rotator.Created{}, err
	}
	key := j.Options[OptionKey]
	if key == "" {
		return rotator.Created{Value: rotator.Text(word)}, nil
	}
	o, err := rotator.ParseObject(j.Current)
	if err != nil {
		return rotator.Created{}, err
	}
	o.Set(key, word)
	return o.Created()
}

// Set calls set, or rotate.
func (x *caller) Set(ctx context.Context, j rotator.Job) error {
	c, err := x.called(j)
	if err != nil {
		return err
	}
	if c.Mode == Steps {
		return x.step(ctx, j, Set)
	}
	_, err = x.do(ctx, c, j, x.document(j, Rotate))
	if errors.Is(err, ErrUnsupported) {
		return rotator.Fail(rotator.Unsuitable, err, "the %s %q does not know the step %s", x.option, c.Name, Rotate)
	}
	return err
}

// Test calls test. In mode single rotate has proved it.
func (x *caller) Test(ctx context.Context, j rotator.Job) error { return x.step(ctx, j, Test) }

// Finish calls finish.
func (x *caller) Finish(ctx context.Context, j rotator.Job) error { return x.step(ctx, j, Finish) }

// Retire calls retire.
func (x *caller) Retire(ctx context.Context, j rotator.Job) error { return x.step(ctx, j, Retire) }

// Undo calls undo, or rotate with the values changed over.
func (x *caller) Undo(ctx context.Context, j rotator.Job) error {
	c, err := x.called(j)
	if err != nil {
		return err
	}
	d := x.document(j, Undo)
	if c.Mode == Single {
		if j.Current.Empty() {
			return rotator.Fail(rotator.Unsuitable, rotator.ErrCannotUndo, "there is no value that the %s %q could go back to", x.option, c.Name)
		}
		d = x.document(j, Rotate)
		d.Undo, d.Current, d.Pending = true, d.Pending, d.Current
	}
	_, err = x.do(ctx, c, j, d)
	if errors.Is(err, ErrUnsupported) {
		return rotator.Fail(rotator.Unsuitable, rotator.ErrCannotUndo, "the %s %q cannot undo", x.option, c.Name)
	}
	return err
}

// Late is the failure of a call that took too long, or was given up.
func Late(err error) error {
	if errors.Is(err, context.Canceled) {
		return rotator.Fail(rotator.Unreachable, err, "the server was stopped meanwhile")
	}
	return rotator.Fail(rotator.Unreachable, err, "it took too long")
}
