// Package notice is what happened that somebody wants to hear of: a change was
// proposed, decided, applied, waits too long; the glass was broken.
//
// A Notice is put into an outbox by whoever writes, in the same transaction as
// what it tells of: either both are durable or neither is. Package notify takes
// it from there, after the commit and again after a crash, and delivers it.
//
// A notice never holds a value. Its type has no field for one: it knows names,
// names of keys, who and why. What it holds is bounded by Put, which cuts what is
// too long rather than fail the write that the notice is about; a notice is no
// record, the change and the audit log are. The bytes in the store are encrypted
// like every record, and a notice leaves the store when it has been handed on.
//
// The package stands below change and knows nothing of it, nor of delivery.
package notice

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Kind says what happened. Whoever adds a kind adds it here.
type Kind string

// The kinds of notices.
const (
	ChangeProposed   Kind = "change.proposed"
	ChangeApproved   Kind = "change.approved"
	ChangeApplied    Kind = "change.applied"
	ChangeRejected   Kind = "change.rejected"
	ChangeWithdrawn  Kind = "change.withdrawn"
	ChangeExpired    Kind = "change.expired"
	ChangeConflicted Kind = "change.conflicted"
	ChangePending    Kind = "change.pending" // it was approved, and its votes no longer count
	ChangeCommented  Kind = "change.commented"
	ChangeReminder   Kind = "change.reminder" // it still waits for votes
	BreakGlassOpened Kind = "break_glass.opened"
	BreakGlassClosed Kind = "break_glass.closed"
	RotationDone     Kind = "rotation.done"
	RotationFailed   Kind = "rotation.failed"
	RotationOverdue  Kind = "rotation.overdue" // a rotation that was due did not happen in its window
	RotationClock    Kind = "rotation.clock"   // the clock was set back, behind times that rotations have written
	Test             Kind = "notify.test"      // somebody tries a target
)

// Kinds lists every Kind that a filter can name.
func Kinds() []Kind {
	return []Kind{ChangeProposed, ChangeApproved, ChangeApplied, ChangeRejected, ChangeWithdrawn, ChangeExpired,
		ChangeConflicted, ChangePending, ChangeCommented, ChangeReminder, BreakGlassOpened, BreakGlassClosed,
		RotationDone, RotationFailed, RotationOverdue, RotationClock}
}

// Bounds of what a notice holds, in bytes and pieces: it is small enough for one
// transaction to write a copy for each of the targets that an account may have.
const (
	MaxText     = 4096 // reason, text
	MaxName     = 512  // names, ARNs
	MaxKeys     = 50
	MaxKey      = 128
	MaxFacts    = 16
	MaxFact     = 256
	MaxAudience = 50
	MaxPerson   = 128
)

// Notice is one thing that happened.
type Notice struct {
	// ID is unique and in order of time. It comes from the writer, fixed before
	// the transaction: one of audit.NewID, with a suffix where one transaction
	// has several notices.
	ID        string   `cbor:"1,keyasint"`
	Account   string   `cbor:"2,keyasint"` // twelve digits
	Time      int64    `cbor:"3,keyasint"` // microseconds since 1970
	Kind      Kind     `cbor:"4,keyasint"`
	Change    string   `cbor:"5,keyasint,omitempty"` // its id
	Noun      string   `cbor:"6,keyasint,omitempty"` // of what it alters: secret, user, rules, ...
	Region    string   `cbor:"7,keyasint,omitempty"`
	Name      string   `cbor:"8,keyasint,omitempty"`
	Operation string   `cbor:"9,keyasint,omitempty"`
	Actor     string   `cbor:"10,keyasint,omitempty"` // ARN of who did what the notice tells of
	Reason    string   `cbor:"11,keyasint,omitempty"` // why, in the author's words
	Status    string   `cbor:"12,keyasint,omitempty"` // of the change, after
	Keys      []string `cbor:"13,keyasint,omitempty"` // names of keys that differ
	KeysLeft  int      `cbor:"14,keyasint,omitempty"` // how many more there are
	// Facts are further things to tell, such as "author" or "rule". Never a
	// value, nor anything computed from one.
	Facts  map[string]string `cbor:"15,keyasint,omitempty"`
	Author string            `cbor:"17,keyasint,omitempty"` // ARN of who proposed the change
	Text   string            `cbor:"18,keyasint,omitempty"` // what Actor said: a comment, why a change was rejected
	// Audience names the persons whom it concerns, and groups as "group:NAME".
	Audience []string `cbor:"16,keyasint,omitempty"`
}

// When is the time of the notice.
func (n *Notice) When() time.Time { return time.UnixMicro(n.Time).UTC() }

var (
	isID   = regexp.MustCompile(`^[0-9A-Z][0-9A-Za-z.-]{0,63}$`)
	isKind = regexp.MustCompile(`^[a-z_]{1,32}\.[a-z_]{1,32}$`)
)

// Valid reports whether k is spelled like a kind.
func (k Kind) Valid() bool { return isKind.MatchString(string(k)) }

// Prefix is where the outbox lies. It is one for all accounts, so that what waits
// is found without looking anywhere else.
func Prefix() kv.Key { return kv.K("sys", "notice-outbox") }

// Key is where a notice lies until it is handed on.
func Key(id string) kv.Key { return Prefix().Str(id) }

// Put puts a notice into the outbox, in the transaction of what it tells of. The
// same notice put twice is one. What is too long is cut; an id, account or kind
// that is none is a defect of the writer, and errs.Internal.
func Put(tx kv.Txn, n Notice) error {
	if !isID.MatchString(n.ID) || !n.Kind.Valid() || name.Account(n.Account) != nil {
		return errs.New(errs.Internal, "a notice of kind %q has no valid id, account or kind", n.Kind)
	}
	return record.Put(tx, Key(n.ID), bound(n))
}

// bound cuts what is too long, and shares nothing with n that it alters.
func bound(n Notice) Notice {
	n.Change, n.Noun, n.Region, n.Name = cut(n.Change, MaxName), cut(n.Noun, MaxName), cut(n.Region, MaxName), cut(n.Name, MaxName)
	n.Operation, n.Actor, n.Status = cut(n.Operation, MaxName), cut(n.Actor, MaxName), cut(n.Status, MaxName)
	n.Author = cut(n.Author, MaxName)
	n.Reason, n.Text = cut(n.Reason, MaxText), cut(n.Text, MaxText)
	n.KeysLeft += max(0, len(n.Keys)-MaxKeys)
	n.Keys = cutAll(n.Keys, MaxKeys, MaxKey)
	n.Audience = cutAll(n.Audience, MaxAudience, MaxPerson)
	n.Facts = cutFacts(n.Facts)
	return n
}

func cutAll(in []string, many, long int) []string {
	var out []string
	for _, s := range in[:min(len(in), many)] {
		out = append(out, cut(s, long))
	}
	return out
}

// cut shortens s to that many bytes, at the end of a character, and makes it
// valid UTF-8, which records must be.
func cut(s string, long int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= long {
		return s
	}
	const ellipsis = "…"
	end := long - len(ellipsis)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
