package secret

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// CodeNotObject says that a secret's value has no keys to be changed one by one.
const CodeNotObject = "not-an-object"

// maxKey is the length of one key of a value in bytes.
const maxKey = 256

// PatchRequest changes single keys of a secret whose value is a JSON object of
// texts, such as the variables of an environment.
type PatchRequest struct {
	ID    name.SecretID // a plain name; a secret that does not exist is created
	Set   map[string]sensitive.Bytes
	Unset []string
	// Replace makes the keys in Set the only ones.
	Replace bool
	// Base is the number of the version that the author saw. Default: the current.
	Base   *uint64
	Reason string
	change.Options
}

type patchEdit struct {
	edit
	req       PatchRequest
	set       map[string][]byte // values as JSON
	versionID string
	suffix    string // for a secret that does not exist
	dataKey   []byte
	held      held
}

// Patch sets and removes keys of a value. What others do to other keys meanwhile
// stays; a key that both change differently is a Conflict, whose Field names it.
func (s *Service) Patch(ctx context.Context, who caller.Caller, req PatchRequest) (Written, error) {
	e := &patchEdit{edit: edit{s: s, op: policy.PutValue, who: who, id: req.ID}, req: req, versionID: newVersionID(), suffix: newSuffix()}
	if err := e.prepare(); err != nil {
		return Written{}, s.refuse(ctx, who, policy.PutValue, req.ID.Name, err)
	}
	return s.runWith(ctx, who, req.Reason, req.Options, e, &e.edit)
}

func newVersionID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, section 5.4
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func (e *patchEdit) prepare() (err error) {
	r := e.req
	if r.ID.IsARN {
		return errs.InvalidField("name", "give the name of the secret, not its ARN")
	}
	if err := e.s.region(e.who.Region); err != nil {
		return err
	}
	if len(r.Set)+len(r.Unset) == 0 && !r.Replace {
		return errs.InvalidField("set", "nothing is given to set or unset")
	}
	if len(r.Set)+len(r.Unset) > maxKeys {
		return errs.New(errs.Limit, "a value has at most %d keys", maxKeys)
	}
	e.set = make(map[string][]byte, len(r.Set))
	for _, k := range slices.Sorted(maps.Keys(r.Set)) {
		v := r.Set[k].Reveal()
		if err := checkKey("set", k); err != nil {
			return err
		}
		if !utf8.Valid(v) {
			return errs.InvalidField("set", "the value of %q is not UTF-8", k)
		}
		e.set[k] = encodeText(v)
	}
	for _, k := range r.Unset {
		if err := checkKey("unset", k); err != nil {
			return err
		}
		if _, both := r.Set[k]; both {
			return errs.InvalidField("unset", "key %q is both set and unset", k)
		}
	}
	e.dataKey, err = e.s.vault.NewDataKey(e.who.Account)
	return err
}

func checkKey(field, k string) error {
	if k == "" || len(k) > maxKey || !utf8.ValidString(k) || strings.ContainsFunc(k, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }) {
		return errs.InvalidField(field, "a key is 1 to %d bytes of printable text", maxKey)
	}
	return nil
}

// encodeText is text as JSON.
func encodeText(text []byte) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(string(text)) // a string always encodes
	return bytes.TrimSpace(b.Bytes())
}

// Allow asks for a creation where there is nothing to change.
func (e *patchEdit) Allow(a *gate.Access) (err error) {
	e.forget(&e.held)
	e.out = Written{}
	if e.f, err = e.s.find(a, a.Who, e.id); err != nil {
		return err
	}
	a.Record.Resource = e.f.Name
	stage := policy.Pair{Key: policy.KeyVersionStage, Value: name.Current}
	if e.f.head == nil {
		return e.allowNew(a, nil, []policy.Pair{stage})
	}
	return e.f.allow(a, policy.PutValue, stage)
}

func (e *patchEdit) Subject() protect.Subject {
	s := e.edit.Subject()
	if e.f != nil && e.f.head == nil {
		s.Kind = protect.Create
	}
	return s
}

// Repeats is what makes two requests the same, without what chance added.
func (e *patchEdit) Repeats() []byte {
	b := []byte{0}
	if e.req.Replace {
		b[0] = 1
	}
	for _, k := range slices.Sorted(maps.Keys(e.set)) {
		b = append(append(append(b, k...), 0), e.set[k]...)
	}
	return append(b, strings.Join(e.req.Unset, "\x00")...)
}

func (e *patchEdit) Apply(tx *change.Tx) error {
	if e.f.head == nil {
		return e.create(tx)
	}
	if err := e.ready(); err != nil {
		return err
	}
	h := e.f.head
	current := h.Labels[name.Current].Number
	is, err := e.object(tx, current)
	if err != nil {
		return err
	}
	b := e.held
	if !b.Knows {
		if b, err = e.note(tx, is); err != nil {
			return err
		}
	}
	merged, keys := e.onto(b.Prints, is)
	if len(keys) > 0 {
		slices.Sort(keys)
		return &errs.Error{Kind: errs.Conflict, Code: CodeConflict, Field: quoteKeys(keys),
			Msg: "the same keys were changed since the version that this change is based on"}
	}
	p, err := e.s.print(e.f.Account, Input{Data: sensitive.New(encodeObject(merged))})
	if err != nil {
		return err
	}
	if current != 0 {
		v, err := getVersion(tx, e.f.Secret, h.Suffix, current)
		if err != nil {
			return err
		}
		if v.readable(tx.Now) && len(differing(v.Keys, p.keys)) == 0 {
			tx.NothingToDo()
			e.out.VersionID, e.out.Number, e.out.Labels = v.ID, current, h.labelsOf(current)
			return nil
		}
	}
	if err := e.putVersion(tx, e.versionID, p, []string{name.Current}); err != nil {
		return err
	}
	return e.save(tx)
}

// object reads the current value as one with keys.
func (e *patchEdit) object(tx *change.Tx, current uint64) ([]member, error) {
	if current == 0 {
		return nil, nil
	}
	if at := e.f.head.Labels[name.Current]; !at.readable(tx.Now) { // what was deleted does not come back by setting a key
		return nil, nil
	}
	data, err := e.s.value(tx, e.f, current)
	if err != nil {
		return nil, err
	}
	is, ok := object(data.Reveal())
	if !ok {
		return nil, errs.Coded(errs.Precondition, CodeNotObject, "the secret's value is not a JSON object, so it has no keys to set: put it as a whole")
	}
	return is, nil
}

// note is what the author saw: the base that the request names, or the current
// version.
func (e *patchEdit) note(tx *change.Tx, is []member) (held, error) {
	b, err := e.based(tx, e.req.Base)
	if err != nil || b.Knows {
		return b, err
	}
	b = held{Base: e.f.head.Labels[name.Current].Number, Knows: true, Prints: map[string][]byte{}}
	print := e.s.printer(e.f.Account)
	for _, m := range is {
		b.Prints[m.key] = print(m.value)
	}
	return b, nil
}

// onto lays the edit over an object, key by key. It returns the keys at odds.
func (e *patchEdit) onto(was map[string][]byte, is []member) (out []member, odds []string) {
	print := e.s.printer(e.f.Account)
	want := map[string]json.RawMessage{}
	for k, v := range e.set {
		want[k] = v
	}
	for _, k := range e.req.Unset {
		want[k] = nil
	}
	if e.req.Replace {
		for k := range was {
			if _, given := e.set[k]; !given {
				want[k] = nil
			}
		}
	}
	have := index(is)
	settle := func(k string) json.RawMessage {
		v, conflict := print.pick(was[k], have[k], want[k])
		if conflict {
			odds = append(odds, k)
		}
		return v
	}
	for _, m := range is {
		if _, touched := want[m.key]; !touched {
			out = append(out, m)
		} else if v := settle(m.key); v != nil {
			out = append(out, member{m.key, v})
		}
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if _, there := have[k]; there {
			continue
		}
		if v := settle(k); v != nil {
			out = append(out, member{k, v})
		}
	}
	return out, odds
}

// create makes the secret that the edit did not find.
func (e *patchEdit) create(tx *change.Tx) error {
	if len(e.set) == 0 {
		return errs.Coded(errs.NotFound, CodeSecret, "the secret does not exist")
	}
	var ms []member
	for _, k := range slices.Sorted(maps.Keys(e.set)) {
		ms = append(ms, member{k, e.set[k]})
	}
	p, err := e.s.print(e.f.Account, Input{Data: sensitive.New(encodeObject(ms))})
	if err != nil {
		return err
	}
	if err := e.begin(&head{Suffix: e.suffix, Created: micros(tx.Now), DataKey: e.dataKey}); err != nil {
		return err
	}
	if err := e.putVersion(tx, e.versionID, p, []string{name.Current}); err != nil {
		return err
	}
	return e.saveNew(tx)
}

// Hold notes what is current, for the merge to come.
func (e *patchEdit) Hold(tx *change.Tx) (err error) {
	if e.f.head == nil {
		e.held = held{Knows: true}
		return nil
	}
	is, err := e.object(tx, e.f.head.Labels[name.Current].Number)
	if err != nil {
		return err
	}
	e.held, err = e.note(tx, is)
	return err
}

// Drop has nothing to undo.
func (e *patchEdit) Drop(*change.Tx) error { return nil }
