// Package said is what the commands that change projects say in the end.
package said

import (
	"countersign/internal/cli/streams"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Result prints the answer as JSON, or says what became of the change.
func Result(s *streams.Streams, asJSON bool, answer any, r client.Result, done, name string) error {
	switch {
	case asJSON:
		return table.JSON(s.Out, answer)
	case r.Status == client.Applied || r.Status == "" && r.Change == "":
		s.Notef("%s %q", done, name)
	default:
		s.Notef("proposed: change %s waits for approval; run: countersign review --id %s", r.Change, r.Change)
	}
	return nil
}
