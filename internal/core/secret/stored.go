package secret

import (
	"fmt"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// stored is an edit of a secret as it is written down while it waits. Each kind
// of edit uses some of the fields.
type stored struct {
	ID        name.SecretID     `cbor:"1,keyasint"`
	VersionID string            `cbor:"2,keyasint,omitempty"`
	Labels    []string          `cbor:"3,keyasint,omitempty"`
	Value     *storedValue      `cbor:"4,keyasint,omitempty"`
	Held      held              `cbor:"5,keyasint"`
	Describe  *string           `cbor:"6,keyasint,omitempty"`
	KMSKey    *string           `cbor:"7,keyasint,omitempty"`
	Type      *string           `cbor:"8,keyasint,omitempty"`
	Tags      []Tag             `cbor:"9,keyasint,omitempty"`
	Remove    []string          `cbor:"10,keyasint,omitempty"` // tag keys, regions, keys of the value
	Replicas  []Replica         `cbor:"11,keyasint,omitempty"`
	Force     bool              `cbor:"12,keyasint,omitempty"`
	Suffix    string            `cbor:"13,keyasint,omitempty"`
	DataKey   []byte            `cbor:"14,keyasint,omitempty"`
	Window    int               `cbor:"15,keyasint,omitempty"`
	Label     string            `cbor:"16,keyasint,omitempty"`
	From      string            `cbor:"17,keyasint,omitempty"`
	To        string            `cbor:"18,keyasint,omitempty"`
	Text      string            `cbor:"19,keyasint,omitempty"` // of a policy or a schema; the token of a rotation
	Rotate    *RotateRequest    `cbor:"20,keyasint,omitempty"`
	Set       map[string][]byte `cbor:"21,keyasint,omitempty"`
	Patch     bool              `cbor:"22,keyasint,omitempty"`
	Roll      *roll             `cbor:"23,keyasint,omitempty"`
	KV        *storedKV         `cbor:"24,keyasint,omitempty"`
}

// storedKV is what edits by the numbers of versions, and of settings, have beside.
type storedKV struct {
	CAS         *uint64        `cbor:"1,keyasint,omitempty"`
	MaxVersions *uint64        `cbor:"2,keyasint,omitempty"`
	CASRequired *bool          `cbor:"3,keyasint,omitempty"`
	DeleteAfter *time.Duration `cbor:"4,keyasint,omitempty"`
	Numbers     []uint64       `cbor:"5,keyasint,omitempty"`
	Current     uint64         `cbor:"6,keyasint,omitempty"`
	Tags        bool           `cbor:"7,keyasint,omitempty"` // tags are given
	Merge       bool           `cbor:"8,keyasint,omitempty"`
}

func (w *storedKV) settings() KVSettings {
	return KVSettings{MaxVersions: w.MaxVersions, CASRequired: w.CASRequired, DeleteAfter: w.DeleteAfter}
}

type storedValue struct {
	Data   []byte `cbor:"1,keyasint"`
	Binary bool   `cbor:"2,keyasint,omitempty"`
}

// keep is a value as it is written down; nil when it is kept as a version that
// waits, or there is none.
func keep(in *Input, h held) *storedValue {
	if in == nil || h.Number != 0 {
		return nil
	}
	return &storedValue{Data: in.Data.Reveal(), Binary: in.Binary}
}

func (v *storedValue) input() *Input {
	if v == nil {
		return nil
	}
	return &Input{Data: sensitive.New(v.Data), Binary: v.Binary}
}

// Encode implements change.Proposal.
func (e *createEdit) Encode() ([]byte, error) {
	r := e.req
	return record.Encode(stored{ID: e.id, VersionID: r.VersionID, Value: keep(r.Value, held{}), Describe: &r.Description, KMSKey: &r.KMSKey,
		Type: &r.Type, Tags: r.Tags, Replicas: r.Replicas, Force: r.ForceReplicas, Suffix: e.suffix, DataKey: e.dataKey})
}

// Encode implements change.Proposal.
func (e *putEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, VersionID: e.req.VersionID, Labels: e.req.Labels, Value: keep(&e.req.Value, e.held), Held: e.held})
}

// Encode implements change.Proposal.
func (e *updateEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, VersionID: e.req.VersionID, Value: keep(e.req.Value, e.held), Held: e.held,
		Describe: e.req.Description, KMSKey: e.req.KMSKey, Type: e.req.Type})
}

// Encode implements change.Proposal.
func (e *deleteEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, Window: e.req.Window, Force: e.req.Force})
}

// Encode implements change.Proposal.
func (e *restoreEdit) Encode() ([]byte, error) { return record.Encode(stored{ID: e.id}) }

// Encode implements change.Proposal.
func (e *tagEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, Tags: e.set, Remove: e.remove})
}

// Encode implements change.Proposal.
func (e *labelEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, Label: e.req.Label, From: e.req.From, To: e.req.To, Force: e.req.Infer})
}

// Encode implements change.Proposal.
func (e *policyEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, Text: e.text, Force: e.block})
}

// Encode implements change.Proposal.
func (e *rotateEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, Rotate: &e.req, Text: e.token})
}

// Encode implements change.Proposal.
func (e *cancelEdit) Encode() ([]byte, error) { return record.Encode(stored{ID: e.id}) }

// Encode implements change.Proposal.
func (e *replicaEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, Replicas: e.add, Force: e.force})
}

// Encode implements change.Proposal.
func (e *unreplicateEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, Remove: e.regions})
}

// Encode implements change.Proposal.
func (e *promoteEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, DataKey: e.dataKey})
}

// Encode implements change.Proposal.
func (e *patchEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, VersionID: e.versionID, Set: e.set, Remove: e.req.Unset, Force: e.req.Replace, Held: e.held,
		Suffix: e.suffix, DataKey: e.dataKey, Patch: true})
}

// Encode implements change.Proposal.
func (e *rollbackEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, VersionID: e.versionID, Roll: &e.roll, Held: e.held})
}

// Encode implements change.Proposal.
func (e *kvEdit) Encode() ([]byte, error) {
	w := stored{ID: e.id, VersionID: e.versionID, Held: e.held, Suffix: e.suffix, DataKey: e.dataKey,
		KV: &storedKV{CAS: e.cas, MaxVersions: e.mount.MaxVersions, DeleteAfter: e.mount.DeleteAfter}}
	if e.patch == nil {
		w.Value = keep(&e.value.Input, e.held)
	}
	return record.Encode(w)
}

// Encode implements change.Proposal.
func (e *versionsEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, KV: &storedKV{Numbers: e.numbers, Current: e.current, DeleteAfter: e.mount.DeleteAfter}})
}

// Encode implements change.Proposal.
func (e *kvSetEdit) Encode() ([]byte, error) {
	r := e.req
	return record.Encode(stored{ID: e.id, Tags: e.set, Remove: e.remove, Suffix: e.suffix, DataKey: e.dataKey,
		KV: &storedKV{MaxVersions: r.MaxVersions, CASRequired: r.CASRequired, DeleteAfter: r.DeleteAfter, Tags: r.Tags != nil, Merge: r.Merge}})
}

// DecodeEdit reads back an edit that was written down; see change.Decoder.
func (s *Service) DecodeEdit(author caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
	var w stored
	if err := record.Decode(data, &w); err != nil {
		return nil, err
	}
	base := edit{s: s, op: op, who: author, id: w.ID, decoded: true}
	switch {
	case w.Patch:
		return &patchEdit{edit: base, req: PatchRequest{ID: w.ID, Unset: w.Remove, Replace: w.Force}, set: w.Set,
			versionID: w.VersionID, suffix: w.Suffix, dataKey: w.DataKey, held: w.Held}, nil
	case w.KV != nil:
		return s.decodeKV(base, op, t, &w)
	case w.Roll != nil:
		return &rollbackEdit{edit: base, roll: *w.Roll, versionID: w.VersionID, held: w.Held}, nil
	}
	return s.decodeAs(base, op, t, &w)
}

func (s *Service) decodeAs(base edit, op policy.Op, t change.Target, w *stored) (change.Edit, error) {
	switch op {
	case policy.CreateSecret:
		return s.decodeCreate(base, w)
	case policy.PutValue:
		e := &putEdit{edit: base, req: PutRequest{ID: w.ID, VersionID: w.VersionID, Labels: w.Labels}, held: w.Held}
		if in := w.Value.input(); in != nil {
			e.req.Value = *in
			var err error
			if e.value, err = s.print(t.Account, *in); err != nil {
				return nil, err
			}
		}
		return e, nil
	case policy.UpdateSecret:
		e := &updateEdit{edit: base, held: w.Held,
			req: UpdateRequest{ID: w.ID, VersionID: w.VersionID, Description: w.Describe, KMSKey: w.KMSKey, Type: w.Type}}
		if e.req.Value = w.Value.input(); e.req.Value != nil {
			var err error
			if e.value, err = s.print(t.Account, *e.req.Value); err != nil {
				return nil, err
			}
		}
		return e, nil
	case policy.DeleteSecret:
		return &deleteEdit{edit: base, req: DeleteRequest{ID: w.ID, Window: w.Window, Force: w.Force}}, nil
	case policy.RestoreSecret:
		return &restoreEdit{base}, nil
	case policy.TagSecret, policy.UntagSecret:
		return &tagEdit{base, w.Tags, w.Remove}, nil
	case policy.MoveLabel:
		return &labelEdit{base, LabelRequest{ID: w.ID, Label: w.Label, From: w.From, To: w.To, Infer: w.Force}}, nil
	case policy.PutResourcePolicy, policy.DeleteResourcePolicy:
		return &policyEdit{base, w.Text, w.Force}, nil
	case policy.Rotate:
		if w.Rotate == nil {
			break
		}
		return &rotateEdit{base, *w.Rotate, w.Text}, nil
	case policy.CancelRotation:
		return &cancelEdit{base}, nil
	case policy.Replicate:
		return &replicaEdit{base, w.Replicas, w.Force}, nil
	case policy.RemoveReplicas:
		return &unreplicateEdit{base, w.Remove}, nil
	case policy.PromoteReplica:
		return &promoteEdit{base, w.DataKey, nil}, nil
	case policy.PutSchema, policy.DeleteSchema:
		return decodeSchema(base, w), nil
	}
	return nil, errs.Wrap(errs.Internal, fmt.Errorf("%s is no stored edit of a secret", op), "")
}

func (s *Service) decodeKV(base edit, op policy.Op, t change.Target, w *stored) (change.Edit, error) {
	base.mount = w.KV.settings()
	switch op {
	case policy.PutValue, policy.PatchValue:
		e := &kvEdit{edit: base, cas: w.KV.CAS, versionID: w.VersionID, suffix: w.Suffix, dataKey: w.DataKey, held: w.Held}
		if in := w.Value.input(); in != nil {
			var err error
			if e.value, err = s.print(t.Account, *in); err != nil {
				return nil, err
			}
		}
		return e, nil
	case policy.DeleteCurrent, policy.DeleteVersion, policy.UndeleteVersion, policy.DestroyVersion:
		return &versionsEdit{edit: base, numbers: w.KV.Numbers, current: w.KV.Current}, nil
	case policy.UpdateSecret:
		base.mount = KVSettings{} // they are the secret's own
		e := &kvSetEdit{edit: base, set: w.Tags, remove: w.Remove, suffix: w.Suffix, dataKey: w.DataKey,
			req: KVSet{ID: w.ID, MaxVersions: w.KV.MaxVersions, CASRequired: w.KV.CASRequired, DeleteAfter: w.KV.DeleteAfter, Merge: w.KV.Merge}}
		if w.KV.Tags {
			e.req.Tags = map[string]*string{}
		}
		return e, nil
	}
	return nil, errs.Wrap(errs.Internal, fmt.Errorf("%s is no stored edit of versions", op), "")
}

func (s *Service) decodeCreate(base edit, w *stored) (change.Edit, error) {
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	e := &createEdit{edit: base, suffix: w.Suffix, req: CreateRequest{Name: w.ID.Name, VersionID: w.VersionID, Value: w.Value.input(),
		Description: text(w.Describe), KMSKey: text(w.KMSKey), Type: text(w.Type), Tags: w.Tags, Replicas: w.Replicas, ForceReplicas: w.Force}}
	if err := e.prepare(); err != nil {
		return nil, err
	}
	e.dataKey = w.DataKey
	return e, nil
}

// Subject of a creation has the tags that the secret will have.
func (e *createEdit) Subject() protect.Subject {
	s := e.edit.Subject()
	if e.f == nil || e.f.head == nil {
		s.Tags = tagMap(e.req.Tags)
	}
	return s
}
