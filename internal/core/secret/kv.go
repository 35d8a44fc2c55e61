package secret

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// What a front needs that knows secrets as Vault's key-value engine does: by the
// numbers of their versions, of which some are deleted or destroyed.
//
// A version that is deleted keeps its value, its number and its labels, and reads
// as if it were not there, at every front, until it is undeleted. One that is
// destroyed has lost its value for good; what is known of it stays. A version may
// have a time after which it reads as deleted by itself: no job has to run for
// that. The current version is the one labelled AWSCURRENT. Versions that wait
// for review are none yet.

// KVSettings are what a secret says of its versions, or, of a mount, what holds for
// secrets that say nothing. Nil says nothing, and so does zero.
type KVSettings struct {
	MaxVersions *uint64        // how many versions are kept
	CASRequired *bool          // a write has to say which version it replaces
	DeleteAfter *time.Duration // after which a new version reads as deleted; of a mount, below zero: never, whatever the secret says
	Tags        map[string]string
}

// maxDeleteAfter bounds DeleteAfter.
const maxDeleteAfter = 100 * 365 * 24 * time.Hour

func (h *head) settings() KVSettings {
	out := KVSettings{Tags: tagMap(h.Tags)}
	if n := h.MaxVersions; n != 0 {
		out.MaxVersions = &n
	}
	if h.CASRequired {
		yes := true
		out.CASRequired = &yes
	}
	if h.DeleteAfter != 0 {
		d := time.Duration(h.DeleteAfter) * time.Microsecond
		out.DeleteAfter = &d
	}
	return out
}

// KVRead asks for one version.
type KVRead struct {
	ID     name.SecretID
	Number uint64 // 0: the current one
}

// KVVersion is a version that may be gone.
type KVVersion struct {
	Value               // without Data when the version is gone
	Deleted   time.Time // when it was deleted, or will be by itself; zero: neither
	Destroyed bool
	Gone      bool       // deleted or destroyed at the time of the request
	Metadata  KVSettings // of the secret
}

// ReadVersion is ReadValue for a front that shows versions that are gone: of one
// that is deleted or destroyed, or whose secret is marked for deletion, the facts
// come without the value. In the audit log that is a read that was refused.
//
// NotFound: the secret or the version never was there, or is no longer kept.
func (s *Service) ReadVersion(ctx context.Context, who caller.Caller, req KVRead) (KVVersion, error) {
	return s.readVersion(ctx, who, policy.ReadValue, req)
}

// ReadKeys is ReadVersion for a front that shows no more of the value than which
// keys it has.
func (s *Service) ReadKeys(ctx context.Context, who caller.Caller, req KVRead) (KVVersion, error) {
	return s.readVersion(ctx, who, policy.ReadKeys, req)
}

func (s *Service) readVersion(ctx context.Context, who caller.Caller, op policy.Op, req KVRead) (KVVersion, error) {
	r := s.borrow(op, ReadRequest{ID: req.ID, Number: req.Number})
	defer s.giveBack(r)
	err := s.gate.View(ctx, who, op, req.ID.Name, r.readVersion)
	if err != nil && (!r.out.Gone || !errs.Is(err, errs.NotFound) && !errs.Is(err, errs.Precondition)) {
		return KVVersion{}, err
	}
	return r.out, nil
}

// version does what ReadVersion says. Of a version that is gone there is both what
// is known of it and the error that ReadValue would return.
func (r *reading) version(a *gate.Access) (err error) {
	if err := r.find(a, r.stage()); err != nil {
		return err
	}
	if r.out, err = r.s.factsOfVersion(a, &r.found, r.req.Number); err != nil {
		return err
	}
	return r.open(a, r.out.Number, r.out.Number == r.head.Labels[name.Current].Number)
}

// factsOfVersion is what is known of a version but its value, with an error when
// it has none to be read.
func (s *Service) factsOfVersion(a *gate.Access, f *found, number uint64) (KVVersion, error) {
	h, now := f.head, a.Record.Time
	current := h.Labels[name.Current]
	code, which := CodeVersion, ""
	if number == 0 {
		code, which, number = CodeLabel, name.Current, current.Number
	}
	v, ok, err := s.numbered(a, f, number)
	if err != nil {
		return KVVersion{}, err
	}
	if !ok {
		return KVVersion{}, noVersion(code, which)
	}
	out := KVVersion{Value: Value{ARN: f.arn(), Name: f.Name, Number: number, VersionID: v.ID, Labels: h.labelsOf(number),
		Created: when(v.Created), Binary: v.Binary, Object: len(v.Keys) > 0 || current.Object && current.Number == number}, Deleted: when(v.Gone), Destroyed: v.State == Destroyed, Metadata: h.settings()}
	if state := v.state(now); state != Enabled {
		out.Gone = true
		return out, &errs.Error{Kind: errs.NotFound, Code: code, Field: which, Msg: "the version is " + string(state)}
	}
	if h.Deleted != 0 {
		out.Gone, out.Deleted = true, when(h.Deleted)
		return out, h.live()
	}
	return out, nil
}

// numbered finds a version that has or had a value and waits for nothing. What the
// label says of the current one is enough as long as that can be read.
func (s *Service) numbered(a *gate.Access, f *found, number uint64) (v version, ok bool, err error) {
	h := f.head
	if number == 0 || h.waiting(number) {
		return version{}, false, nil
	}
	if at := h.Labels[name.Current]; at.Number == number && at.readable(a.Record.Time) {
		return version{ID: at.ID, Created: at.Created, Binary: at.Binary, State: Enabled, Gone: at.Expires}, true, nil
	}
	v, ok, err = record.Get[version](a, versionKey(f.home, h.Suffix, number))
	return v, ok && !v.Empty, err
}

// KVMetadata is what is known of a secret and its versions but the values.
type KVMetadata struct {
	ARN, Name        string
	Created, Updated time.Time
	Current          uint64    // number of the current version; 0: there is none
	Oldest           uint64    // the lowest that is kept; 0 as long as none was pruned
	Deleted          time.Time // when the secret was marked for deletion; zero: it is not
	Settings         KVSettings
	Versions         map[uint64]KVVersionInfo
}

// KVVersionInfo is what is known of one version.
type KVVersionInfo struct {
	Created   time.Time
	Deleted   time.Time // when it was deleted, or will be by itself; zero: neither
	Destroyed bool
	Author    string // ARN
}

// KVDescribe describes a secret with its versions, also one marked for deletion:
// then all of its versions are deleted.
func (s *Service) KVDescribe(ctx context.Context, who caller.Caller, id name.SecretID) (KVMetadata, error) {
	return about(ctx, s, who, policy.Describe, id, s.kvDescribe)
}

func (s *Service) kvDescribe(a *gate.Access, f *found) (KVMetadata, error) {
	h := f.head
	out := KVMetadata{ARN: f.arn(), Name: f.Name, Created: when(h.Created), Updated: when(h.Changed), Current: h.Labels[name.Current].Number,
		Deleted: when(h.Deleted), Settings: h.settings(), Versions: map[uint64]KVVersionInfo{}}
	for en, err := range record.Scan[version](a, kv.Prefix(kv.K(f.home.Account, "version", f.home.Region, f.home.Name, h.Suffix))) {
		if err != nil {
			return KVMetadata{}, err
		}
		_, nums, err := en.Key.Parts("sssssn")
		if err != nil {
			return KVMetadata{}, err
		}
		v, number := &en.Value, nums[0]
		if v.Empty || h.waiting(number) {
			continue
		}
		if len(out.Versions) == 0 && number > 1 {
			out.Oldest = number
		}
		info := KVVersionInfo{Created: when(v.Created), Deleted: when(v.Gone), Destroyed: v.State == Destroyed, Author: v.Author}
		if h.Deleted != 0 && v.state(a.Record.Time) == Enabled {
			info.Deleted = out.Deleted
		}
		out.Versions[number] = info
	}
	return out, nil
}
