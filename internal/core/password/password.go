// Package password keeps password policies, in the form of the Vault protocol, and
// makes passwords by them.
//
// A policy says how long a password is, from which characters it is drawn, and how
// many of which must be in it. Every password that fulfils it is as likely as any
// other: one is drawn from all characters until the rules hold. A policy for which
// that takes too long is refused when it is put.
//
// Every write is an edit of package change, which protection rules with the
// pattern "password-policy:NAME" can hold for review.
package password

import (
	"context"
	"crypto/rand"
	"math"
	"slices"
	"strconv"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// Noun is the noun of changes to password policies.
const Noun = "password-policy"

// CodePolicy is the code of NotFound: there is no such policy.
const CodePolicy = "password-policy"

// Limits of a policy.
const (
	MaxBytes  = 5000
	MinLength = 4
	MaxLength = 100
	maxRules  = 20
	maxSet    = 1000 // characters of one rule
)

// Rule asks for characters of a set.
type Rule struct {
	Set []rune // sorted, each once
	Min int    // how many of a password's characters are of it at least
}

// Policy is a policy that was read. It does not change.
type Policy struct {
	Length int
	Rules  []Rule
	all    []rune
}

// stored is a policy as it is kept, under its account and name.
type stored struct {
	Text     string `cbor:"1,keyasint"`
	Revision uint64 `cbor:"2,keyasint,omitempty"` // counts the changes
}

func policyKey(account, n string) kv.Key { return kv.K(account, "password-policy", n) }

// Generate draws a password. It fails for a policy that hardly any password
// fulfils.
func (p *Policy) Generate() (sensitive.Bytes, error) {
	out := make([]rune, p.Length)
	for range maxTries {
		for i := range out {
			out[i] = p.all[below(len(p.all))]
		}
		if p.fulfils(out) {
			return sensitive.FromString(string(out)), nil
		}
	}
	return sensitive.Bytes{}, errs.InvalidField("policy", "hardly any password fulfils the policy: ask for fewer characters of small sets, or for a greater length")
}

// maxTries bounds how often one password is drawn.
const maxTries = 20_000

// below is a random number less than n, each as likely.
func below(n int) int {
	limit := 1<<16 - 1<<16%n // what is above would make the first numbers likelier
	for {
		var b [2]byte
		_, _ = rand.Read(b[:])
		if v := int(b[0])<<8 | int(b[1]); v < limit {
			return v % n
		}
	}
}

func (p *Policy) fulfils(s []rune) bool {
	for _, r := range p.Rules {
		n := 0
		for _, c := range s {
			if _, in := slices.BinarySearch(r.Set, c); in {
				n++
			}
		}
		if n < r.Min {
			return false
		}
	}
	return true
}

// Service is the operations on password policies. It is safe for concurrent use.
type Service struct {
	gate    *gate.Gate
	changes *change.Service
}

// New returns a Service.
func New(g *gate.Gate, changes *change.Service) *Service { return &Service{gate: g, changes: changes} }

// edit is every write to a policy; without a text it deletes it.
type edit struct {
	op      policy.Op
	account string
	name    string
	Text    string
}

// Put makes or replaces a policy. It is refused when no password can be made by it.
func (s *Service) Put(ctx context.Context, who caller.Caller, n, text string) (change.Result, error) {
	e := &edit{op: policy.PutPasswordPolicy, account: who.Account, name: n, Text: text}
	p, err := Parse(text)
	if err == nil {
		_, err = p.Generate()
	}
	return s.submit(ctx, who, e, err)
}

// Delete removes a policy; one that is not there is no error, as in Vault.
func (s *Service) Delete(ctx context.Context, who caller.Caller, n string) (change.Result, error) {
	return s.submit(ctx, who, &edit{op: policy.DeletePasswordPolicy, account: who.Account, name: n}, nil)
}

func (s *Service) submit(ctx context.Context, who caller.Caller, e *edit, err error) (change.Result, error) {
	if bad := name.Principal("name", e.name); bad != nil {
		e.name, err = "", bad
	}
	if err != nil {
		rec := gate.NewRecord(who, e.op, e.name)
		return change.Result{}, s.gate.Finish(ctx, &rec, err)
	}
	return s.changes.Submit(ctx, who, change.Request{Edit: e})
}

// DecodeEdit reads back an edit that was written down; see change.Decoder.
func (s *Service) DecodeEdit(_ caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
	e := &edit{op: op, account: t.Account, name: t.Name}
	switch op {
	case policy.PutPasswordPolicy, policy.DeletePasswordPolicy:
		return e, record.Decode(data, &e.Text)
	}
	return nil, errs.New(errs.Internal, "%s is no stored edit of a password policy", op)
}

func (e *edit) Target() change.Target {
	return change.Target{Account: e.account, Noun: Noun, Name: e.name}
}
func (e *edit) Operation() policy.Op    { return e.op }
func (e *edit) Encode() ([]byte, error) { return record.Encode(e.Text) }

func (e *edit) Allow(a *gate.Access) error {
	return a.Allow(&policy.Request{Op: e.op, Resource: policy.PasswordPolicyARN(e.account, e.name), Account: e.account}, nil)
}

func (e *edit) Apply(tx *change.Tx) error {
	was, err := record.Find[stored](tx, policyKey(e.account, e.name))
	if err != nil {
		return err
	}
	base, err := record.Encode(was) // what votes have for a base
	if err != nil {
		return err
	}
	tx.Produced(base)
	switch {
	case e.op == policy.DeletePasswordPolicy && was == nil, was != nil && was.Text == e.Text:
		tx.NothingToDo()
		return nil
	case e.op == policy.DeletePasswordPolicy:
		tx.Wrote(was.Revision, 0, nil)
		return tx.Delete(policyKey(e.account, e.name))
	case was == nil:
		was = &stored{}
	}
	tx.Wrote(was.Revision, was.Revision+1, nil)
	return record.Put(tx, policyKey(e.account, e.name), stored{Text: e.Text, Revision: was.Revision + 1})
}

// Lines tell who reviews it what it does.
func (e *edit) Lines() []string {
	if e.op == policy.DeletePasswordPolicy {
		return []string{"delete password policy " + e.name}
	}
	return append([]string{"put password policy " + e.name}, strings.Split(strings.TrimRight(e.Text, "\n"), "\n")...)
}

// Get returns the text of a policy.
func (s *Service) Get(ctx context.Context, who caller.Caller, n string) (string, error) {
	return s.read(ctx, who, policy.GetPasswordPolicy, n)
}

// Generate makes a password by a policy.
func (s *Service) Generate(ctx context.Context, who caller.Caller, n string) (sensitive.Bytes, error) {
	p, err := s.policy(ctx, who, n)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return p.Generate()
}

// CodeWeak is the code of Precondition: too few passwords fulfil a policy.
const CodeWeak = "weak-policy"

// Draw is Generate for a password that nobody may choose, not even by the policy: of those
// that fulfil it there are 2 to the power of so many bits at least. Precondition with
// CodeWeak: there are not.
func (s *Service) Draw(ctx context.Context, who caller.Caller, n string, bits float64) (sensitive.Bytes, error) {
	p, err := s.policy(ctx, who, n)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	if p.Bits() < bits {
		return sensitive.Bytes{}, errs.Coded(errs.Precondition, CodeWeak, "the password policy leaves too little to chance")
	}
	return p.Generate()
}

// Bits is how much is left to chance at least: the binary logarithm of how many passwords
// have what each rule asks for one after the other, and any characters after that.
func (p *Policy) Bits() (bits float64) {
	rest := p.Length
	for _, r := range p.Rules {
		bits += float64(r.Min) * math.Log2(float64(len(r.Set)))
		rest -= r.Min
	}
	return bits + float64(rest)*math.Log2(float64(len(p.all)))
}

func (s *Service) policy(ctx context.Context, who caller.Caller, n string) (*Policy, error) {
	text, err := s.read(ctx, who, policy.GeneratePassword, n)
	if err != nil {
		return nil, err
	}
	p, err := Parse(text)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "reading a stored password policy")
	}
	return p, nil
}

func (s *Service) read(ctx context.Context, who caller.Caller, op policy.Op, n string) (text string, err error) {
	shown := n
	if name.Principal("name", n) != nil {
		shown = ""
	}
	err = s.gate.View(ctx, who, op, shown, func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.PasswordPolicyARN(who.Account, n), Account: who.Account}, nil); err != nil {
			return err
		}
		p, err := record.Find[stored](a, policyKey(who.Account, n))
		if err != nil {
			return err
		}
		if p == nil {
			return errs.Coded(errs.NotFound, CodePolicy, "there is no such password policy")
		}
		text = p.Text
		return nil
	})
	return text, err
}

// List lists the names of the account's policies.
func (s *Service) List(ctx context.Context, who caller.Caller) (names []string, err error) {
	err = s.gate.View(ctx, who, policy.ListPasswordPolicies, "", func(a *gate.Access) error {
		names = nil
		if err := a.Allow(&policy.Request{Op: policy.ListPasswordPolicies, Resource: policy.AnyResource, Account: who.Account}, nil); err != nil {
			return err
		}
		prefix := kv.K(who.Account, "password-policy")
		for p, err := range a.Scan(kv.Prefix(prefix)) {
			if err != nil {
				return err
			}
			strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
			if err != nil {
				return err
			}
			names = append(names, strs[0])
		}
		return nil
	})
	return names, err
}

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{{Kind: "password-policy", Shape: "sss", Decode: record.Check[stored]}}
}

// tooMany says that a number is over its limit.
func tooMany(what string, limit int) error {
	return errs.InvalidField("policy", "a password policy has at most %s %s", strconv.Itoa(limit), what)
}
