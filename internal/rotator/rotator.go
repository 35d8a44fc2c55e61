// Package rotator is the contract between the rotation of secrets and what a
// credential is a credential for: a database, a function over HTTP, nothing at all.
//
// A rotation goes through steps, in this order:
//
//	Create   makes the new value. Nothing outside is touched.
//	         The value and the note are durable before the next step begins.
//	Set      makes the target accept the new value.
//	Test     proves that it does.
//	Finish   is the last step before the new value becomes current.
//	         Then AWSCURRENT moves.
//	Retire   ends what the previous value still opens; at once or after a grace.
//
// One that cannot be completed is undone instead: Undo makes the target accept what
// is current, and no more than that.
//
// # What every rotator holds to
//
// The process may be killed at any instant, also between what a step did outside and
// the moment in which that is written down. Then the same step is called again, with
// the same Job. So each step is idempotent: called twice, or once halfway and once
// whole, it ends as if it were called once. It is never called by two at once for one
// secret.
//
// A step returns within the deadline of its context and gives up when that ends. It
// keeps nothing from one call to the next.
//
// No value ever stands in an error, a log, an argument of a process or a URL. Errors
// are made by Fail; the text of any other error stays inside the process.
//
// The suite in package rotatetest holds every rotator to this.
package rotator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Value is the value of a version.
type Value struct {
	Data   sensitive.Bytes
	Binary bool
}

// Empty reports whether there is no value. One that is there has a byte at least.
func (v Value) Empty() bool { return v.Data.Len() == 0 }

// Text is a value of text.
func Text(s string) Value { return Value{Data: sensitive.FromString(s)} }

// Job is one rotation as a step sees it. Values stand as they are at the time of
// the step.
type Job struct {
	Account string // twelve digits
	Region  string
	Name    string // of the secret
	ARN     string
	// VersionID is the id of the version that is made: in the protocol of rotation
	// functions the ClientRequestToken.
	VersionID string
	// Token proves to this server that a call belongs to this rotation.
	Token   sensitive.Bytes
	Options map[string]string // as Kind.Check accepted them
	Note    string            // that Create returned; empty in Create

	Current  Value // AWSCURRENT; empty when the secret has no value yet
	Pending  Value // the new value; see Create for when there is one there; empty where the rotation made none
	Previous Value // AWSPREVIOUS; empty when there is none

	// Related are the values of the secrets that options of Kind.Secrets name, by
	// the name of the option.
	Related map[string]Value

	// Password draws a password as the secret's options say: a stored policy, or
	// length and characters.
	Password func() (string, error)
}

// Created is what Create returns.
type Created struct {
	// Value is the new value. An empty one says that the target has put it into the
	// store itself, as version Job.VersionID.
	Value Value
	// Note is what the other steps have to know of the target as it was before, such
	// as that a user was not there. At most 1024 bytes, and no secret.
	Note string
}

// MaxNote bounds Created.Note, in bytes.
const MaxNote = 1024

// Rotator changes one kind of credential. It is safe for concurrent use, for
// different secrets.
type Rotator interface {
	// Create makes the new value. It may look at the target and alters nothing. It
	// may be called again after a value that it returned was lost; the last that it
	// returned is the one that counts. j.Pending is empty, but when a rotation that
	// stopped goes on: then it is what that one made, and the target may have it.
	Create(ctx context.Context, j Job) (Created, error)
	// Set makes the target accept j.Pending. If the target can have both, it goes on
	// accepting j.Current.
	Set(ctx context.Context, j Job) error
	// Test proves by use that the target accepts j.Pending, and alters nothing. To
	// check a target before a rotation it is called with the current value as
	// j.Pending.
	Test(ctx context.Context, j Job) error
	// Finish is called after Test and before the labels move, for targets that are
	// told of it. Others return nil.
	Finish(ctx context.Context, j Job) error
	// Undo makes the target accept j.Current, proves it by use, and takes back what
	// Set left there: a user that it made, a second password. It may be called
	// whatever of Set was done, also nothing. j.Current may be another value than
	// Set saw: whatever is current is what shall hold. Where Kind.Undoes is false it
	// is not called. A Failure whose cause is ErrCannotUndo says that this target cannot
	// be brought back, however often that is tried.
	Undo(ctx context.Context, j Job) error
	// Retire makes the target accept j.Previous no more, and goes on accepting
	// j.Current, which is the value that this rotation made. Where the target has
	// nothing that outlives Set it returns nil.
	Retire(ctx context.Context, j Job) error
}

// Fate is what becomes of the previous credential when a new one is current.
type Fate string

// The fates of a previous credential.
const (
	// Replaced says that the target has one credential: the previous ends at Set.
	Replaced Fate = "replaced"
	// Kept says that the target goes on accepting the previous one until Retire.
	Kept Fate = "kept"
	// Unknown says that the server does not know: what it called decides.
	Unknown Fate = "unknown"
	// Stored says that there is no target: the previous is what a reader makes of it.
	Stored Fate = "stored"
)

// Option is one setting of a kind.
type Option struct {
	Name    string // lower case, words joined by _
	Help    string // one line: what it is, what it may be, its default
	Secret  bool   // it names a secret of the account, whose value comes in Job.Related
	Require bool
	// Form says that it is about the new value, or how it is brought about, and about
	// nothing of where the target is, who may be changed there or how it is spoken to.
	Form bool
}

// Kind is one kind of rotator: a row of the list that the server has.
type Kind struct {
	Name    string // "postgresql"
	Help    string // one line
	Options []Option
	Fate    Fate // of the previous credential; where options decide, FateOf says
	Undoes  bool // Undo can bring the target back
	// Passwords says that the options of passwords hold for it too: password_policy,
	// password_length, exclude_characters.
	Passwords bool
	// Check refuses settings that cannot be, as an errs.Invalid whose Field is the
	// option. Which options there are and which are required is checked before, and
	// need not be here. Nil: there is nothing more to check.
	Check func(options map[string]string) error
	// FateOf is Fate where that depends on the options. Nil: it does not.
	FateOf func(options map[string]string) Fate
	New    func(Env) Rotator
	// Public is what of a value may be known by all, as JSON, such as the set of its
	// public keys. Nil: there is nothing.
	Public func(Value) ([]byte, error)
	// Stores says that what is called puts the new value into the store itself, as
	// version Job.VersionID, and may move the labels.
	Stores bool
	// User is the principal as which that is done, "" for none. Nil: there is none.
	User func(account string, options map[string]string) string
	// May refuses settings that an account may not have, as Check does those that
	// nobody may. Nil: every account may have all.
	May func(account string, options map[string]string) error
	// Timeout is that of one step, 0 for the server's. Nil: it is the server's.
	Timeout func(options map[string]string) time.Duration
}

// Kinds is the list of rotators that a server has.
type Kinds []Kind

// Find returns the kind of that name, nil when there is none.
func (ks Kinds) Find(name string) *Kind {
	for i := range ks {
		if ks[i].Name == name {
			return &ks[i]
		}
	}
	return nil
}

// Accept refuses settings that a kind does not have, lacks, or cannot do with, as
// an errs.Invalid whose Field is the option.
func (k *Kind) Accept(options map[string]string) error {
	known := map[string]bool{}
	for _, o := range k.Settings() {
		known[o.Name] = true
		if o.Require && options[o.Name] == "" {
			return errs.InvalidField(o.Name, "the rotator %s needs the option %s: %s", k.Name, o.Name, o.Help)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(options)) {
		if !known[n] {
			return errs.InvalidField(n, "the rotator %s has no option %q", k.Name, n)
		}
	}
	if err := checkPassword(options); err != nil {
		return err
	}
	if k.Check == nil {
		return nil
	}
	return k.Check(options)
}

// AcceptFor is Accept for the settings of a secret of an account.
func (k *Kind) AcceptFor(account string, options map[string]string) error {
	if err := k.Accept(options); err != nil || k.May == nil {
		return err
	}
	return k.May(account, options)
}

// Patience is how long one step may take under these settings; server is what the
// server gives to steps of which nothing else is known.
func (k *Kind) Patience(options map[string]string, server time.Duration) time.Duration {
	if k.Timeout != nil {
		if d := k.Timeout(options); d != 0 {
			return d
		}
	}
	return server
}

// Leaves is what becomes of the previous credential under these settings.
func (k *Kind) Leaves(options map[string]string) Fate {
	if k.FateOf != nil {
		return k.FateOf(options)
	}
	return k.Fate
}

// Secrets are the options that name a secret, and are set.
func (k *Kind) Secrets(options map[string]string) map[string]string {
	out := map[string]string{}
	for _, o := range k.Options {
		if o.Secret && options[o.Name] != "" {
			out[o.Name] = options[o.Name]
		}
	}
	return out
}

// Options of passwords, which every kind with Passwords has.
const (
	PasswordPolicy  = "password_policy"    // name of a stored policy; excludes the others
	PasswordLength  = "password_length"    // 8 to 128; default 32
	PasswordExclude = "exclude_characters" // characters to leave out
)

var passwordOptions = []Option{
	{Name: PasswordPolicy, Help: "name of a stored password policy, which then says everything"},
	{Name: PasswordLength, Help: "length of the password, 8 to 128; default 32"},
	{Name: PasswordExclude, Help: "characters that it must not have; default those that often have to be quoted"},
}

// Settings are all options of a kind, those of passwords too.
func (k *Kind) Settings() []Option {
	if !k.Passwords {
		return k.Options
	}
	return slices.Concat(k.Options, passwordOptions)
}

// Env is what a rotator may use of the world.
type Env struct {
	// Dial connects to host:port of a target, if the configuration of the server
	// lets targets be there.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// HTTP reaches what Dial does. It follows no redirects.
	HTTP *http.Client
	Now  func() time.Time
}

// Class is why a step failed, as far as it matters for what to do.
type Class string

// The classes of failures.
const (
	Unreachable Class = "unreachable" // the target did not answer, or not in time
	Credentials Class = "credentials" // the target refused a login
	Permission  Class = "permission"  // the login may not do what is asked
	Unsuitable  Class = "unsuitable"  // value, settings and target do not fit together; trying again does not help
	Rejected    Class = "rejected"    // the target refused the request otherwise
	Broken      Class = "broken"      // anything else
)

// Failure is a step that failed. Its text is safe to show.
type Failure struct {
	Class Class
	Msg   string // lower case, no full stop, never a value
	Err   error  // the cause, which stays inside the process; may be nil
}

func (f *Failure) Error() string { return f.Msg }

// Unwrap returns the cause. Its text is not safe to show.
func (f *Failure) Unwrap() error { return f.Err }

// Fail makes a Failure. cause may be nil; its text is shown to nobody.
func Fail(c Class, cause error, format string, args ...any) *Failure {
	return &Failure{Class: c, Msg: fmt.Sprintf(format, args...), Err: cause}
}

// ErrCannotUndo is the cause of the Failure of an Undo that the target does not know:
// the rotation then ends as one of a kind that does not undo.
var ErrCannotUndo = errors.New("the target cannot undo")

// Why returns the class and the text of an error that a step returned, both safe to
// show.
func Why(err error) (Class, string) {
	var f *Failure
	switch {
	case errors.As(err, &f):
		return f.Class, f.Msg
	case errors.Is(err, context.DeadlineExceeded):
		return Unreachable, "it took too long"
	case errors.Is(err, context.Canceled):
		return Unreachable, "the server was stopped meanwhile"
	}
	return Broken, "it failed inside the server; its log says how"
}

// Lengths of passwords.
const (
	MinPassword     = 8
	MaxPassword     = 128
	DefaultPassword = 32
)

// checkPassword refuses options of passwords that cannot be.
func checkPassword(options map[string]string) error {
	if text := options[PasswordLength]; text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < MinPassword || n > MaxPassword {
			return errs.InvalidField(PasswordLength, "a password has %d to %d characters", MinPassword, MaxPassword)
		}
	}
	_, excludes := options[PasswordExclude]
	if options[PasswordPolicy] != "" && (options[PasswordLength] != "" || excludes) {
		return errs.InvalidField(PasswordPolicy, "a stored policy says everything about passwords: give no length or characters beside it")
	}
	return nil
}
