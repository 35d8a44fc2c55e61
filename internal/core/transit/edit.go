package transit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// dropAtOnce is how many versions one transaction writes or deletes.
const dropAtOnce = kv.MaxOps - 20

// fields is what an edit of a key says. Each operation uses some of it.
type fields struct {
	// Key is the key as it is to be, of operations that make one.
	Key *stored `cbor:"1,keyasint,omitempty"`
	// New is the material of what is added: one version, or, of a backup, all from
	// the lowest that is available.
	New []version `cbor:"2,keyasint,omitempty"`

	MinDecryption   *uint64 `cbor:"3,keyasint,omitempty"`
	MinEncryption   *uint64 `cbor:"4,keyasint,omitempty"`
	DeletionAllowed *bool   `cbor:"5,keyasint,omitempty"`
	Exportable      bool    `cbor:"6,keyasint,omitempty"` // from now on
	PlaintextBackup bool    `cbor:"7,keyasint,omitempty"` // from now on
	RotateEvery     *int64  `cbor:"8,keyasint,omitempty"` // seconds

	MinAvailable uint64 `cbor:"9,keyasint,omitempty"`  // of a trim
	Force        bool   `cbor:"10,keyasint,omitempty"` // of a backup: in the place of the key that is there
	Version      uint64 `cbor:"11,keyasint,omitempty"` // of an import: the version whose private half comes
	More         bool   `cbor:"12,keyasint,omitempty"` // of an import: a version of the key that is there
	ToEncrypt    bool   `cbor:"13,keyasint,omitempty"` // of a creation: by who may make a key by encrypting with it
}

// edit is every write to a key.
type edit struct {
	op      policy.Op
	account string
	name    string
	fields
	due int64   // of the job that rotates: its entry in the index
	is  *stored // as the transaction sees it; nil: absent

	out     Key
	existed bool // of a creation: there is a key already
}

// Written is a key after a write to it, and what became of that. While the change
// waits, the key is as it will be.
type Written struct {
	Key
	change.Result
	Existed bool // Create found the key there, and left it alone
}

// CreateRequest asks for a key.
type CreateRequest struct {
	Key             string
	Type            Type // default DefaultType
	Size            int  // of HMAC, in bytes; default 32
	Derived         bool // a key of its own for each context
	Convergent      bool // the same ciphertext for the same plaintext; needs Derived
	Exportable      bool // cannot be taken back
	PlaintextBackup bool // cannot be taken back
	RotateEvery     time.Duration
	Reason          string
	change.Options

	toEncrypt bool // for Encrypt, of who may make keys that way
}

// MinRotation is the shortest period in which keys rotate by themselves.
const MinRotation = time.Hour

func checkPeriod(d time.Duration) error {
	if d != 0 && d < MinRotation || d > 100*365*24*time.Hour {
		return errs.InvalidField("auto_rotate_period", "auto rotate period must be 0 to disable or at least an hour")
	}
	return nil
}

func (req *CreateRequest) check() error {
	if req.Type == "" {
		req.Type = DefaultType
	}
	if req.Type == HMAC && req.Size == 0 {
		req.Size = defaultHMACKey
	}
	err := CheckName(req.Key)
	if err == nil {
		err = checkShape(req.Type, req.Size, req.Derived, req.Convergent)
	}
	if err == nil {
		err = checkPeriod(req.RotateEvery)
	}
	return err
}

// Create makes a key. One that is there already is left alone, and told by Existed.
func (s *Service) Create(ctx context.Context, who caller.Caller, req CreateRequest) (Written, error) {
	if err := req.check(); err != nil {
		return Written{}, s.refuse(ctx, who, policy.CreateTransitKey, req.Key, err)
	}
	e := &edit{op: policy.CreateTransitKey, account: who.Account, name: req.Key, fields: fields{Key: &stored{
		ID: newID(), Type: req.Type, Size: req.Size, Derived: req.Derived, Convergent: req.Convergent, Exportable: req.Exportable,
		PlaintextBackup: req.PlaintextBackup, Latest: 1, MinDecryption: 1, RotateEvery: int64(req.RotateEvery / time.Second)}, ToEncrypt: req.toEncrypt}}
	return s.submitNew(ctx, who, req.Reason, req.Options, e)
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// submitNew draws a version of the key that an edit makes or adds to, if there is
// any use for it, and submits the edit.
func (s *Service) submitNew(ctx context.Context, who caller.Caller, reason string, o change.Options, e *edit) (Written, error) {
	if who.Kind != caller.System {
		if err := s.may(ctx, who, e.asks(), e.name); err != nil {
			return Written{}, err
		}
	}
	var is *stored
	err := s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		is, err = find(r, e.account, e.name)
		return err
	})
	of := e.Key
	if of == nil {
		of = is
	}
	if err == nil && (is == nil) == (e.Key != nil) {
		var v version
		if v, err = s.draw(ctx, of.Type, of.Size); err == nil {
			e.New = []version{v}
		}
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, e.op, e.name, gate.Classify(err))
	}
	return s.submit(ctx, who, reason, o, e)
}

// ConfigRequest changes what a key allows. Nil leaves a thing as it is.
type ConfigRequest struct {
	Key             string
	MinDecryption   *uint64 // 0 is taken for 1
	MinEncryption   *uint64 // 0: any that may decrypt
	DeletionAllowed *bool
	Exportable      *bool // false changes nothing: it cannot be taken back
	PlaintextBackup *bool // the same
	RotateEvery     *time.Duration
	Reason          string
	change.Options
}

// Config changes what a key allows.
func (s *Service) Config(ctx context.Context, who caller.Caller, req ConfigRequest) (Written, error) {
	err := CheckName(req.Key)
	if err == nil && req.RotateEvery != nil {
		err = checkPeriod(*req.RotateEvery)
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.ConfigTransitKey, req.Key, err)
	}
	f := fields{MinDecryption: req.MinDecryption, MinEncryption: req.MinEncryption, DeletionAllowed: req.DeletionAllowed}
	if f.MinDecryption != nil && *f.MinDecryption == 0 {
		one := uint64(1)
		f.MinDecryption = &one
	}
	f.Exportable = req.Exportable != nil && *req.Exportable
	f.PlaintextBackup = req.PlaintextBackup != nil && *req.PlaintextBackup
	if req.RotateEvery != nil {
		seconds := int64(*req.RotateEvery / time.Second)
		f.RotateEvery = &seconds
	}
	return s.submit(ctx, who, req.Reason, req.Options, &edit{op: policy.ConfigTransitKey, account: who.Account, name: req.Key, fields: f})
}

// RotateRequest asks for a new version of a key.
type RotateRequest struct {
	Key    string
	Reason string
	change.Options
}

// Rotate adds a version, which is the latest then.
func (s *Service) Rotate(ctx context.Context, who caller.Caller, req RotateRequest) (Written, error) {
	if err := CheckName(req.Key); err != nil {
		return Written{}, s.refuse(ctx, who, policy.RotateTransitKey, req.Key, err)
	}
	return s.submitNew(ctx, who, req.Reason, req.Options, &edit{op: policy.RotateTransitKey, account: who.Account, name: req.Key})
}

// TrimRequest asks for the end of old versions.
type TrimRequest struct {
	Key          string
	MinAvailable uint64 // the lowest version that stays
	Reason       string
	change.Options
}

// Trim destroys the versions below one.
func (s *Service) Trim(ctx context.Context, who caller.Caller, req TrimRequest) (Written, error) {
	err := CheckName(req.Key)
	if err == nil && req.MinAvailable == 0 {
		err = errs.InvalidField("min_available_version", "minimum available version should be positive")
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.TrimTransitKey, req.Key, err)
	}
	return s.submit(ctx, who, req.Reason, req.Options, &edit{op: policy.TrimTransitKey, account: who.Account, name: req.Key,
		fields: fields{MinAvailable: req.MinAvailable}})
}

// DeleteRequest asks for the end of a key.
type DeleteRequest struct {
	Key    string
	Reason string
	change.Options
}

// Delete destroys a key that allows it, with all its versions: what was encrypted
// with it is lost.
func (s *Service) Delete(ctx context.Context, who caller.Caller, req DeleteRequest) (change.Result, error) {
	if err := CheckName(req.Key); err != nil {
		return change.Result{}, s.refuse(ctx, who, policy.DeleteTransitKey, req.Key, err)
	}
	out, err := s.submit(ctx, who, req.Reason, req.Options, &edit{op: policy.DeleteTransitKey, account: who.Account, name: req.Key})
	return out.Result, err
}

func (s *Service) submit(ctx context.Context, who caller.Caller, reason string, o change.Options, e *edit) (Written, error) {
	res, err := s.changes.Submit(ctx, who, change.Request{Edit: e, Reason: reason, Options: o})
	if err != nil {
		return Written{}, err
	}
	s.woken.Ring() // there may be versions left to drop
	return Written{Key: e.out, Result: res, Existed: e.existed}, nil
}

// DecodeEdit reads back an edit that was written down; see change.Decoder.
func (s *Service) DecodeEdit(_ caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
	e := &edit{op: op, account: t.Account, name: t.Name}
	switch op {
	case policy.CreateTransitKey, policy.ConfigTransitKey, policy.RotateTransitKey, policy.TrimTransitKey, policy.DeleteTransitKey,
		policy.ImportTransitKey, policy.RestoreTransitKey:
		return e, record.Decode(data, &e.fields)
	}
	return nil, errs.New(errs.Internal, "%s is no stored edit of a key", op)
}

func (e *edit) Target() change.Target {
	return change.Target{Account: e.account, Noun: Noun, Name: e.name}
}
func (e *edit) Operation() policy.Op { return e.op }

// asks is the operation that policy is asked about.
func (e *edit) asks() policy.Op {
	if e.ToEncrypt {
		return policy.CreateKeyToEncrypt
	}
	return e.op
}
func (e *edit) Encode() ([]byte, error) { return record.Encode(e.fields) }

// Repeats is what makes a request the same once more: all but what was drawn for it.
func (e *edit) Repeats() []byte {
	f := e.fields
	if e.op == policy.CreateTransitKey || e.op == policy.RotateTransitKey {
		f.New = nil
	}
	if f.Key != nil {
		k := *f.Key
		k.ID, f.Key = "", &k
	}
	b, err := record.Encode(f)
	if err != nil {
		return nil // fields of plain types always encode
	}
	return b
}

// Subject tells what kind of change it is: keys also come by import and from
// backups.
func (e *edit) Subject() protect.Subject {
	kind := change.KindOf(e.op)
	switch {
	case e.op == policy.ImportTransitKey && e.More:
		kind = protect.Rotate
	case (e.op == policy.ImportTransitKey || e.op == policy.RestoreTransitKey) && e.is == nil:
		kind = protect.Create
	case e.op == policy.RestoreTransitKey:
		kind = protect.Delete // of what was there
	}
	return protect.Subject{Noun: Noun, Name: e.name, Kind: kind}
}

func (e *edit) Allow(a *gate.Access) (err error) {
	e.out, e.existed = Key{}, false
	err = a.Allow(&policy.Request{Op: e.asks(), Resource: policy.TransitKeyARN(a.Who.Region, e.account, e.name), Account: e.account}, nil)
	if err != nil {
		return err
	}
	if e.is, err = find(a, e.account, e.name); err != nil {
		return err
	}
	// What it will be, for the answer of a change that waits; Apply says what is
	// wrong with it.
	if next, err := e.next(); err == nil && next != nil {
		e.out = next.show(e.name)
	}
	return nil
}
