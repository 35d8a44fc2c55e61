package audit

import "time"

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
type Record struct {
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
	Change    string   // id of the change, for writes
	Source    string   // address of the client
	Agent     string
	Outcome   Outcome
	Error     string    // errs.Kind slug (and code, after a slash) when Outcome is not OK
	Decision  *Decision // how policy decided; always set when Denied
}

// Principal is the part of a caller that the log keeps.
type Principal struct {
	Kind  string // user, machine, system; empty when nobody was authenticated
	Name  string
	KeyID string
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
