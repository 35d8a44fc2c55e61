package secret

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// ReadRequest asks for one version's value. Without a version it is the one
// labelled AWSCURRENT; when several of VersionID, Number and Label are given,
// they must agree.
type ReadRequest struct {
	ID        name.SecretID
	VersionID string
	Number    uint64
	Label     string
}

// Value is a version with its value.
type Value struct {
	ARN, Name string
	Number    uint64
	VersionID string
	Labels    []string // sorted
	Created   time.Time
	Binary    bool // it was stored as bytes, not as text
	Object    bool // it is known to be a JSON object; false says nothing
	Data      sensitive.Bytes
}

// ReadValue returns the value of one version.
//
// NotFound: the secret, the label or the version does not exist, or the
// version has no value yet. Precondition: the secret is marked for deletion,
// or version and label disagree.
func (s *Service) ReadValue(ctx context.Context, who caller.Caller, req ReadRequest) (Value, error) {
	r := s.borrow(policy.ReadValue, req)
	defer s.giveBack(r)
	if err := s.gate.View(ctx, who, r.op, req.ID.Name, r.readValue); err != nil {
		return Value{}, err
	}
	return r.out.Value, nil
}

// reading is a read of one version under way, with all the memory that it takes:
// reads are what a server does most. It ends before its transaction does, so what
// the record holds of bytes is not copied.
type reading struct {
	found
	s     *Service
	op    policy.Op
	req   ReadRequest
	extra [2]policy.Pair // of the question to policy
	out   KVVersion

	readValue, readVersion func(*gate.Access) error // value and version, made once
}

// borrow begins a read, which giveBack ends.
func (s *Service) borrow(op policy.Op, req ReadRequest) *reading {
	r, _ := s.reads.Get().(*reading)
	if r == nil {
		r = &reading{s: s}
		r.readValue, r.readVersion = r.value, r.version
	}
	r.own.borrows = true
	r.op, r.req = op, req
	return r
}

// giveBack leaves nothing of a read but its memory.
func (s *Service) giveBack(r *reading) {
	labels := r.own.Labels
	clear(labels)
	clear(r.key)
	*r = reading{found: found{own: head{Labels: labels}, key: r.key}, s: s, readValue: r.readValue, readVersion: r.readVersion}
	s.reads.Put(r)
}

// find finds the secret, and asks policy about reading what the request means.
func (r *reading) find(a *gate.Access, stage string) error {
	if err := r.s.findInto(&r.found, a, a.Who, r.req.ID); err != nil {
		return err
	}
	a.Record.Resource = r.Name
	asked := r.extra[:0]
	if stage != "" {
		asked = append(asked, policy.Pair{Key: policy.KeyVersionStage, Value: stage})
	}
	if r.req.VersionID != "" {
		asked = append(asked, policy.Pair{Key: policy.KeyVersionID, Value: r.req.VersionID})
	}
	if err := r.allow(a, r.op, asked...); err != nil {
		return err
	}
	return r.mustExist()
}

// stage is the label that the request means; empty when it names a version.
func (r *reading) stage() string {
	if r.req.Label == "" && r.req.VersionID == "" && r.req.Number == 0 {
		return name.Current
	}
	return r.req.Label
}

// value does what ReadValue says.
func (r *reading) value(a *gate.Access) error {
	stage := r.stage()
	if err := r.find(a, stage); err != nil {
		return err
	}
	if err := r.head.live(); err != nil {
		return err
	}
	at, binary, err := r.s.pick(a, &r.found, r.req, stage, a.Record.Time)
	if err != nil {
		return err
	}
	if err := r.open(a, at.Number, stage == name.Current && r.req.VersionID == "" && r.req.Number == 0); err != nil {
		return err
	}
	r.out.ARN, r.out.Name, r.out.Number, r.out.VersionID = r.arn(), r.Name, at.Number, at.ID
	r.out.Labels, r.out.Created, r.out.Binary = r.head.labelsOf(at.Number), when(at.Created), binary
	return nil
}

// open decrypts the value of a version, and notes what was read.
func (r *reading) open(a *gate.Access, number uint64, current bool) (err error) {
	a.Record.Version = number
	read := r.s.value
	if current {
		read = r.s.current
	}
	if r.out.Data, err = read(a, &r.found, number); err == nil && r.op == policy.ReadValue {
		r.s.used.note(r.Secret, r.head.Suffix, number, a.Who.Time)
	}
	return err
}

// pick chooses the version that a request means. What was deleted, or is by now,
// is not there.
func (s *Service) pick(r kv.Reader, f *found, req ReadRequest, stage string, now time.Time) (at labelled, binary bool, err error) {
	h := f.head
	switch {
	case req.Number != 0:
		at.Number = req.Number
	case req.VersionID != "":
		n, ok, err := numberOf(r, f.home, h, req.VersionID)
		if err != nil {
			return at, false, err
		}
		if !ok {
			return at, false, noVersion(CodeVersion, req.VersionID)
		}
		at.Number = n
	default:
		var ok bool
		switch at, ok = h.Labels[stage]; {
		case !ok:
			return at, false, noVersion(CodeLabel, stage)
		case !at.readable(now):
			return at, false, s.unreadable(r, f, at.Number, now, noVersion(CodeLabel, stage))
		}
		return at, at.Binary, nil
	}
	v, ok, err := record.Get[version](r, versionKey(f.home, h.Suffix, at.Number))
	switch {
	case err != nil:
		return at, false, err
	case !ok || v.Empty || req.VersionID != "" && v.ID != req.VersionID:
		return at, false, noVersion(CodeVersion, req.VersionID)
	case !v.readable(now):
		return at, false, s.unreadable(r, f, at.Number, now, noVersion(CodeVersion, req.VersionID))
	}
	if stage != "" && h.Labels[stage].Number != at.Number {
		return at, false, errs.Coded(errs.Precondition, CodeMismatch, "the version does not have that label")
	}
	return labelled{Number: at.Number, ID: v.ID, Created: v.Created}, v.Binary, nil
}

// unreadable says in the not-found error of a version without a value what became
// of it, if that is known.
func (s *Service) unreadable(r kv.Reader, f *found, number uint64, now time.Time, missing *errs.Error) error {
	v, ok, err := record.Get[version](r, versionKey(f.home, f.head.Suffix, number))
	if err != nil {
		return err
	}
	if state := v.state(now); ok && !v.Empty && state != Enabled {
		missing.Msg = fmt.Sprintf("version %d is %s", number, state)
	}
	return missing
}

// noVersion is not-found for a label or version id, kept in Field.
func noVersion(code, which string) *errs.Error {
	return &errs.Error{Kind: errs.NotFound, Code: code, Field: which, Msg: "the secret has no such version"}
}

// Description is what is known of a secret but its values.
type Description struct {
	ARN, Name, Region string
	Description       string
	KMSKey, Type      string
	Created, Changed  time.Time
	Accessed          time.Time // the day; zero when never
	Deleted, Purge    time.Time // zero unless marked for deletion
	Tags              []Tag
	Labels            map[string][]string // version id -> labels, sorted; labelled versions only
	Current           uint64              // number of the current version; 0 when there is none
	Rotation          *Rotation
	NextRotation      time.Time // zero unless rotation is enabled
	PrimaryRegion     string    // set when the secret is or has a replica
	Replicas          []Replica
	Schema            bool // the value has to fit one
}

// Describe returns what is known of a secret, also of one marked for deletion.
func (s *Service) Describe(ctx context.Context, who caller.Caller, id name.SecretID) (Description, error) {
	return about(ctx, s, who, policy.Describe, id, func(a *gate.Access, f *found) (Description, error) { return s.describe(a, f) })
}

// about runs a read of what is known of one secret, which has to be there, as an
// operation of that name.
func about[T any](ctx context.Context, s *Service, who caller.Caller, op policy.Op, id name.SecretID, read func(a *gate.Access, f *found) (T, error)) (T, error) {
	var out, none T
	err := s.gate.View(ctx, who, op, id.Name, func(a *gate.Access) error {
		f, err := s.ask(a, id, op)
		if err != nil {
			return err
		}
		if err := f.mustExist(); err != nil {
			return err
		}
		out, err = read(a, f)
		return err
	})
	if err != nil {
		return none, err
	}
	return out, nil
}

// ask finds a secret and asks policy about one operation on it.
func (s *Service) ask(a *gate.Access, id name.SecretID, op policy.Op, extra ...policy.Pair) (*found, error) {
	f, err := s.find(a, a.Who, id)
	if err != nil {
		return nil, err
	}
	a.Record.Resource = f.Name
	return f, f.allow(a, op, extra...)
}

func (s *Service) describe(r kv.Reader, f *found) (Description, error) {
	h := f.head
	used, _, err := record.Get[int64](r, usedKey(f.Secret, h.Suffix, 0))
	if err != nil {
		return Description{}, err
	}
	d := Description{
		ARN: f.arn(), Name: f.Name, Region: f.Region, Description: h.Description, KMSKey: h.KMSKey, Type: h.Type,
		Created: when(h.Created), Changed: when(h.Changed), Accessed: dayTime(s.used.last(f.Secret, h.Suffix, 0, used)),
		Deleted: when(h.Deleted), Purge: when(h.Purge), Tags: h.Tags,
		Current: h.Labels[name.Current].Number, Rotation: h.Rotation, Replicas: h.Replicas, Schema: h.Schema != nil,
	}
	if f.replica != nil {
		d.KMSKey, d.PrimaryRegion = f.replica.KMSKey, f.home.Region
	} else if len(h.Replicas) > 0 {
		d.PrimaryRegion = f.Region
	}
	for label, at := range h.Labels {
		if d.Labels == nil {
			d.Labels = map[string][]string{}
		}
		d.Labels[at.ID] = append(d.Labels[at.ID], label)
	}
	for _, labels := range d.Labels {
		slices.Sort(labels)
	}
	if h.Rotation != nil && h.Rotation.Enabled && h.Deleted == 0 {
		next, _ := h.nextRun(f.home)
		d.NextRotation = when(next)
	}
	return d, nil
}

// VersionInfo is what is known of a version but its value.
type VersionInfo struct {
	Number   uint64    `json:"number"`
	ID       string    `json:"id"`
	Labels   []string  `json:"labels,omitempty"`
	State    State     `json:"state"`
	Created  time.Time `json:"created"`
	Deleted  time.Time `json:"deleted,omitzero"`  // when it was deleted, or will be by itself
	Accessed time.Time `json:"accessed,omitzero"` // the day
	KMSKey   string    `json:"kms_key,omitempty"`
	Size     int       `json:"size"` // of the value, in bytes
	Binary   bool      `json:"binary,omitempty"`
	Author   string    `json:"author,omitempty"`
	Change   string    `json:"change,omitempty"`
}

// VersionsRequest asks for a page of a secret's versions, newest first.
type VersionsRequest struct {
	ID        name.SecretID
	Unlabeled bool // also versions that have no label
	Destroyed bool // of those, also the ones whose values were destroyed
	Max       int  // at most this many; default 100
	Token     string
}

// Versions is one page. Token is empty on the last.
type Versions struct {
	ARN, Name string
	Versions  []VersionInfo
	Token     string
}

// ListVersions lists a secret's versions.
func (s *Service) ListVersions(ctx context.Context, who caller.Caller, req VersionsRequest) (Versions, error) {
	return about(ctx, s, who, policy.ListVersions, req.ID, func(a *gate.Access, f *found) (Versions, error) { return s.listVersions(a, f, req) })
}

func (s *Service) listVersions(a *gate.Access, f *found, req VersionsRequest) (Versions, error) {
	out := Versions{ARN: f.arn(), Name: f.Name}
	limit := pageLimit(req.Max)
	scope := pageScope("versions", f.home, f.head.Suffix, req.Unlabeled, req.Destroyed)
	before, err := s.openToken(f.Account, scope, req.Token)
	if err != nil {
		return out, err
	}
	labels := map[uint64][]string{}
	for l, at := range f.head.Labels {
		labels[at.Number] = append(labels[at.Number], l)
	}
	rng := kv.Prefix(kv.K(f.home.Account, "version", f.home.Region, f.home.Name, f.head.Suffix))
	rng.Reverse = true
	if before != nil {
		rng.End = before
	}
	for e, err := range record.Scan[version](a, rng) {
		if err != nil {
			return out, err
		}
		_, nums, err := e.Key.Parts("sssssn")
		if err != nil {
			return out, err
		}
		number, v := nums[0], e.Value
		if labels[number] == nil && (!req.Unlabeled || v.State == Destroyed && !req.Destroyed) {
			continue
		}
		if len(out.Versions) == limit {
			last := out.Versions[limit-1].Number
			out.Token, err = s.sealToken(f.Account, scope, versionKey(f.home, f.head.Suffix, last))
			return out, err
		}
		used, _, err := record.Get[int64](a, usedKey(f.Secret, f.head.Suffix, number))
		if err != nil {
			return out, err
		}
		slices.Sort(labels[number])
		out.Versions = append(out.Versions, VersionInfo{Number: number, ID: v.ID, Labels: labels[number], State: v.state(a.Record.Time),
			Created: when(v.Created), Deleted: when(v.Gone), Accessed: dayTime(s.used.last(f.Secret, f.head.Suffix, number, used)), KMSKey: v.KMSKey, Size: v.Size, Binary: v.Binary,
			Author: v.Author, Change: v.Change})
	}
	return out, nil
}

// MaxBatch is how many secrets one batch reads, and the default of a page.
const MaxBatch = 20

// BatchRequest asks for the current values of up to 20 secrets by their ids,
// or for a page of those that filters select.
type BatchRequest struct {
	IDs     []name.SecretID
	Filters []Filter
	Max     int // 1 to 20, with Filters only
	Token   string
}

// BatchFailure is one secret of a batch that could not be read.
type BatchFailure struct {
	ID  string // as it was asked for
	Err *errs.Error
}

// Batch is the values that could be read and the reasons for the others.
type Batch struct {
	Values   []Value
	Failures []BatchFailure
	Token    string
}

// BatchReadValue reads several secrets. Filters need the permission to list
// secrets too, since names come of them. Each is authorized and audited as a
// ReadValue of its own, beside the batch itself.
func (s *Service) BatchReadValue(ctx context.Context, who caller.Caller, req BatchRequest) (Batch, error) {
	var out Batch
	var ids []name.SecretID
	err := s.gate.View(ctx, who, policy.BatchReadValue, "", func(a *gate.Access) error {
		out, ids = Batch{}, slices.Clone(req.IDs)
		if err := a.Allow(anything(policy.BatchReadValue, who), nil); err != nil {
			return err
		}
		if len(req.Filters) == 0 {
			return nil
		}
		if err := a.Allow(anything(policy.ListSecrets, who), nil); err != nil {
			return err
		}
		page, err := s.list(a, ListRequest{Filters: req.Filters, Max: cmp.Or(req.Max, MaxBatch), Token: req.Token}, "batch")
		if err != nil {
			return err
		}
		out.Token = page.Token
		for _, d := range page.Secrets {
			ids = append(ids, name.SecretID{Name: d.Name})
		}
		return nil
	})
	if err != nil {
		return Batch{}, err
	}
	for _, id := range ids {
		v, err := s.ReadValue(ctx, who, ReadRequest{ID: id})
		if e := errs.As(err); e == nil {
			out.Values = append(out.Values, v)
		} else if e.Kind == errs.Unavailable || e.Kind == errs.Canceled {
			return Batch{}, err
		} else {
			out.Failures = append(out.Failures, BatchFailure{ID: id.String(), Err: e})
		}
	}
	return out, nil
}

// ResourcePolicy is the policy on a secret itself.
type ResourcePolicy struct {
	ARN, Name string
	Policy    string // IAM JSON as it was put; empty when there is none
}

// GetResourcePolicy returns the policy on a secret itself.
func (s *Service) GetResourcePolicy(ctx context.Context, who caller.Caller, id name.SecretID) (ResourcePolicy, error) {
	return about(ctx, s, who, policy.GetResourcePolicy, id, func(_ *gate.Access, f *found) (ResourcePolicy, error) {
		return ResourcePolicy{ARN: f.arn(), Name: f.Name, Policy: f.head.Policy}, f.head.live()
	})
}
