package secret

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// RotationFacts is what is known of the rotation of a secret. It holds no value and
// no token.
type RotationFacts struct {
	ARN, Name, Region string
	Kind              string // of rotator; "" when nothing is configured
	Enabled           bool
	Settings          Rotation
	Last              time.Time // zero: never
	Next              time.Time // zero: never
	Closes            time.Time // of the window of Next
	Overdue           bool      // a date has passed, and nothing is under way
	Run               *Run      // without its token; nil: none is under way
	Failure           *Failure  // of the last rotation; nil: it did not fail
	Retiring          []Retiring
	Current           uint64 // version; 0: none
	Deleted           bool   // marked for deletion
	History           []RotationOutcome

	home name.Secret
}

// RotationFacts tells what is known of the rotation of one secret.
func (s *Service) RotationFacts(ctx context.Context, who caller.Caller, id name.SecretID) (RotationFacts, error) {
	now := time.Now()
	return about(ctx, s, who, policy.Describe, id, func(a *gate.Access, f *found) (RotationFacts, error) {
		out := rotationFacts(f, now)
		var err error
		out.History, err = outcomes(a, f.home, f.head.Suffix)
		return out, err
	})
}

func rotationFacts(f *found, now time.Time) RotationFacts {
	h := f.head
	out := RotationFacts{ARN: f.arn(), Name: f.Name, Region: f.Region, Current: h.Labels[name.Current].Number, Deleted: h.Deleted != 0,
		Retiring: h.Retiring, home: f.home}
	if h.Run != nil {
		run := *h.Run
		run.Token = ""
		out.Run = &run
	}
	if r := h.Rotation; r != nil {
		out.Kind, out.Enabled, out.Settings, out.Last, out.Failure = r.Kind(), r.Enabled, *r, when(r.Last), r.Failure
		if at, closes := h.nextRun(f.home); at != 0 && r.Enabled && h.Deleted == 0 {
			out.Next, out.Closes = when(at), closes
			out.Overdue = out.Run == nil && out.Next.Before(now.Add(-time.Minute))
		}
	}
	return out
}

// RotationDate is one date of a schedule.
type RotationDate struct{ At, Closes time.Time }

// Dates are those on which the secret is to rotate until a time, as its schedule
// stands: at most so many.
func (f *RotationFacts) Dates(until time.Time, most int) (out []RotationDate) {
	if f.Next.IsZero() {
		return nil
	}
	p, err := f.Settings.Plan()
	if err != nil {
		return nil
	}
	at, closes := f.Next, f.Closes
	for len(out) < most && !at.After(until) {
		out = append(out, RotationDate{at, closes})
		var ok bool
		// Each rotation is the anchor of the one after it.
		_, at, closes, ok = p.Next(p.Schedule.Anchor(when(f.Settings.Since), at), at, seedOf(f.home))
		if !ok {
			break
		}
	}
	return out
}

// maxRotations bounds how many secrets one calendar looks at.
const maxRotations = 20_000

// Rotations tells of the secrets of the caller's account and region that are to
// rotate before a time, or of which something else of rotation is due before it.
func (s *Service) Rotations(ctx context.Context, who caller.Caller, until time.Time) (out []RotationFacts, err error) {
	now := time.Now()
	err = s.gate.View(ctx, who, policy.ListRotations, "", func(a *gate.Access) error {
		if err := a.Allow(anything(policy.ListRotations, who), nil); err != nil {
			return err
		}
		out = nil
		looked := 0
		rng := kv.Range{Start: rotationDue.Prefix, End: rotationDue.Key(until.Add(time.Microsecond))}
		for e, err := range rotationDue.Scan(a, rng) {
			if err != nil {
				return err
			}
			ref := rotationRef(e)
			if ref.Account != who.Account || ref.Region != who.Region {
				continue
			}
			if looked++; looked > maxRotations {
				return errs.New(errs.Limit, "more than %d secrets rotate until then: ask for a shorter time", maxRotations)
			}
			f, err := s.load(a, ref.Secret, "")
			if err != nil {
				return err
			}
			if f.head == nil {
				continue
			}
			out = append(out, rotationFacts(f, now))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
