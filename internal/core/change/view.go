package change

import (
	"context"
	"encoding/hex"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Values tells of values what a reviewer may know who must not see them.
type Values interface {
	// Diff compares the values of two versions of the target, key by key where
	// both are JSON objects. base 0 is no value; content, when not nil, stands in
	// for the value of version. Of a value that is deleted at the time now nothing is
	// told. may says whether the reviewer may know of a secret with that ARN and tags.
	// The answer holds no value and no fingerprint.
	Diff(r kv.Reader, t Target, base, version uint64, content []byte, now time.Time, may func(arn string, tags map[string]string) (bool, error)) ([]KeyDiff, error)
}

// KeyDiff is how one key of a value changes, or, with an empty Key, the value as
// a whole.
type KeyDiff struct {
	Key    string   `json:"key"`
	Change string   `json:"change"` // added, removed, changed, same
	Old    *Facts   `json:"old,omitempty"`
	New    *Facts   `json:"new,omitempty"`
	Notes  []string `json:"notes,omitempty"` // facts of the new value: "equals staging"
}

// Facts is what is told of a value instead of it.
type Facts struct {
	Length string `json:"length"` // class: "9-16", "over 1024"
	Format string `json:"format"` // class: "uuid", "url", "text", ...
}

// Liner is an Edit that can say in lines what it does beside values.
type Liner interface{ Lines() []string }

// Review is a change as somebody sees it who may review it. It holds no value.
type Review struct {
	Record   Record
	Short    string
	Standing []protect.Standing
	Rules    []protect.Rule
	Digest   string // hexadecimal; empty when the change is not open
	Current  uint64 // version that is current now
	Votes    []VoteView
	Comments []Comment
	Diff     []KeyDiff
	Lines    []string
	Conflict string // why it cannot take effect; empty when it can
	CannotBy string // why the caller cannot approve it; empty when they can
	Reveals  bool   // the caller may read the values
}

// VoteView is a vote and whether it counts now.
type VoteView struct {
	Vote
	Counts bool
}

// Get returns a change for review.
func (s *Service) Get(ctx context.Context, who caller.Caller, id string) (Review, error) {
	var out Review
	now := time.Now()
	err := s.gate.View(ctx, who, policy.ReadChange, "", func(a *gate.Access) error {
		e, err := s.ask(a, policy.ReadChange, id)
		if err != nil {
			return err
		}
		a.Record.Change = e.rec.ID
		out = Review{Record: *e.rec}
		if out.Short, err = Short(a, e.target.Account, e.rec.ID); err != nil {
			return err
		}
		if out.Reveals, err = a.May(&policy.Request{Resource: e.resource(), Account: e.target.Account}, policy.ReadValue, nil); err != nil {
			return err
		}
		return s.review(a, e, &out, now)
	})
	if err != nil {
		return Review{}, err
	}
	return out, nil
}

func (s *Service) review(a *gate.Access, e *entry, out *Review, now time.Time) error {
	// Who knows the proposed value, because it is theirs, would learn another
	// secret's from "equals": that takes the permission to read it.
	op := policy.Describe
	if own, err := s.ownedBy(a, e, a.Who); err != nil {
		return err
	} else if own {
		op = policy.ReadValue
	}
	may := func(arn string, tags map[string]string) (bool, error) {
		return a.May(&policy.Request{Resource: arn, Tags: tags, Account: e.target.Account}, op, nil)
	}
	version, content := e.rec.Version, []byte(nil)
	base := e.rec.Base
	if e.prop != nil {
		out.Comments = e.prop.Comments
		for _, v := range e.prop.Votes {
			out.Votes = append(out.Votes, VoteView{Vote: v})
		}
		if e.prop.Sealed != nil {
			var err error
			if out.Rules, err = protect.ParseTexts(e.prop.Sealed.Evidence.Rules); err != nil {
				return err
			}
		}
	}
	if e.prop != nil && e.rec.Status.Open() {
		ev, err := s.evaluate(a, e, now)
		if err != nil {
			return err
		}
		if err := s.reviewOpen(a, e, ev, out); err != nil {
			return err
		}
		base, content = ev.base, ev.content
	}
	if e.target.Noun != "secret" || version == 0 && content == nil || s.values == nil {
		return nil
	}
	diff, err := s.values.Diff(a, e.target, base, version, content, now, may)
	out.Diff = diff
	return err
}

// ownedBy reports whether a change is by somebody, or by another identity of the
// same person.
func (s *Service) ownedBy(r kv.Reader, e *entry, who caller.Caller) (bool, error) {
	if e.rec.Author == who.ARN() {
		return true, nil
	}
	if e.prop == nil {
		return false, nil
	}
	author, err := s.people.Subject(r, e.prop.Account, e.prop.Author)
	if err != nil || author == nil {
		return false, err
	}
	me, err := s.people.Subject(r, who.Account, who.Name)
	return me != nil && personOf(*me) == personOf(*author), err
}

// reviewOpen fills in what is known of a change that can still take effect.
func (s *Service) reviewOpen(a *gate.Access, e *entry, ev *evaluation, out *Review) error {
	out.Rules, out.Digest, out.Current = ev.rules, hex.EncodeToString(ev.digest), ev.base
	if l, ok := ev.edit.(Liner); ok {
		out.Lines = l.Lines()
	}
	if ev.conflict != nil {
		out.Conflict = errs.As(ev.asConflict()).Msg
	}
	var err error
	if out.Standing, err = s.stand(a, e, ev); err != nil {
		return err
	}
	for i := range out.Votes {
		v := &out.Votes[i]
		v.Counts = slices.ContainsFunc(out.Standing, func(st protect.Standing) bool {
			return slices.ContainsFunc(st.Approvals, func(c protect.Count) bool { return slices.Contains(c.By, v.Name) })
		}) && hex.EncodeToString(v.Digest) == out.Digest
	}
	ok, err := a.May(&policy.Request{Resource: e.resource(), Account: e.target.Account}, policy.ReviewChange, nil)
	if err != nil {
		return err
	}
	if !ok {
		out.CannotBy = "policy does not let you review this"
		return nil
	}
	me, err := s.people.Subject(a, a.Who.Account, a.Who.Name)
	if err != nil || me == nil {
		return err
	}
	for i := range ev.rules {
		rule := ev.rules[i]
		rule.Signed = false // that is seen when it is done
		if out.CannotBy = rule.Refuses(ev.authorVoter(s, e), s.voter(*me, Vote{MFA: recent(a.Who.MFA, a.Who.Time)})); out.CannotBy == "" {
			break
		}
	}
	return nil
}

// Content is the value that an open change would make current; nil when it
// would make none. It asks nobody: the caller has authorized the reader to see
// the values of what the change alters.
func (s *Service) Content(r kv.Reader, account, prefix string, now time.Time) (Record, []byte, error) {
	id, err := resolve(r, account, prefix)
	if err != nil {
		return Record{}, nil, err
	}
	e, err := find(r, account, id)
	if err != nil {
		return Record{}, nil, err
	}
	if e == nil || e.prop == nil || !e.rec.Status.Open() {
		return Record{}, nil, errs.Coded(errs.NotFound, CodeChange, "no change of that id waits for review")
	}
	ev, err := s.evaluate(r, e, now)
	if err != nil {
		return Record{}, nil, err
	}
	if ev.conflict != nil {
		return *e.rec, nil, ev.asConflict()
	}
	return *e.rec, ev.content, nil
}

// Where tells what a change alters, by its id or the beginning of it. It asks
// nobody. A change that does not exist is the zero Target.
func (s *Service) Where(r kv.Reader, account, prefix string) (Target, Record, error) {
	id, err := resolve(r, account, prefix)
	if err != nil {
		return Target{}, Record{}, err
	}
	e, err := find(r, account, id)
	if err != nil || e == nil {
		return Target{}, Record{}, err
	}
	return e.target, *e.rec, nil
}
