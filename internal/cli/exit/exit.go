// Package exit holds the exit codes of the command line and how an error
// becomes one.
//
// A code says what class of thing went wrong, so that a script decides without
// reading text. Codes are part of the product's interface: none is reused.
package exit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"countersign/internal/client"
	"countersign/internal/errs"
)

// Code is a process's exit code.
type Code int

// The exit codes.
const (
	OK          Code = 0   // done
	Failed      Code = 1   // any other error
	Usage       Code = 2   // the command line or an input is wrong
	NotFound    Code = 3   // the thing does not exist
	Denied      Code = 4   // not allowed, or not known to the server; also "policy test": it would be denied
	Conflict    Code = 5   // it exists already, somebody else changed it, or its state does not allow this
	Unavailable Code = 6   // the server cannot be reached, or cannot do it now
	Damaged     Code = 7   // a verification found damage: "audit verify", "fsck"
	Differs     Code = 8   // "diff", "drift", "verify-value": the two are not equal; "schema check": it does not fit
	Rejected    Code = 9   // "propose --wait": a reviewer rejected the change
	Withdrawn   Code = 10  // "propose --wait": its author withdrew the change
	Expired     Code = 11  // "propose --wait": nobody decided in time, and the change expired
	Conflicted  Code = 12  // "propose --wait": the change is at odds with what was applied since
	Waiting     Code = 13  // "propose --wait": --within passed before anybody decided
	Interrupted Code = 130 // ended by a signal
)

// Help is the list of codes for people.
const Help = `Exit codes:
  0    done
  1    any other error
  2    the command line or an input is wrong
  3    the thing does not exist
  4    not allowed, or not known to the server; "policy test": would be denied
  5    it exists already, somebody else changed it, or its state forbids this
  6    the server cannot be reached, or cannot do this now
  7    a verification found damage ("audit verify", "fsck")
  8    the two are not equal ("diff", "drift", "verify-value"), or the value
       does not fit ("schema check")
  9    the change was rejected ("propose --wait", as those that follow)
  10   the change was withdrawn
  11   the change expired
  12   the change is at odds with what was applied since
  13   nobody has decided yet, and --within passed
  130  interrupted`

// Error is an error with the exit code that it asks for.
type Error struct {
	Code Code
	Err  error // nil ends the process without a word: everything was said already
}

// Error returns the text of the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// With asks for a code.
func With(code Code, err error) error { return &Error{Code: code, Err: err} }

// Silently ends with a code and says nothing more.
func Silently(code Code) error { return &Error{Code: code} }

// Usagef is a wrong command line: what was wrong and what to do.
func Usagef(format string, args ...any) error {
	return &Error{Code: Usage, Err: fmt.Errorf(format, args...)}
}

// Of is the code of an error; ctx tells whether the process was interrupted.
func Of(ctx context.Context, err error) Code {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.Code
	case ctx.Err() != nil:
		return Interrupted
	}
	return ofKind(client.KindOf(err))
}

func ofKind(k errs.Kind) Code {
	switch k {
	case errs.Invalid, errs.Limit:
		return Usage
	case errs.NotFound:
		return NotFound
	case errs.Unauthenticated, errs.Denied:
		return Denied
	case errs.Exists, errs.Conflict, errs.Precondition:
		return Conflict
	case errs.Throttled, errs.Unavailable:
		return Unavailable
	case errs.Canceled:
		return Interrupted
	case errs.Internal:
	}
	return Failed
}

// wrongAnswers are codes of logins that failed: there, hints on credentials would
// lead astray.
var wrongAnswers = []string{"bad-credentials", "totp-required", "bad-invitation", "bad-identity"}

// Message is the one line for stderr: what was wrong, and where it helps, what
// to do about it. It is empty when nothing more is to be said.
func Message(ctx context.Context, err error) string {
	var quiet *Error
	if err == nil || errors.As(err, &quiet) && quiet.Err == nil {
		return ""
	}
	if Of(ctx, err) == Interrupted {
		return "interrupted"
	}
	var e *client.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	msg := err.Error()
	switch e.Kind {
	case errs.Unauthenticated:
		if !slices.Contains(wrongAnswers, e.Code) {
			msg += fmt.Sprintf("; run \"countersign login\", set %s, or give --token-file", client.EnvToken)
		}
	case errs.Denied:
		if e.Decision != "" {
			msg += fmt.Sprintf("; an administrator sees why with: countersign policy explain %s", e.Decision)
		}
	case errs.Invalid, errs.Limit:
		if e.Field != "" {
			msg = fmt.Sprintf("%s: %s", e.Field, msg)
		}
	case errs.Conflict:
		msg += "; read it again and repeat the change"
	case errs.Throttled:
		msg += "; try again later"
	case errs.Unavailable:
		if e.Status == 0 {
			msg += fmt.Sprintf("; is the server running? %s and --address say where", client.EnvAddr)
		}
	case errs.Internal:
		if e.RequestID != "" {
			msg += fmt.Sprintf("; the server's log has more under request %s", e.RequestID)
		}
	case errs.NotFound, errs.Exists, errs.Precondition, errs.Canceled:
	}
	return msg
}
