package change

import (
	"bytes"
	"cmp"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/notice"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/proof"
)

// Codes of errors.
const (
	CodeAmbiguous  = "ambiguous"       // Invalid: several changes begin with the id
	CodeRepeat     = "idempotency-key" // Conflict: the key belongs to another request
	CodeClosed     = "closed"          // Precondition: the change is not open any more; Field is its status
	CodeMoved      = "digest"          // Conflict: what was reviewed is no longer what would take effect
	CodeConflict   = "conflict"        // Conflict: at odds with what was applied since; Field names the keys
	CodeAuthorGone = "author-gone"     // Precondition: the author was disabled or deleted
	CodeVoter      = "voter"           // Precondition: the rule does not take this vote
	CodeCannotWait = "cannot-wait"     // Precondition: the operation cannot be reviewed
	CodeOpen       = "open-changes"    // Limit: too many changes wait
	CodeChange     = "change"          // NotFound: there is no such change
	CodeSignature  = "signature"       // Invalid: a signature does not verify
)

// defaultRule holds where the author may only propose and no rule does.
var defaultRule = protect.Rule{Approvals: []protect.Approval{{Count: 1}}}

// holding returns the rules that hold an edit; none: it is applied.
func (s *Service) holding(r kv.Reader, e Edit, subject protect.Subject, only bool) ([]protect.Rule, error) {
	t := e.Target()
	doc, err := loadRules(r, t.Account)
	if err != nil {
		return nil, err
	}
	if re, ok := e.(*rulesEdit); ok {
		return re.affected(doc)
	}
	var rules []protect.Rule
	if rule := protect.Find(doc.Rules, subject); rule != nil {
		rules = append(rules, *rule)
	}
	if d, ok := e.(Deleter); ok && d.Deletes() {
		subject.Kind = protect.Delete
		if rule := protect.Find(doc.Rules, subject); rule != nil && (rules == nil || rule.Name != rules[0].Name) {
			rules = append(rules, *rule)
		}
	}
	if rules == nil && only {
		return []protect.Rule{defaultRule}, nil
	}
	return rules, nil
}

// propose writes an edit down instead of applying it.
func (w *submission) propose(s *Service, tx *Tx, a *gate.Access, rules []protect.Rule) (Result, error) {
	if w.who.Kind == caller.System {
		return Result{}, errs.New(errs.Internal, "a job of the server cannot wait")
	}
	p, ok := w.Edit.(Proposal)
	if !ok {
		return Result{}, errs.Coded(errs.Precondition, CodeCannotWait,
			"rule %q asks for a review, and %s cannot be reviewed because its answer is shown once", rules[0].Name, w.Edit.Operation())
	}
	rec := tx.Change
	rec.Status, rec.Keys = Pending, nil
	if w.Draft {
		rec.Status = Draft
	}
	rec.NotBefore = w.notBefore()
	expiry := protect.DefaultExpiry
	if len(rules) > 0 {
		rec.Rule, expiry = rules[0].Name, rules[0].Expiry()
	}
	rec.Expires = w.now.AddDate(0, 0, expiry).UnixMicro() + max(0, rec.NotBefore-w.now.UnixMicro())
	// What it would do shows now whether it can be done at all.
	trial := &Tx{Txn: newOverlay(tx), Now: w.now, Who: w.who, audit: &audit.Record{}, Change: &Record{ID: w.id}}
	if err := w.Edit.Apply(trial); err != nil {
		return Result{}, err
	}
	if trial.noop {
		if err := w.Edit.Apply(tx); err != nil { // for the edit's own answer
			return Result{}, err
		}
		return Result{Status: Applied}, nil
	}
	rec.Base, rec.Keys, rec.Versions = trial.Change.Base, trial.Change.Keys, trial.Change.Versions
	if err := w.Edit.Allow(gate.NewAccess(tx, nil, system(w.who), &audit.Record{})); err != nil { // Apply may have altered what was loaded
		return Result{}, err
	}
	h, holds := p.(Holder)
	if _, keyless := p.(Keyless); keyless || !holds {
		same, err := w.twin(tx)
		if err != nil {
			return Result{}, err
		}
		if same != nil {
			tx.audit.Change = same.ID
			return Result{ID: same.ID, Status: same.Status}, nil
		}
	}
	if holds {
		if err := h.Hold(tx); err != nil {
			return Result{}, err
		}
	}
	if err := w.keep(tx, p, a.OnlyProposes); err != nil {
		return Result{}, err
	}
	tx.audit.Change, tx.audit.Keys = w.id, rec.Keys
	if len(rules) == 0 && rec.Status == Pending { // only its time has not come
		rec.Status = Approved
	}
	if err := s.open(tx, w.target, rec); err != nil {
		return Result{}, err
	}
	return Result{ID: w.id, Status: rec.Status}, w.remember(tx)
}

// twin finds the change by the same author that waits and asks for exactly the
// same. A client whose answer was lost, and whose protocol has no key for that,
// then does not propose it twice.
func (w *submission) twin(r kv.Reader) (*Record, error) {
	print, err := w.print()
	if err != nil {
		return nil, err
	}
	t := w.target
	for p, err := range r.Scan(kv.Prefix(kv.K(t.Account, "change-open-of", t.Noun, t.Region, t.Name))) {
		if err != nil {
			return nil, err
		}
		strs, _, err := kv.Key(p.Key).Parts("ssssss")
		if err != nil {
			return nil, err
		}
		e, err := find(r, t.Account, strs[5])
		if err != nil {
			return nil, err
		}
		if e != nil && e.prop != nil && e.rec.Author == w.who.ARN() && bytes.Equal(e.prop.Print, print) && (e.rec.Status == Draft) == w.Draft &&
			e.rec.NotBefore == w.notBefore() {
			return e.rec, nil
		}
	}
	return nil, nil
}

// notBefore is when the change may take effect, in microseconds; 0: at once.
func (w *submission) notBefore() int64 {
	if w.NotBefore.IsZero() {
		return 0
	}
	return w.NotBefore.UnixMicro()
}

// keep writes the proposal beside the record.
func (w *submission) keep(tx *Tx, p Proposal, only bool) error {
	data, err := p.Encode()
	if err != nil {
		return err
	}
	print, err := w.print()
	if err != nil {
		return err
	}
	acct, id := w.target.Account, w.id
	if err := tx.Put(editKey(acct, id), data); err != nil {
		return err
	}
	return record.Put(tx, proposalKey(acct, id), proposal{Author: w.who.Name, Account: w.who.Account, Kind: w.who.Kind, Region: cmp.Or(w.target.Region, w.who.Region),
		Nonce: w.nonce, Print: print, Only: only, Proposed: w.now.UnixMicro()})
}

// open writes what leads to a change that waits.
func (s *Service) open(tx *Tx, t Target, rec *Record) error {
	n := 0
	for _, err := range tx.Scan(kv.Prefix(kv.K(t.Account, "change-open-of", t.Noun, t.Region, t.Name))) {
		if err != nil {
			return err
		}
		if n++; n >= maxOpen {
			return errs.Coded(errs.Limit, CodeOpen, "%d changes to this wait already: have them decided or withdraw some", maxOpen)
		}
	}
	by := 0
	for _, err := range tx.Scan(kv.Prefix(kv.K(t.Account, "change-open-by", rec.Author))) {
		if err != nil {
			return err
		}
		if by++; by >= maxOpenBy {
			return errs.Coded(errs.Limit, CodeOpen, "%d changes of yours wait already: have them decided or withdraw some", maxOpenBy)
		}
	}
	for _, k := range []kv.Key{openKey(t.Account, rec.ID), openOfKey(t, rec.ID), openByKey(t.Account, rec.Author, rec.ID)} {
		if err := tx.Put(k, []byte{1}); err != nil {
			return err
		}
	}
	if err := putDue(tx, time.UnixMicro(rec.Expires), t.Account, dueExpire, rec.ID); err != nil {
		return err
	}
	if rec.Status == Approved {
		if err := putDue(tx, time.UnixMicro(rec.NotBefore), t.Account, dueApply, rec.ID); err != nil {
			return err
		}
	} else if err := putDue(tx, tx.Now.Add(remindEvery), t.Account, dueRemind, rec.ID); err != nil {
		return err
	}
	if err := putNew(tx, t); err != nil {
		return err
	}
	switch rec.Status {
	case Draft: // nobody is asked yet
		return nil
	case Approved:
		return tx.notify(notice.ChangeApproved, t, rec, "")
	}
	return tx.notify(notice.ChangeProposed, t, rec, "")
}

// system is the server acting in place of an author.
func system(author caller.Caller) caller.Caller {
	c := caller.ForSystem(author.Account, "review", author.RequestID, author.Time)
	c.Region = author.Region
	return c
}

// evaluation is what a change would do if it took effect in a transaction.
type evaluation struct {
	edit     Edit
	rules    []protect.Rule
	evidence proof.Evidence
	digest   []byte
	base     uint64
	keys     []string
	content  []byte
	author   *caller.Caller // as it stands; nil when gone
	conflict *errs.Error    // why it cannot take effect
}

// evaluate finds out what an open change would do, without doing it.
func (s *Service) evaluate(r kv.Reader, e *entry, now time.Time) (*evaluation, error) {
	acct := e.target.Account
	author, err := s.people.Subject(r, e.prop.Account, e.prop.Author)
	if err != nil {
		return nil, err
	}
	data, err := r.Get(editKey(acct, e.rec.ID))
	if err != nil {
		return nil, err
	}
	ev := &evaluation{author: author}
	if ev.edit, err = s.decode(e, data); err != nil {
		return nil, err
	}
	trial, err := s.load(r, e, ev.edit, now)
	if err != nil {
		return nil, err
	}
	if ev.rules, err = s.holding(trial, ev.edit, subjectOf(ev.edit), e.prop.Only); err != nil {
		return nil, err
	}
	if err := ev.edit.Apply(trial); err != nil {
		known := errs.As(err)
		if known.Kind == errs.Internal {
			return nil, err
		}
		ev.conflict = known
	}
	ev.base, ev.keys, ev.content = trial.Change.Base, trial.Change.Keys, trial.content
	ev.evidence = proof.Evidence{Account: acct, Change: e.rec.ID, Noun: e.target.Noun, Region: e.target.Region, Name: e.target.Name,
		Operation: e.rec.Operation, Author: e.rec.Author, Base: ev.base, NotBefore: e.rec.NotBefore,
		Edit: proof.Commit(e.prop.Nonce, data), Content: proof.Commit(e.prop.Nonce, ev.content)}
	for i := range ev.rules {
		text, err := ev.rules[i].Text()
		if err != nil {
			return nil, err
		}
		ev.evidence.Rules = append(ev.evidence.Rules, text)
	}
	ev.digest = ev.evidence.Digest()
	return ev, nil
}

// decode reads a proposal's edit back.
func (s *Service) decode(e *entry, data []byte) (Edit, error) {
	d := s.decoders[e.target.Noun]
	op, ok := policy.ByName(e.rec.Operation)
	if d == nil || !ok {
		return nil, errs.New(errs.Internal, "no decoder for a proposal of %s", e.rec.Operation)
	}
	author := caller.Caller{Account: e.prop.Account, Kind: e.prop.Kind, Name: e.prop.Author, Region: e.prop.Region, Front: e.rec.Front}
	return d(author, op, e.target, data)
}

// load prepares a decoded edit: over an overlay, with what Allow loads, as the
// server.
func (s *Service) load(r kv.Reader, e *entry, edit Edit, now time.Time) (*Tx, error) {
	over := newOverlay(r)
	tx := &Tx{Txn: over, Now: now, audit: &audit.Record{}, Change: &Record{ID: e.rec.ID, Base: e.rec.Base}}
	who := caller.Caller{Account: e.target.Account, Region: e.prop.Region}
	return tx, edit.Allow(gate.NewAccess(over, nil, system(who), &audit.Record{}))
}
