package env

import "countersign/internal/client"

// Told says to the person what became of a write: that it is done, in the words
// of format, or that it was not and waits, and how it is reviewed.
func (e *Env) Told(o client.Outcome, format string, args ...any) {
	if !e.Waits(o) {
		e.Streams.Notef(format, args...)
	}
}

// Waits says to the person of a change that has not taken effect how it will, and
// reports whether it has not.
func (e *Env) Waits(o client.Outcome) bool {
	switch {
	case !client.Open(o.Status):
		return false
	case o.Status == client.Approved:
		e.Streams.Notef("not done yet: change %s waits for its time", o.Change)
	default:
		e.Streams.Notef("not done yet: it awaits approval: countersign review --id %s", o.Change)
	}
	return true
}
