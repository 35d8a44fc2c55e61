package inspect

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
)

// EmergencyReport is what was done in an emergency: the changes that the broken
// glass let through, and everything that its principal did meanwhile, whatever
// became of it.
type EmergencyReport struct {
	Emergency change.Emergency
	Changes   []change.Record
	Records   []audit.Record // oldest first
	Cut       bool           // there are more than maxReported
}

// maxReported bounds the records of a report.
const maxReported = 1000

// Emergency returns the report of an emergency.
func (s *Service) Emergency(ctx context.Context, who caller.Caller, id string) (EmergencyReport, error) {
	e, changes, err := s.Emergencies.Emergency(ctx, who, id)
	if err != nil {
		return EmergencyReport{}, err
	}
	if err := s.Relay.Flush(ctx); err != nil {
		return EmergencyReport{}, err
	}
	out := EmergencyReport{Emergency: e, Changes: changes}
	f := audit.Filter{Account: who.Account, Principal: e.Name, Since: time.UnixMicro(e.Opened), Until: time.UnixMicro(e.Until)}
	for r, err := range s.Log.Query(ctx, f) {
		if err != nil {
			return EmergencyReport{}, err
		}
		if len(out.Records) == maxReported {
			out.Cut = true
			break
		}
		out.Records = append(out.Records, s.show(who, r))
	}
	return out, nil
}
