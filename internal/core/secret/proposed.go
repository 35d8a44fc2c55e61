package secret

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// Proposed is the value that a change would make current.
type Proposed struct {
	Change, Name string
	Base         uint64 // version that is current now; 0 when none is
	Data         sensitive.Bytes
}

// ReadProposed returns the value that an open change would make current if it
// took effect now. It takes the permission to read the secret's values; each such
// read is recorded like any other.
//
// NotFound: no open change has that id, or it changes no value.
func (s *Service) ReadProposed(ctx context.Context, who caller.Caller, id string) (Proposed, error) {
	var out Proposed
	now := time.Now()
	err := s.gate.View(ctx, who, policy.ReadValue, "", func(a *gate.Access) (err error) {
		out, err = s.proposed(a, id, now)
		return err
	})
	if err != nil {
		return Proposed{}, err
	}
	return out, nil
}

func (s *Service) proposed(a *gate.Access, id string, now time.Time) (Proposed, error) {
	t, rec, wrong := s.changes.Where(a, a.Who.Account, id)
	if wrong != nil && !errs.Is(wrong, errs.Invalid) {
		return Proposed{}, wrong
	}
	if t.Noun != "secret" { // nothing, or nothing with values: policy answers as for nothing
		if err := a.Allow(&policy.Request{Op: policy.ReadValue, Resource: policy.ChangeARN(a.Who.Account, ""), Account: a.Who.Account}, nil); err != nil {
			return Proposed{}, err
		}
		if wrong != nil {
			return Proposed{}, wrong
		}
		return Proposed{}, errs.Coded(errs.NotFound, change.CodeChange, "no change of that id waits for review")
	}
	f, err := s.load(a, name.Secret{Account: t.Account, Region: t.Region, Name: t.Name}, "")
	if err != nil {
		return Proposed{}, err
	}
	a.Record.Resource, a.Record.Region, a.Record.Change = t.Name, t.Region, rec.ID
	if err := f.allow(a, policy.ReadValue, policy.Pair{Key: policy.KeyVersionStage, Value: name.PendingPrefix + rec.ID}); err != nil {
		return Proposed{}, err
	}
	rec, content, err := s.changes.Content(a, t.Account, rec.ID, now)
	if err != nil {
		return Proposed{}, err
	}
	if content == nil {
		return Proposed{}, errs.Coded(errs.NotFound, change.CodeChange, "the change makes no value current")
	}
	out := Proposed{Change: rec.ID, Name: t.Name, Data: sensitive.New(content)}
	if f.head != nil {
		out.Base = f.head.Labels[name.Current].Number
	}
	return out, nil
}
