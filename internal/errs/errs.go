// Package errs is the one error type of the product.
//
// An error has a Kind, which every front maps to its own wire exactly once,
// and optionally a Code, a stable slug that a front may map to the exact
// message its protocol prescribes. Msg is written for the caller and may leave
// the process; the wrapped Err never does. A message names what was wrong and
// never holds a secret value.
//
// The package depends on the standard library alone, so that every layer can
// use it.
package errs

import (
	"errors"
	"fmt"
)

// Kind says what class of failure an error is. The zero Kind is Internal, so
// that an error nobody classified never tells a stranger anything.
type Kind uint8

const (
	Internal        Kind = iota // a defect or a broken dependency; the text stays inside
	Invalid                     // the request itself is wrong, whatever the state
	Unauthenticated             // no identity, or one that could not be proved
	Denied                      // an identity that may not do this
	NotFound                    // the caller may know that it is absent
	Exists                      // the name, id or token is taken
	Conflict                    // the state moved since the caller looked
	Precondition                // the state does not allow this operation
	Limit                       // a quota or a size was passed
	Throttled                   // too many requests; try again later
	Unavailable                 // cannot be done now: draining, disk full, log not writable
	Canceled                    // the caller went away or its deadline passed
)

// Kinds lists every Kind, for the tests that hold the fronts' mappings complete.
func Kinds() []Kind {
	return []Kind{Internal, Invalid, Unauthenticated, Denied, NotFound, Exists, Conflict,
		Precondition, Limit, Throttled, Unavailable, Canceled}
}

var kindNames = [...]string{"internal", "invalid", "unauthenticated", "denied", "not-found", "exists",
	"conflict", "precondition", "limit", "throttled", "unavailable", "canceled"}

// String returns the kind's slug, as it stands in audit records and in the
// native API.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "internal"
}

// Error is a failure with its class.
type Error struct {
	Kind     Kind
	Code     string // stable slug within the kind; empty when the kind says it all
	Field    string // the request member at fault; empty when none is
	Msg      string // for the caller: lower case, no full stop, never a value
	Decision string // id of the policy decision, set when Kind is Denied
	Action   string // what was denied, as the IAM dialect spells it; set by the gate
	Err      error  // for the log: never leaves the process
}

// Error returns the text for logs: message and cause.
func (e *Error) Error() string {
	switch {
	case e.Err == nil && e.Msg == "":
		return e.Kind.String()
	case e.Err == nil:
		return e.Msg
	case e.Msg == "":
		return e.Err.Error()
	}
	return e.Msg + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of the given kind whose message may leave the process.
func New(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Msg: fmt.Sprintf(format, args...)}
}

// Coded is New with a code that fronts can map to their protocol's own text.
func Coded(k Kind, code, format string, args ...any) *Error {
	return &Error{Kind: k, Code: code, Msg: fmt.Sprintf(format, args...)}
}

// InvalidField refuses one member of a request, by its name.
func InvalidField(field, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Field: field, Msg: fmt.Sprintf(format, args...)}
}

// Wrap classifies a cause and keeps its text inside the process. It returns
// nil when err is nil.
func Wrap(k Kind, err error, msg string) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Msg: msg, Err: err}
}

// As returns the *Error in err's chain, or an Internal one that wraps err. It
// returns nil when err is nil.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Err: err}
}

// KindOf returns the kind of err. A nil error has no kind: asking is a defect,
// answered with Internal.
func KindOf(err error) Kind {
	if e := As(err); e != nil {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is of kind k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }
