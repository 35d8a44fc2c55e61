package auditdevice

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// ownRequest is how long before its transaction the request came, at most, by which
// a device was enabled: it is the first that the device writes.
const ownRequest = time.Minute

// request is what an edit says, as it is written down while it waits. Disabling
// says nothing.
type request struct {
	Type        string            `cbor:"1,keyasint,omitempty"`
	Options     map[string]string `cbor:"2,keyasint,omitempty"`
	Description string            `cbor:"3,keyasint,omitempty"`
	Local       bool              `cbor:"4,keyasint,omitempty"`
	Salt        []byte            `cbor:"5,keyasint,omitempty"`
	By          string            `cbor:"6,keyasint,omitempty"`
}

// edit enables or disables a device.
type edit struct {
	s     *Service
	op    policy.Op
	place place
	request
}

// EnableRequest asks for a device. One that is there is not changed: it is
// disabled and enabled again.
type EnableRequest struct {
	Name        string // its path in the Vault protocol: "file"
	Type        string // file, socket or syslog
	Options     map[string]string
	Description string
	Local       bool
	Reason      string
	Change      change.Options
}

// Enable makes a device, to which the records of requests are written that come
// from then on, its own among them. Exists: there is one of that name, or one that
// writes to the same file. Invalid with CodeOption: Field is the option that is
// wrong.
func (s *Service) Enable(ctx context.Context, who caller.Caller, req EnableRequest) (change.Result, error) {
	n, err := cleanName(req.Name)
	if err == nil {
		err = name.Text("description", req.Description, maxAbout)
	}
	if err == nil {
		_, err = s.settle(who.Account, req.Type, req.Options)
	}
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, policy.PutAuditDevice, n, err)
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt)
	return s.submit(ctx, who, req.Reason, req.Change, &edit{s: s, op: policy.PutAuditDevice, place: place{who.Account, n},
		request: request{Type: req.Type, Options: maps.Clone(req.Options), Description: req.Description, Local: req.Local, Salt: salt, By: who.ARN()}})
}

// DisableRequest asks for the end of a device.
type DisableRequest struct {
	Name   string
	Reason string
	change.Options
}

// Disable ends a device. What it wrote stays. NotFound: there is none of that
// name.
func (s *Service) Disable(ctx context.Context, who caller.Caller, req DisableRequest) (change.Result, error) {
	n, err := cleanName(req.Name)
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, policy.DeleteAuditDevice, "", err)
	}
	return s.submit(ctx, who, req.Reason, req.Options, &edit{s: s, op: policy.DeleteAuditDevice, place: place{who.Account, n}})
}

func (s *Service) refuse(ctx context.Context, who caller.Caller, op policy.Op, n string, err error) error {
	rec := gate.NewRecord(who, op, n)
	return s.Gate.Finish(ctx, &rec, err)
}

func (s *Service) submit(ctx context.Context, who caller.Caller, reason string, o change.Options, e *edit) (change.Result, error) {
	res, err := s.Changes.Submit(ctx, who, change.Request{Edit: e, Reason: reason, Options: o})
	if err == nil {
		s.wake()
	}
	return res, err
}

// DecodeEdit reads back an edit that was written down; see change.Decoder.
func (s *Service) DecodeEdit(_ caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
	e := &edit{s: s, op: op, place: place{t.Account, t.Name}}
	switch op {
	case policy.PutAuditDevice, policy.DeleteAuditDevice:
		return e, record.Decode(data, &e.request)
	}
	return nil, errs.New(errs.Internal, "%s is no stored edit of an audit device", op)
}

func (e *edit) Target() change.Target {
	return change.Target{Account: e.place.account, Noun: Noun, Name: e.place.name}
}
func (e *edit) Operation() policy.Op    { return e.op }
func (e *edit) Encode() ([]byte, error) { return record.Encode(e.request) }

func (e *edit) Allow(a *gate.Access) error {
	return a.Allow(&policy.Request{Op: e.op, Resource: policy.AuditDeviceARN(e.place.account, e.place.name), Account: e.place.account}, nil)
}

func (e *edit) Apply(tx *change.Tx) error {
	is, err := record.Find[stored](tx, e.place.key())
	if err != nil {
		return err
	}
	state, err := record.Encode(is) // what votes have for a base
	if err != nil {
		return err
	}
	tx.Produced(state)
	if e.op == policy.DeleteAuditDevice {
		if is == nil {
			return noDevice()
		}
		tx.Wrote(1, 2, nil)
		return e.disable(tx)
	}
	if is != nil {
		return errs.Coded(errs.Exists, CodeDevice, "path is already in use at %s/", e.place.name)
	}
	tx.Wrote(0, 1, nil)
	return e.enable(tx)
}

func (e *edit) enable(tx *change.Tx) error {
	set, err := e.s.settle(e.place.account, e.Type, e.Options) // the configuration may have changed since
	if err != nil {
		return err
	}
	list, err := devices(tx, e.place.account)
	if err != nil {
		return err
	}
	if len(list) >= MaxDevices {
		return errs.New(errs.Limit, "an account has at most %d audit devices", MaxDevices)
	}
	for i := range list {
		other, err := e.s.settle(e.place.account, list[i].Type, list[i].Options)
		if err == nil && set.path != "" && set.path == other.path && set.path != toDiscard {
			return errs.Coded(errs.Exists, CodeDevice, "the audit device at %s/ writes to that file", list[i].name)
		}
	}
	d := stored{Type: e.Type, Options: e.Options, Description: e.Description, Local: e.Local, Salt: e.Salt,
		Made: tx.Now.UnixMicro(), Since: tx.Now.UnixMicro(), By: e.By}
	if asked := tx.Who.Time; !asked.IsZero() && asked.Before(tx.Now) && tx.Now.Sub(asked) < ownRequest {
		d.Since = asked.UnixMicro()
	}
	if err := record.Put(tx, e.place.key(), d); err != nil {
		return err
	}
	return record.Put(tx, e.place.entryKey(), entry{d.Made})
}

func (e *edit) disable(tx *change.Tx) error {
	for _, k := range [][]byte{e.place.key(), e.place.cursorKey(), e.place.entryKey()} {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// Lines tell who reviews it what it does.
func (e *edit) Lines() []string {
	at := e.place.name + "/"
	if e.op == policy.DeleteAuditDevice {
		return []string{"disable the audit device at " + at + "; what it wrote stays"}
	}
	lines := []string{"enable an audit device of type " + e.Type + " at " + at}
	for _, k := range slices.Sorted(maps.Keys(e.Options)) {
		lines = append(lines, "set option "+k+"="+e.Options[k])
	}
	return lines
}

func noDevice() error { return errs.Coded(errs.NotFound, CodeDevice, "there is no such audit device") }
