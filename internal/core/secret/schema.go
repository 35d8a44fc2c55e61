package secret

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"sync"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/core/schema"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// A secret can have a schema, which every value has to fit before it is stored as a
// version, and before a version that is there becomes current. The schema is a
// record of its own, of which the head has the digest: a read takes no notice of it.
//
// What the schema is held against tells something of it. A value that somebody
// presents is theirs. The current value is held against a schema when that is set,
// so setting one takes the permission to read the value, too; when a proposed one
// is decided, and when a stored version is made current, no more is told than that
// it does not fit.

// CodeMisfit says that a value that is stored does not fit the schema.
const CodeMisfit = "schema-misfit" // Precondition

// storedSchema is the record of a schema.
type storedSchema struct {
	Text []byte `cbor:"1,keyasint"` // compact JSON
}

func schemaKey(n name.Secret, suffix string) kv.Key {
	return kv.K(n.Account, "schema", n.Region, n.Name, suffix)
}

// schemaText is the schema of a secret, nil when it has none.
func schemaText(r kv.Reader, n name.Secret, h *head) ([]byte, error) {
	if h.Schema == nil {
		return nil, nil
	}
	w, ok, err := record.Get[storedSchema](r, schemaKey(n, h.Suffix))
	if err == nil && !ok {
		err = errs.New(errs.Internal, "the schema of a secret has no record")
	}
	return w.Text, err
}

// putSchema writes a schema, and its digest into the head, which it does not save.
func putSchema(tx kv.Txn, n name.Secret, h *head, text []byte) error {
	if text == nil {
		h.Schema = nil
		return tx.Delete(schemaKey(n, h.Suffix))
	}
	sum := sha256.Sum256(text)
	h.Schema = sum[:]
	return record.Put(tx, schemaKey(n, h.Suffix), storedSchema{Text: text})
}

// schemas keeps compiled schemas by their digest. It is emptied when full: schemas
// are few and alike.
type schemas struct {
	mu   sync.Mutex
	read map[string]*schema.Schema
}

const maxCachedSchemas = 128

func (c *schemas) find(digest []byte) *schema.Schema {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read[string(digest)]
}

func (c *schemas) keep(digest []byte, s *schema.Schema) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read == nil || len(c.read) >= maxCachedSchemas {
		c.read = map[string]*schema.Schema{}
	}
	c.read[string(digest)] = s
}

// schemaOf is the schema of a secret, nil when it has none.
func (s *Service) schemaOf(r kv.Reader, n name.Secret, h *head) (*schema.Schema, error) {
	if h.Schema == nil {
		return nil, nil
	}
	if known := s.schemas.find(h.Schema); known != nil {
		return known, nil
	}
	text, err := schemaText(r, n, h)
	if err != nil {
		return nil, err
	}
	out, err := schema.Parse(text)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "reading a stored schema")
	}
	s.schemas.keep(h.Schema, out)
	return out, nil
}

// judge holds a value that is to be stored against the schema.
func (e *edit) judge(tx *change.Tx, in Input) error {
	rules, err := e.s.schemaOf(tx, e.f.Secret, e.f.head)
	if err != nil || rules == nil {
		return err
	}
	return rules.Check(in.Data.Reveal(), in.Binary)
}

// judgeStored holds the value of a version against the schema before it is made
// current. It tells nothing of the value: who does that may not know it.
func (e *edit) judgeStored(tx *change.Tx, number uint64, binary bool) error {
	if e.f.head.Schema == nil {
		return nil
	}
	data, err := e.s.value(tx, e.f, number)
	if err != nil {
		return err
	}
	return misfit(e.judge(tx, Input{Data: data, Binary: binary}), "the value of the version does not fit the secret's schema")
}

// misfit puts a verdict on a value into words that tell nothing of it.
func misfit(err error, msg string) error {
	if e := errs.As(err); e != nil && e.Code == schema.CodeValue {
		return errs.Coded(errs.Precondition, CodeMisfit, "%s", msg)
	}
	return err
}

// SecretSchema is the schema of a secret.
type SecretSchema struct {
	ARN, Name string
	Text      []byte // compact JSON; nil when there is none
}

// GetSchema returns the schema of a secret. A replica has its primary's.
func (s *Service) GetSchema(ctx context.Context, who caller.Caller, id name.SecretID) (SecretSchema, error) {
	return about(ctx, s, who, policy.GetSchema, id, func(a *gate.Access, f *found) (SecretSchema, error) {
		text, err := schemaText(a, f.home, f.head)
		return SecretSchema{ARN: f.arn(), Name: f.Name, Text: text}, err
	})
}

// Verdict is what CheckSchema says of a value.
type Verdict struct {
	Schema   bool // the secret has one
	Problems []schema.Problem
}

// CheckSchema tells whether a value would fit the schema of a secret, and stores
// nothing. It judges what the caller presents and looks at no value of the secret.
// Limit: the value cannot be judged, and would be refused.
func (s *Service) CheckSchema(ctx context.Context, who caller.Caller, id name.SecretID, in Input) (Verdict, error) {
	if in.Data.Len() == 0 || in.Data.Len() > MaxValue {
		return Verdict{}, s.refuse(ctx, who, policy.GetSchema, id.Name, errs.InvalidField("value", "a value has 1 to %d bytes", MaxValue))
	}
	var rules *schema.Schema
	var out Verdict
	err := s.gate.Work(ctx, who, policy.GetSchema, id.Name, func(a *gate.Access) error {
		f, err := s.ask(a, id, policy.GetSchema)
		if err != nil {
			return err
		}
		if err := f.mustExist(); err != nil {
			return err
		}
		rules, err = s.schemaOf(a, f.home, f.head)
		return err
	}, func(*audit.Record) (err error) {
		if out.Schema = rules != nil; out.Schema {
			out.Problems, err = rules.Problems(in.Data.Reveal(), in.Binary)
		}
		return err
	})
	if err != nil {
		return Verdict{}, err
	}
	return out, nil
}

// SchemaRequest sets the schema of a secret.
type SchemaRequest struct {
	ID     name.SecretID
	Text   []byte // a JSON Schema
	Reason string
	change.Options
}

type schemaEdit struct {
	edit
	text []byte // compact; nil removes the schema
	was  []byte // that which it replaces; set by Allow
}

// PutSchema sets the schema that every further value of a secret has to fit. It takes
// the permission to read the value, too.
//
// Precondition: the current value does not fit (CodeMisfit), or a rotation is under
// way, whose value was judged by what held when it was made.
func (s *Service) PutSchema(ctx context.Context, who caller.Caller, req SchemaRequest) (Written, error) {
	rules, err := schema.Parse(req.Text)
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.PutSchema, req.ID.Name, err)
	}
	e := &schemaEdit{edit: edit{s: s, op: policy.PutSchema, who: who, id: req.ID}, text: rules.Text()}
	return s.runWith(ctx, who, req.Reason, req.Options, e, &e.edit)
}

// DeleteSchema removes the schema of a secret, if there is one.
func (s *Service) DeleteSchema(ctx context.Context, who caller.Caller, id name.SecretID, reason string) (Written, error) {
	e := &schemaEdit{edit: edit{s: s, op: policy.DeleteSchema, who: who, id: id}}
	return s.run(ctx, who, reason, e, &e.edit)
}

// Allow asks for the reading beside. That cannot be made up for by a review, in which
// nobody decides who may learn the value.
func (e *schemaEdit) Allow(a *gate.Access) error {
	if err := e.open(a); err != nil {
		return err
	}
	if e.op == policy.PutSchema {
		proposable := a.Proposable
		a.Proposable = false
		err := e.f.allow(a, policy.ReadValue, policy.Pair{Key: policy.KeyVersionStage, Value: name.Current})
		if a.Proposable = proposable; err != nil {
			return err
		}
	}
	e.was = nil
	if e.f.head == nil {
		return nil
	}
	was, err := schemaText(a, e.f.home, e.f.head)
	e.was = bytes.Clone(was)
	return err
}

func (e *schemaEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	h := e.f.head
	if bytes.Equal(e.was, e.text) {
		tx.NothingToDo()
		return nil
	}
	if h.Run != nil {
		return errs.Coded(errs.Precondition, CodeRotating, "a rotation of the secret is under way; its schema can be changed when that is over")
	}
	if err := putSchema(tx, e.f.Secret, h, e.text); err != nil {
		return err
	}
	if err := e.judgeCurrent(tx); err != nil {
		return err
	}
	tx.Wrote(h.Labels[name.Current].Number, 0, nil)
	return e.save(tx)
}

// judgeCurrent holds the current value against the schema that is being set. Of a
// proposal that was made before, who decides on it learns no more than that it does
// not fit.
func (e *schemaEdit) judgeCurrent(tx *change.Tx) error {
	at, ok := e.f.head.Labels[name.Current]
	if !ok || !at.readable(tx.Now) {
		return nil
	}
	data, err := e.s.value(tx, e.f, at.Number)
	if err != nil {
		return err
	}
	err = e.judge(tx, Input{Data: data, Binary: at.Binary})
	told := misfit(err, "the current value does not fit that schema: put one that fits both first")
	if known := errs.As(err); known != nil && known.Code == schema.CodeValue && !e.decoded {
		_, why, _ := strings.Cut(known.Msg, ": ")
		errs.As(told).Msg += " (" + why + ")"
	}
	return told
}

// Lines say what the change does, for its review.
func (e *schemaEdit) Lines() []string {
	if e.text == nil {
		return append([]string{"removes the schema of the value: any value is taken"}, differences(lines(e.was), nil)...)
	}
	head := "sets the schema of the value"
	if e.was != nil {
		head = "changes the schema of the value"
	}
	return append([]string{head}, differences(lines(e.was), lines(e.text))...)
}

// lines are a schema as people read it.
func lines(text []byte) []string {
	var b bytes.Buffer
	if text == nil || json.Indent(&b, text, "", "  ") != nil {
		return nil
	}
	return strings.Split(b.String(), "\n")
}

// differences leaves out what is the same at both ends.
func differences(was, is []string) (out []string) {
	start, end := 0, 0
	for start < len(was) && start < len(is) && was[start] == is[start] {
		start++
	}
	for end < len(was)-start && end < len(is)-start && was[len(was)-1-end] == is[len(is)-1-end] {
		end++
	}
	for _, l := range was[start : len(was)-end] {
		out = append(out, "- "+l)
	}
	for _, l := range is[start : len(is)-end] {
		out = append(out, "+ "+l)
	}
	return out
}

// Encode implements change.Proposal.
func (e *schemaEdit) Encode() ([]byte, error) {
	return record.Encode(stored{ID: e.id, Text: string(e.text)})
}

// decodeSchema reads one back; no schema is no text.
func decodeSchema(base edit, w *stored) *schemaEdit {
	e := &schemaEdit{edit: base}
	if w.Text != "" {
		e.text = []byte(w.Text)
	}
	return e
}

// referSchema checks that the record of a schema is the one that the head speaks of.
func referSchema(r kv.Reader, n name.Secret, h *head, report func(string)) error {
	w, ok, err := record.Get[storedSchema](r, schemaKey(n, h.Suffix))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(w.Text)
	switch {
	case ok != (h.Schema != nil):
		report("whether it has a schema is not what the secret says")
	case ok && !bytes.Equal(sum[:], h.Schema):
		report("its schema is another than the secret says")
	case ok:
		if _, err := schema.Parse(w.Text); err != nil {
			report("its schema is none that is taken")
		}
	}
	return nil
}
