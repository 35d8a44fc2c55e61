package change

import (
	"context"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/notice"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// In an emergency a member of a group that a rule names may apply what the rule
// would hold: after saying why, with a second factor, and for a short time. Each
// such change says so for ever, everybody concerned is told, and the emergency
// stays on the list of what is to be reviewed until somebody else closes it.

// Codes of errors of emergencies.
const (
	CodeNoGlass   = "break-glass"       // Precondition: no rule lets the caller break the glass
	CodeMFA       = "second-factor"     // Precondition: the session has not shown one
	CodeEmergency = "emergency"         // NotFound: there is no such emergency
	CodeOpenGlass = "open-emergency"    // Precondition: the caller has one open already
	CodeGlassOwn  = "emergency-of-self" // Precondition: one does not close one's own
)

// Limits of an emergency.
const (
	DefaultGlass    = 30 * time.Minute
	MaxGlass        = 4 * time.Hour
	maxGlassChanges = 200
)

// Emergency is one broken glass.
type Emergency struct {
	ID       string   `cbor:"1,keyasint" json:"id"`
	By       string   `cbor:"2,keyasint" json:"by"` // ARN
	Name     string   `cbor:"3,keyasint" json:"name"`
	Reason   string   `cbor:"4,keyasint" json:"reason"`
	Opened   int64    `cbor:"5,keyasint" json:"opened"` // microseconds
	Until    int64    `cbor:"6,keyasint" json:"until"`  // microseconds
	Changes  []string `cbor:"7,keyasint,omitempty" json:"changes,omitempty"`
	Closed   int64    `cbor:"8,keyasint,omitempty" json:"closed,omitempty"` // microseconds
	ClosedBy string   `cbor:"9,keyasint,omitempty" json:"closed_by,omitempty"`
	Comment  string   `cbor:"10,keyasint,omitempty" json:"comment,omitempty"`
	Person   string   `cbor:"11,keyasint,omitempty" json:"-"`
}

func glassKey(account, id string) kv.Key     { return kv.K(account, "break-glass", id) }
func glassOfKey(account, n string) kv.Key    { return kv.K(account, "break-glass-of", n) }
func glassOpenKey(account, id string) kv.Key { return kv.K(account, "break-glass-open", id) }

// GlassRequest opens an emergency.
type GlassRequest struct {
	Reason string
	For    time.Duration // default DefaultGlass, at most MaxGlass
}

// BreakGlass opens an emergency for the caller.
func (s *Service) BreakGlass(ctx context.Context, who caller.Caller, req GlassRequest) (Emergency, error) {
	var out Emergency
	id := s.ids.next(time.Now())
	err := s.onGlass(ctx, who, policy.BreakGlass, func(tx *Tx) error {
		if req.For == 0 {
			req.For = DefaultGlass
		}
		switch err := name.Text("reason", req.Reason, name.MaxDescription); {
		case err != nil:
			return err
		case len(req.Reason) < 8:
			return errs.InvalidField("reason", "say in a few words why this cannot wait for a review")
		case req.For < time.Minute || req.For > MaxGlass:
			return errs.InvalidField("for", "an emergency lasts 1 minute to %s", MaxGlass)
		case !recent(who.MFA, tx.Now):
			return errs.Coded(errs.Precondition, CodeMFA, "breaking the glass takes a session with a second factor: sign in with one")
		}
		me, err := s.people.Subject(tx, who.Account, who.Name)
		if err != nil {
			return err
		}
		list, err := loadRules(tx, who.Account)
		if err != nil {
			return err
		}
		if me == nil || !slices.ContainsFunc(list.Rules, func(r protect.Rule) bool { return r.BreakGlass != "" && slices.Contains(me.Groups, r.BreakGlass) }) {
			return errs.Coded(errs.Precondition, CodeNoGlass, "no protection rule lets a group of yours break the glass")
		}
		if old, err := s.emergencyOf(tx, who, tx.Now); err != nil || old != nil {
			if err == nil {
				err = &errs.Error{Kind: errs.Precondition, Code: CodeOpenGlass, Field: old.ID, Msg: "emergency " + old.ID + " of yours is open already"}
			}
			return err
		}
		out = Emergency{ID: id, By: who.ARN(), Name: who.Name, Reason: req.Reason, Opened: tx.Now.UnixMicro(),
			Until: tx.Now.Add(req.For).UnixMicro(), Person: personOf(*me)}
		tx.audit.Change = id
		for _, k := range []kv.Key{glassOpenKey(who.Account, id)} {
			if err := tx.Put(k, []byte{1}); err != nil {
				return err
			}
		}
		if err := record.Put(tx, glassOfKey(who.Account, who.Name), id); err != nil {
			return err
		}
		return s.putGlass(tx, who.Account, notice.BreakGlassOpened, &out)
	})
	if err != nil {
		return Emergency{}, err
	}
	return out, nil
}

// CloseGlass ends an emergency, and the review of it. Who broke the glass ends
// what is left of the time by it; the review of it is ended by somebody else.
func (s *Service) CloseGlass(ctx context.Context, who caller.Caller, id, comment string) (Emergency, error) {
	var out Emergency
	err := s.onGlass(ctx, who, policy.CloseBreakGlass, func(tx *Tx) error {
		if err := name.Text("comment", comment, name.MaxDescription); err != nil {
			return err
		}
		e, err := findGlass(tx, who.Account, id)
		if err != nil {
			return err
		}
		tx.audit.Change = e.ID
		me, err := s.people.Subject(tx, who.Account, who.Name)
		switch {
		case err != nil:
			return err
		case e.Closed != 0:
			return errs.Coded(errs.Precondition, CodeClosed, "the emergency was closed already")
		case me == nil || e.Name == who.Name || e.Person == personOf(*me):
			return errs.Coded(errs.Precondition, CodeGlassOwn, "somebody else has to look at what was done and close it")
		}
		e.Closed, e.ClosedBy, e.Comment = tx.Now.UnixMicro(), who.ARN(), comment
		e.Until = min(e.Until, e.Closed)
		out = *e
		if err := tx.Delete(glassOpenKey(who.Account, e.ID)); err != nil {
			return err
		}
		return s.putGlass(tx, who.Account, notice.BreakGlassClosed, e)
	})
	if err != nil {
		return Emergency{}, err
	}
	return out, nil
}

// onGlass runs one step of an emergency.
func (s *Service) onGlass(ctx context.Context, who caller.Caller, op policy.Op, f func(tx *Tx) error) error {
	rec := gate.NewRecord(who, op, "")
	return s.write(ctx, who, &rec, func(txn kv.Txn, a *gate.Access, now time.Time) error {
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.AccountARN(who.Account), Account: who.Account}, nil); err != nil {
			return err
		}
		return f(&Tx{Txn: txn, Now: now, Who: who, audit: a.Record, Change: &Record{}})
	})
}

func findGlass(r kv.Reader, account, id string) (*Emergency, error) {
	if len(id) > 64 {
		return nil, errs.InvalidField("id", "the id of an emergency has 26 letters and digits")
	}
	e, err := record.Find[Emergency](r, glassKey(account, id))
	if err == nil && e == nil {
		err = errs.Coded(errs.NotFound, CodeEmergency, "there is no such emergency")
	}
	return e, err
}

// nounEmergency stands where changes have the noun of their target.
const nounEmergency = "emergency"

// putGlass writes an emergency and tells of it.
func (s *Service) putGlass(tx *Tx, account string, kind notice.Kind, e *Emergency) error {
	tx.Change = &Record{ID: e.ID, Noun: nounEmergency, Name: e.Name, Author: e.By, Reason: e.Reason, Operation: "BreakGlass"}
	if err := tx.notify(kind, Target{Account: account, Noun: nounEmergency, Name: e.Name}, tx.Change, e.Comment); err != nil {
		return err
	}
	return record.Put(tx, glassKey(account, e.ID), e)
}

// emergencyOf is the one that a caller has open at that time, nil for none.
func (s *Service) emergencyOf(r kv.Reader, who caller.Caller, now time.Time) (*Emergency, error) {
	id, ok, err := record.Get[string](r, glassOfKey(who.Account, who.Name))
	if err != nil || !ok {
		return nil, err
	}
	e, err := record.Find[Emergency](r, glassKey(who.Account, id))
	if err != nil || e == nil || e.Closed != 0 || e.Until <= now.UnixMicro() {
		return nil, err
	}
	return e, nil
}

// breaks returns the emergency in which the author of a write may apply it
// although rules hold, nil for none.
func (s *Service) breaks(tx *Tx, rules []protect.Rule) (*Emergency, error) {
	who := tx.Who
	if tx.Change.Noun != "secret" { // who may do what, and the rules themselves, can wait
		return nil, nil
	}
	if !slices.ContainsFunc(rules, func(r protect.Rule) bool { return r.BreakGlass != "" }) || !recent(who.MFA, tx.Now) || who.Account != tx.account {
		return nil, nil
	}
	e, err := s.emergencyOf(tx, who, tx.Now)
	if err != nil || e == nil {
		return nil, err
	}
	me, err := s.people.Subject(tx, who.Account, who.Name)
	if err != nil || me == nil {
		return nil, err
	}
	for _, r := range rules {
		if r.BreakGlass == "" || !slices.Contains(me.Groups, r.BreakGlass) {
			return nil, nil
		}
	}
	if len(e.Changes) >= maxGlassChanges {
		return nil, errs.New(errs.Limit, "%d changes were made in this emergency: have it closed, and break the glass again", maxGlassChanges)
	}
	return e, nil
}

// underGlass notes the change in the emergency in which it was applied. Whoever
// would have reviewed it hears of it now.
func (tx *Tx) underGlass(e *Emergency, t Target, rule protect.Rule) error {
	e.Changes = append(e.Changes, tx.Change.ID)
	tx.Change.BreakGlass, tx.Change.Rule = e.ID, rule.Name
	if err := record.Put(tx, glassKey(t.Account, e.ID), e); err != nil {
		return err
	}
	return tx.notify(notice.ChangeApplied, t, tx.Change, "the glass was broken")
}

// Emergencies lists those that nobody has closed, or with all the newest 1000,
// newest first.
func (s *Service) Emergencies(ctx context.Context, who caller.Caller, all bool) ([]Emergency, error) {
	var out []Emergency
	err := s.seeGlass(ctx, who, func(a *gate.Access) error {
		out = nil
		kind := "break-glass-open"
		if all {
			kind = "break-glass"
		}
		rng := kv.Prefix(kv.K(who.Account, kind))
		rng.Reverse = true
		for p, err := range a.Scan(rng) {
			if err != nil {
				return err
			}
			strs, _, err := kv.Key(p.Key).Parts("sss")
			if err != nil {
				return err
			}
			e, err := findGlass(a, who.Account, strs[2])
			if err != nil {
				return err
			}
			if out = append(out, *e); len(out) == MaxLimit {
				break
			}
		}
		return nil
	})
	return out, err
}

// Emergency returns one with the records of its changes.
func (s *Service) Emergency(ctx context.Context, who caller.Caller, id string) (Emergency, []Record, error) {
	var out Emergency
	var changes []Record
	err := s.seeGlass(ctx, who, func(a *gate.Access) error {
		e, err := findGlass(a, who.Account, id)
		if err != nil {
			return err
		}
		out, changes = *e, nil
		for _, c := range e.Changes {
			en, err := find(a, who.Account, c)
			if err != nil {
				return err
			}
			if en != nil {
				changes = append(changes, *en.rec)
			}
		}
		return nil
	})
	return out, changes, err
}

func (s *Service) seeGlass(ctx context.Context, who caller.Caller, f func(a *gate.Access) error) error {
	return s.gate.View(ctx, who, policy.ReadBreakGlass, "", func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: policy.ReadBreakGlass, Resource: policy.AccountARN(who.Account), Account: who.Account}, nil); err != nil {
			return err
		}
		return f(a)
	})
}
