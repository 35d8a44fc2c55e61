package rotation

import (
	"context"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/rotator"
)

// State is what the rotation of a secret is about.
type State string

// The states.
const (
	None    State = "none"    // nothing is configured
	Idle    State = "idle"    // nothing is to be done before the next date
	Running State = "running" // a rotation is under way
	Undoing State = "undoing" // one failed, and the target is being brought back
	Failed  State = "failed"  // the last one failed; what was current still is
)

// Status is the rotation of a secret.
type Status struct {
	secret.RotationFacts
	State State
}

// Status tells how a secret is rotated and how that went.
func (s *Service) Status(ctx context.Context, who caller.Caller, id name.SecretID) (Status, error) {
	facts, err := s.Secrets.RotationFacts(ctx, who, id)
	if err != nil {
		return Status{}, err
	}
	return Status{RotationFacts: facts, State: stateOf(&facts)}, nil
}

func stateOf(f *secret.RotationFacts) State {
	switch {
	case f.Run != nil && f.Run.Step == secret.StepUndo:
		return Undoing
	case f.Run != nil:
		return Running
	case f.Kind == "":
		return None
	case f.Failure != nil:
		return Failed
	}
	return Idle
}

// Rotators lists what secrets can be rotated with.
func (s *Service) Rotators(ctx context.Context, who caller.Caller) (rotator.Kinds, error) {
	err := s.Gate.View(ctx, who, policy.ListRotations, "", func(a *gate.Access) error {
		return a.Allow(&policy.Request{Op: policy.ListRotations, Resource: policy.AnyResource, Account: who.Account}, nil)
	})
	if err != nil {
		return nil, err
	}
	return s.Kinds, nil
}

// CodeNoPublic is the code of NotFound: nothing of the secret is public.
const CodeNoPublic = "nothing-public"

// Public is what of the current value of a secret may be known by all, as JSON: the
// JWK set of a signing key. It takes the permission to describe the secret.
func (s *Service) Public(ctx context.Context, who caller.Caller, id name.SecretID) (out []byte, err error) {
	none := errs.Coded(errs.NotFound, CodeNoPublic, "nothing of the secret is public: it is not rotated by what publishes keys, or has no value yet")
	var n name.Secret
	err = s.Gate.View(ctx, who, policy.Describe, id.Name, func(a *gate.Access) (err error) {
		n, err = s.Secrets.Locate(a, id, policy.Describe)
		return err
	})
	if err != nil {
		return nil, err
	}
	st, err := s.Secrets.RotationState(ctx, secret.RotationRef{Secret: n})
	if err != nil {
		return nil, err
	}
	if st == nil || st.Deleted {
		return nil, none
	}
	k := s.Kinds.Find(st.Rotation.Kind())
	v := given(st.Value(st.Number))
	if k == nil || k.Public == nil || v.Empty() {
		return nil, none
	}
	if out, err = k.Public(v); err != nil {
		return nil, none
	}
	return out, nil
}

// Planned is one date of the calendar.
type Planned struct {
	Name   string
	At     time.Time
	Closes time.Time
	Kind   string
	State  State
}

// maxPlanned bounds a calendar.
const maxPlanned = 1000

// Calendar lists when secrets that the caller may list are to rotate from now until
// a time, the soonest first: at most 1000 dates; more says that some were left off.
// Each secret stands for every date that its schedule has.
func (s *Service) Calendar(ctx context.Context, who caller.Caller, until time.Time) (out []Planned, more bool, err error) {
	all, err := s.Secrets.Rotations(ctx, who, until)
	if err != nil {
		return nil, false, err
	}
	for i := range all {
		f := &all[i]
		for _, d := range f.Dates(until, maxPlanned) {
			out = append(out, Planned{Name: f.Name, At: d.At, Closes: d.Closes, Kind: f.Kind, State: stateOf(f)})
		}
	}
	slices.SortStableFunc(out, func(a, b Planned) int { return a.At.Compare(b.At) })
	if len(out) > maxPlanned {
		return out[:maxPlanned], true, nil
	}
	return out, false, nil
}
