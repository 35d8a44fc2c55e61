package change

import (
	"context"
	"slices"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// nounRules is the noun of changes to protection rules. They all alter one
// thing, the account's list.
const (
	nounRules = "rules"
	listName  = "protection"
)

func rulesKey(account string) kv.Key { return kv.K(account, "protection") }

// ruleList is an account's protection rules, in their order.
type ruleList struct {
	Rules    []protect.Rule `cbor:"1,keyasint,omitempty"`
	Revision uint64         `cbor:"2,keyasint"` // counts the changes
}

func loadRules(r kv.Reader, account string) (ruleList, error) {
	list, _, err := record.Get[ruleList](r, rulesKey(account))
	return list, err
}

// RuleChange alters the list of rules. Exactly one of Set, Delete and Replace is
// given.
type RuleChange struct {
	Set    *protect.Rule `cbor:"1,keyasint,omitempty"` // puts a rule, in the place of the one of its name
	Before string        `cbor:"2,keyasint,omitempty"` // with Set: moves it before the rule of that name
	Delete string        `cbor:"3,keyasint,omitempty"` // name of the rule that goes
	// Replace is the whole list. Revision must then be that of the list that it
	// was made from.
	Replace  []protect.Rule `cbor:"4,keyasint,omitempty"`
	Whole    bool           `cbor:"5,keyasint,omitempty"` // Replace is given, even if empty
	Revision uint64         `cbor:"6,keyasint,omitempty"`
}

type rulesEdit struct {
	account string
	change  RuleChange
	list    ruleList // as the transaction sees it
}

func (e *rulesEdit) Target() Target {
	return Target{Account: e.account, Noun: nounRules, Name: listName}
}
func (e *rulesEdit) Operation() policy.Op    { return policy.PutRules }
func (e *rulesEdit) Encode() ([]byte, error) { return record.Encode(e.change) }

func decodeRules(author caller.Caller, _ policy.Op, t Target, data []byte) (Edit, error) {
	e := &rulesEdit{account: t.Account}
	return e, record.Decode(data, &e.change)
}

func (e *rulesEdit) Allow(a *gate.Access) (err error) {
	if err := a.Allow(&policy.Request{Op: policy.PutRules, Resource: policy.AccountARN(e.account), Account: e.account}, nil); err != nil {
		return err
	}
	e.list, err = loadRules(a, e.account)
	return err
}

// after is the list as it will be.
func (e *rulesEdit) after(list ruleList) ([]protect.Rule, error) {
	rules := slices.Clone(list.Rules)
	at := func(n string) int { return slices.IndexFunc(rules, func(r protect.Rule) bool { return r.Name == n }) }
	c := e.change
	switch {
	case c.Whole:
		if c.Revision != list.Revision {
			return nil, errs.Coded(errs.Conflict, CodeConflict, "the rules were changed since revision %d; they are at %d", c.Revision, list.Revision)
		}
		return c.Replace, nil
	case c.Delete != "":
		i := at(c.Delete)
		if i < 0 {
			return nil, errs.New(errs.NotFound, "there is no rule %q", c.Delete)
		}
		return slices.Delete(rules, i, i+1), nil
	}
	i := at(c.Set.Name)
	if i >= 0 && c.Before == "" {
		rules[i] = *c.Set
		return rules, nil
	}
	if i >= 0 {
		rules = slices.Delete(rules, i, i+1)
	}
	if c.Before == "" {
		return append(rules, *c.Set), nil
	}
	if i = at(c.Before); i < 0 {
		return nil, errs.InvalidField("before", "there is no rule %q to stand before", c.Before)
	}
	return slices.Insert(rules, i, *c.Set), nil
}

// affected returns the rules that have to approve of the change.
func (e *rulesEdit) affected(list ruleList) ([]protect.Rule, error) {
	after, err := e.after(list)
	if err != nil {
		return nil, nil // Apply says what is wrong
	}
	return protect.Affected(list.Rules, after)
}

func (e *rulesEdit) Apply(tx *Tx) error {
	after, err := e.after(e.list)
	if err != nil {
		return err
	}
	if err := checkRules(after); err != nil {
		return err
	}
	same, err := equalRules(e.list.Rules, after)
	if err != nil {
		return err
	}
	if same {
		tx.NothingToDo()
		return nil
	}
	tx.Wrote(e.list.Revision, e.list.Revision+1, nil)
	text, err := record.Encode(after)
	if err != nil {
		return err
	}
	tx.Produced(text)
	return record.Put(tx, rulesKey(e.account), ruleList{Rules: after, Revision: e.list.Revision + 1})
}

func equalRules(a, b []protect.Rule) (bool, error) {
	ea, err := record.Encode(a)
	if err != nil {
		return false, err
	}
	eb, err := record.Encode(b)
	return len(a) == len(b) && string(ea) == string(eb), err
}

func checkRules(rules []protect.Rule) error {
	if len(rules) > protect.MaxRules {
		return errs.New(errs.Limit, "an account has at most %d protection rules", protect.MaxRules)
	}
	seen := map[string]bool{}
	for i := range rules {
		if err := rules[i].Validate(checkHours); err != nil {
			return err
		}
		if seen[rules[i].Name] {
			return errs.InvalidField("name", "two rules are named %q", rules[i].Name)
		}
		seen[rules[i].Name] = true
	}
	return nil
}

// RuleSet is an account's rules as they are shown.
type RuleSet struct {
	Rules    []protect.Rule
	Revision uint64
}

// PutRules alters the account's protection rules. Where that could weaken a rule,
// the change is held by that rule itself.
func (s *Service) PutRules(ctx context.Context, who caller.Caller, c RuleChange, reason string, o Options) (Result, error) {
	given := 0
	for _, is := range []bool{c.Set != nil, c.Delete != "", c.Whole} {
		if is {
			given++
		}
	}
	if given != 1 {
		rec := gate.NewRecord(who, policy.PutRules, "")
		return Result{}, s.gate.Finish(ctx, &rec, errs.InvalidField("set", "give exactly one of a rule to set, the name of one to delete, and the whole list"))
	}
	return s.Submit(ctx, who, Request{Edit: &rulesEdit{account: who.Account, change: c}, Reason: reason, Options: o})
}

// Rules lists the account's protection rules in their order.
func (s *Service) Rules(ctx context.Context, who caller.Caller) (RuleSet, error) {
	var out RuleSet
	err := s.aboutRules(ctx, who, func(a *gate.Access) error {
		list, err := loadRules(a, who.Account)
		out = RuleSet(list)
		return err
	})
	return out, err
}

func (s *Service) aboutRules(ctx context.Context, who caller.Caller, f func(a *gate.Access) error) error {
	return s.gate.View(ctx, who, policy.GetRules, "", func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: policy.GetRules, Resource: policy.AccountARN(who.Account), Account: who.Account}, nil); err != nil {
			return err
		}
		return f(a)
	})
}

// Protection is which rule holds for something, and who could approve.
type Protection struct {
	Rule     *protect.Rule // nil: none matches
	Protects bool          // it asks for approvals
	Voters   []Possible
	Warnings []string
}

// Possible is an approval of the rule with those who could give it.
type Possible struct {
	Count  int
	Groups []string
	Names  []string
}

// TestRules tells which rule holds for a change of that kind to the thing of that
// name, and who could approve one by author, who may be nobody.
func (s *Service) TestRules(ctx context.Context, who caller.Caller, subject protect.Subject, author string) (Protection, error) {
	var out Protection
	err := s.aboutRules(ctx, who, func(a *gate.Access) error {
		list, err := loadRules(a, who.Account)
		if err != nil {
			return err
		}
		out = Protection{Rule: protect.Last(list.Rules, subject)}
		if out.Rule == nil || out.Rule.Open() {
			return nil
		}
		out.Protects = true
		return s.possible(a, who.Account, author, &out)
	})
	return out, err
}

// possible finds who could approve.
func (s *Service) possible(r kv.Reader, account, author string, out *Protection) error {
	by := protect.Voter{}
	if author != "" {
		who, err := s.people.Subject(r, account, author)
		if err != nil {
			return err
		}
		if who == nil {
			return errs.InvalidField("author", "there is no enabled user %q", author)
		}
		by = s.voter(*who, Vote{})
	}
	for _, want := range out.Rule.Approvals {
		p := Possible{Count: want.Count, Groups: want.Groups}
		persons := map[string]bool{}
		for _, g := range want.Groups {
			names, err := s.people.Members(r, account, g)
			if err != nil {
				return err
			}
			for _, n := range names {
				who, err := s.people.Subject(r, account, n)
				if err != nil {
					return err
				}
				if who == nil || slices.Contains(p.Names, n) {
					continue
				}
				v := s.voter(*who, Vote{MFA: true, Key: "any"})
				if out.Rule.Refuses(by, v) == "" {
					p.Names = append(p.Names, n)
					persons[v.Person] = true
				}
			}
		}
		if len(want.Groups) > 0 && len(persons) < want.Count {
			out.Warnings = append(out.Warnings, warnFew(want, len(persons)))
		}
		out.Voters = append(out.Voters, p)
	}
	return nil
}
