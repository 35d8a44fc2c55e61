package audit

import (
	"cmp"
	"time"

	"countersign/internal/caller"
)

// Outcome is what became of an operation.
type Outcome string

const (
	OK      Outcome = "ok"      // done, or a proposal stored
	Denied  Outcome = "denied"  // policy said no
	Refused Outcome = "refused" // the request or the state did not allow it
	Failed  Outcome = "failed"  // the server could not
)

// Record is one entry of the log: who did what to which thing, when, from
// where, and what became of it. It never holds a value, a fingerprint, or text
// that was not validated or bounded.
//
// Strings are bounded when they are written: see the limits in encode.go. A
// record read back equals the one written after that normalization.
type Record struct {
	Seq       uint64        // place in the log, from 1 without gaps; set by Append and by reading
	ID        string        // unique, ordered by time; see NewID
	Time      time.Time     // when the request was received
	Duration  time.Duration // until the record was made
	RequestID string
	Account   string
	Principal Principal
	Front     string
	Operation string   // canonical name in the operations table: "ReadValue"
	Resource  string   // name of the thing; empty for an operation on no single thing
	Region    string   // region label, for things that live in one
	Version   uint64   // version number read or written; 0 when none
	Keys      []string // keys of a JSON object that were added, changed or removed
	// KeysOmitted counts keys left out because there were too many to list.
	KeysOmitted uint64
	Change      string // id of the change, for writes
	Source      string // address of the client
	Agent       string
	Outcome     Outcome
	Error       string    // errs.Kind slug (and code, after a slash) when Outcome is not OK
	Decision    *Decision // how policy decided; always set when Denied
}

// Principal is the part of a caller that the log keeps.
type Principal struct {
	Kind  string // user, machine, system; empty when nobody was authenticated
	Name  string
	KeyID string // of the access key, or of the session; the accessor of a token
	Proof string
	// Account is set when the principal is not of the record's account.
	Account string
}

// Decision explains one policy decision well enough for `policy explain`.
type Decision struct {
	ID        string   // what the refused caller is told
	Effect    string   // "allow", "explicit-deny", "no-match"
	Action    string   // the action as the policy dialect spells it
	Resource  string   // the resource ARN that was asked about
	Policy    string   // the policy that decided, empty when none did
	Statement string   // Sid, or "#N" counted from 1
	Missing   []string // what would have had to be different, one sentence each
}

// FromCaller begins the record of an operation: everything that is known when
// the request arrives. The id carries the time of the request, or of now when
// the caller has none.
func FromCaller(who caller.Caller, operation string) Record {
	r := Record{
		Time:      who.Time,
		RequestID: who.RequestID,
		Account:   who.Account,
		Principal: Principal{Kind: string(who.Kind), Name: who.Name, KeyID: cmp.Or(who.KeyID, who.Session), Proof: string(who.Proof)},
		Front:     who.Front,
		Operation: operation,
		Region:    who.Region,
		Agent:     who.Agent,
	}
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	r.ID = NewID(r.Time)
	if who.Token != nil {
		r.Principal.KeyID = who.Token.Accessor
	}
	if who.Source.IsValid() {
		r.Source = who.Source.String()
	}
	return r
}
