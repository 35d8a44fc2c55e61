package secret

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/rotator"
	"countersign/internal/sensitive"
)

// VerifyRequest presents a value.
type VerifyRequest struct {
	ID    name.SecretID
	Value sensitive.Bytes // at most 64 KiB
	Key   string          // compare with that member of the JSON object; empty: with the whole value
}

// Match is what a presented value is.
type Match string

// What a presented value can be.
const (
	MatchCurrent  Match = "current"
	MatchPrevious Match = "previous" // the one before, within the grace that rotation gives it
	MatchNone     Match = "none"
)

// Verified is the answer to Verify.
type Verified struct {
	Match   Match
	Version uint64    // that matched; 0: none
	Until   time.Time // end of the grace of a previous value
}

// maxPresented is the largest value that can be presented, in bytes.
const maxPresented = 64 << 10

// CodeMisses is the code of Throttled: too many values were presented that were none.
const CodeMisses = "misses"

// Limits of values that do not match, of one principal with one secret.
const (
	missesPerSecond = 20
	missesAtOnce    = 200
)

// Verify tells whether a value is the current one of a secret, the previous one
// within its grace, or neither, to a service that checks what is presented to it
// without holding it. It takes a permission of its own: who may verify may not
// thereby read, nor the other way round.
//
// Both comparisons are made whatever comes of the first, over keyed digests, in
// constant time. What can be measured is the length of what is presented and of what
// is stored, and whether the secret has a previous value with a grace; not how much
// of a value was right.
//
// Throttled: the caller has presented too many values that did not match.
func (s *Service) Verify(ctx context.Context, who caller.Caller, req VerifyRequest) (Verified, error) {
	if err := name.Text("key", req.Key, 512); err != nil {
		return Verified{}, s.refuse(ctx, who, policy.VerifyValue, req.ID.Name, err)
	}
	if n := req.Value.Len(); n == 0 || n > maxPresented {
		return Verified{}, s.refuse(ctx, who, policy.VerifyValue, req.ID.Name, errs.InvalidField("value", "a value has 1 to %d bytes", maxPresented))
	}
	now := time.Now()
	print := s.fingerprint(account(who, req.ID), req.Value.Reveal())
	return about(ctx, s, who, policy.VerifyValue, req.ID, func(a *gate.Access, f *found) (Verified, error) {
		if err := f.head.live(); err != nil {
			return Verified{}, err
		}
		by := who.Account + "/" + who.Name + "\x00" + f.home.ARN(f.suffix) // in whichever region it is asked
		if !s.misses.Room(by, now) {
			return Verified{}, errs.Coded(errs.Throttled, CodeMisses, "too many values were presented that did not match")
		}
		out, err := s.verify(a, f, print, req.Key, now)
		if err != nil {
			return Verified{}, err
		}
		if a.Record.Version = out.Version; out.Match == MatchNone {
			s.misses.Take(by, now)
		}
		return out, nil
	})
}

func (s *Service) verify(r kv.Reader, f *found, print []byte, key string, now time.Time) (Verified, error) {
	current, previous := f.head.Labels[name.Current], f.head.Labels[name.Previous]
	until, err := s.graceEnd(r, f, now)
	if err != nil {
		return Verified{}, err
	}
	is, err := s.matches(r, f, current, print, key, now)
	if err != nil {
		return Verified{}, err
	}
	was, err := s.matches(r, f, previous, print, key, now)
	if err != nil {
		return Verified{}, err
	}
	switch {
	case is == 1:
		return Verified{Match: MatchCurrent, Version: current.Number}, nil
	case was == 1 && now.Before(until):
		return Verified{Match: MatchPrevious, Version: previous.Number, Until: until}, nil
	}
	return Verified{Match: MatchNone}, nil
}

// matches is 1 when a version has the value with that digest.
func (s *Service) matches(r kv.Reader, f *found, at labelled, print []byte, key string, now time.Time) (int, error) {
	stored := []byte(nil)
	there := at.Number != 0 && at.readable(now)
	if there {
		data, err := s.value(r, f, at.Number)
		if err != nil {
			return 0, err
		}
		stored = data.Reveal()
		if key != "" {
			stored, there = memberOf(stored, key)
		}
	}
	same := subtle.ConstantTimeCompare(s.fingerprint(f.Account, stored), print)
	if !there {
		return 0, nil
	}
	return same, nil
}

// memberOf is a member of a JSON object: the text of a string, and other JSON as it
// is written.
func memberOf(value []byte, key string) ([]byte, bool) {
	members, ok := object(value)
	if !ok {
		return nil, false
	}
	raw, ok := index(members)[key]
	if !ok {
		return nil, false
	}
	return textOf(json.RawMessage(raw)), true
}

// graceEnd is until when the previous value is accepted, zero when it is not.
func (s *Service) graceEnd(r kv.Reader, f *found, now time.Time) (time.Time, error) {
	h := f.head
	current := h.Labels[name.Current].Number
	if h.Rotation == nil || h.Rotation.Grace == 0 || current == 0 || h.Rotation.Revoked == current {
		return time.Time{}, nil
	}
	if k := s.kinds.Find(h.Rotation.Kind()); k != nil && k.Leaves(h.Rotation.Settings()) == rotator.Replaced {
		return time.Time{}, nil // the target has not accepted it since the new one was set
	}
	v, ok, err := record.Get[version](r, versionKey(f.home, h.Suffix, current))
	if err != nil || !ok {
		return time.Time{}, err
	}
	if v.Current > micros(now) { // by a clock that was set back since
		return h.graceOf(h.Labels[name.Previous].Number), nil
	}
	return when(v.Current + h.Rotation.Grace), nil
}
