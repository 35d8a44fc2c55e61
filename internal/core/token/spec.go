package token

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"countersign/internal/core/authn"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// Spec is what a login or a creation asks for.
type Spec struct {
	Account, Principal string
	Of                 int64  // when the principal was made, as authn.Identity has it
	Path               string // "auth/approle/login"
	Display            string
	Meta               map[string]string
	Granted            []string // policies beside the principal's own
	Narrowed           []string // policies that must allow too; nil: not narrowed
	NoDefault          bool     // leave out the policy "default"

	TTL            time.Duration // 0: the system's
	MaxTTL         time.Duration // of renewals, of what made it; 0: the system's
	ExplicitMaxTTL time.Duration // hard; 0: none
	Period         time.Duration // of a periodic token; 0: it is none
	NotRenewable   bool
	NumUses        int // 0: not counted
	BoundCIDRs     []netip.Prefix
	Type           Kind

	// What the token hangs on: the hash of its parent, an access key's id, a
	// session's id, or, when all are empty, the principal alone.
	Parent         []byte
	KeyID, Session string
	// Link names how the login knew the principal, in the words of Config.Linked. The
	// token, and each that is made with it, ends with the link.
	Link string

	Role  string // of tokens
	Queue bool   // writes that wait for review are a success

	endless bool // a token with the policy root: without a TTL it never expires
	depth   uint64
}

// Fresh is a token that is not in effect yet.
type Fresh struct {
	s    *Service
	acct string
	text []byte
	hash string
	rec  stored
	out  Issued
}

// Issued is a token as it is given to its holder.
type Issued struct {
	Token sensitive.Bytes
	Info
	Warnings []string
}

// Draw makes a token, with what chance has to add. It is called before the
// transaction in which Put makes the token valid; a batch token is valid at once.
func (s *Service) Draw(spec Spec, now time.Time) (*Fresh, error) {
	if roots(spec.Granted) || roots(spec.Narrowed) {
		return nil, errs.InvalidField("policies", "logins cannot make root tokens")
	}
	f, err := s.form(draw(), spec, now)
	if err != nil || spec.Type != KindBatch {
		return f, err
	}
	return f, f.seal()
}

// form makes a token out of what was drawn. It is pure.
func (s *Service) form(l luck, spec Spec, now time.Time) (*Fresh, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	f := &Fresh{s: s, acct: spec.Account}
	rec := &f.rec
	*rec = stored{Principal: spec.Principal, Of: spec.Of, Kind: spec.Type, Accessor: l.accessor, Created: micros(now), Depth: spec.depth,
		Display: spec.Display, Path: spec.Path, Meta: spec.Meta, MaxTTL: spec.MaxTTL.Microseconds(), Explicit: spec.ExplicitMaxTTL.Microseconds(),
		Period: spec.Period.Microseconds(), Fixed: spec.NotRenewable || spec.Type != KindService, Uses: uint64(spec.NumUses), Role: spec.Role, Queue: spec.Queue, Link: spec.Link}
	rec.On, rec.OnID = spec.hangsOn()
	rec.Granted, rec.Narrowed = sorted(spec.Granted), sorted(spec.Narrowed)
	if rec.IsNarrowed = spec.Narrowed != nil; rec.IsNarrowed {
		rec.Narrowed = withDefault(rec.Narrowed, spec.NoDefault)
	}
	rec.Granted = withDefault(rec.Granted, spec.NoDefault)
	for _, p := range spec.BoundCIDRs {
		rec.CIDRs = append(rec.CIDRs, p.Masked().String())
	}
	l2 := limits{ttl: spec.TTL, max: spec.MaxTTL, explicit: spec.ExplicitMaxTTL, period: spec.Period}
	if spec.endless && l2.ttl == 0 && l2.period == 0 && l2.explicit == 0 {
		rec.Fixed, rec.CIDRs = true, nil
	} else {
		ttl, warnings, err := s.lasts(l2, 0, now, now)
		if err != nil {
			return nil, err
		}
		rec.TTL, rec.Expires, f.out.Warnings = ttl.Microseconds(), micros(now.Add(ttl)), warnings
	}
	if spec.Type == KindBatch {
		rec.Accessor = batchAccessor + l.accessor
		return f, nil
	}
	return f, f.spell(l.secret)
}

// spell gives the token its text.
func (f *Fresh) spell(secret []byte) (err error) {
	f.text, err = spell(f.rec.Kind, f.acct, secret)
	f.hash = f.s.hash(string(f.text))
	return err
}

// batchAAD says what a sealed token is. The associated data of records begins with
// the version of their layout, which is never zero.
func batchAAD() []byte { return []byte("\x00countersign/batch-token/v1") }

// seal gives a batch token its text.
func (f *Fresh) seal() error {
	b, err := record.Encode(f.rec)
	if err != nil {
		return err
	}
	sealed, err := f.s.vault.Seal(nil, b, batchAAD(), f.acct)
	if err != nil {
		return err
	}
	if err := f.spell(sealed); err != nil {
		return err
	}
	if len(f.text) > maxBatch {
		return errs.New(errs.Limit, "a batch token holds no more than %d characters: give it fewer policies or less metadata", maxBatch)
	}
	return nil
}

// check refuses what no token can be.
func (spec *Spec) check() error {
	if spec.Type != KindService && spec.Type != KindBatch {
		return errs.InvalidField("type", "invalid 'token_type' value")
	}
	if err := checkPolicies("policies", slices.Concat(spec.Granted, spec.Narrowed)); err != nil {
		return err
	}
	for _, t := range []struct{ field, text string }{{"path", spec.Path}, {"display_name", spec.Display}, {"role", spec.Role}, {"link", spec.Link}} {
		if err := name.Text(t.field, t.text, MaxText); err != nil {
			return err
		}
	}
	if len(spec.Meta) > MaxMeta {
		return &errs.Error{Kind: errs.Limit, Field: "meta", Msg: "a token has at most 64 pieces of metadata"}
	}
	for k, v := range spec.Meta {
		if err := name.Text("meta", k+v, MaxText); err != nil {
			return err
		}
	}
	if len(spec.BoundCIDRs) > MaxCIDRs {
		return &errs.Error{Kind: errs.Limit, Field: "bound_cidrs", Msg: "a token is bound to at most 64 ranges of addresses"}
	}
	if slices.ContainsFunc(spec.BoundCIDRs, func(p netip.Prefix) bool { return !p.IsValid() }) {
		return errs.InvalidField("bound_cidrs", "a range of addresses is not valid")
	}
	return spec.checkTimes()
}

func (spec *Spec) checkTimes() error {
	for _, t := range []struct {
		field string
		d     time.Duration
	}{{"ttl", spec.TTL}, {"max_ttl", spec.MaxTTL}, {"explicit_max_ttl", spec.ExplicitMaxTTL}, {"period", spec.Period}} {
		if t.d < 0 {
			return errs.InvalidField(t.field, "%s must be positive", t.field)
		}
	}
	if spec.NumUses < 0 {
		return errs.InvalidField("num_uses", "number of uses cannot be negative")
	}
	if spec.Type != KindBatch {
		return nil
	}
	for _, t := range []struct {
		field string
		set   bool
	}{{"explicit_max_ttl", spec.ExplicitMaxTTL > 0}, {"num_uses", spec.NumUses > 0}, {"period", spec.Period > 0}} {
		if t.set {
			return errs.InvalidField(t.field, "batch tokens cannot have %q set", t.field)
		}
	}
	return nil
}

// checkPolicies refuses names that no policy can have.
func checkPolicies(field string, names []string) error {
	if len(names) > 2*MaxPolicies {
		return &errs.Error{Kind: errs.Limit, Field: field, Msg: "a token has at most 64 policies"}
	}
	for _, n := range names {
		if err := name.Principal(field, n); err != nil {
			return err
		}
	}
	return nil
}

func (spec *Spec) hangsOn() (on string, id []byte) {
	switch {
	case len(spec.Parent) > 0:
		return onToken, spec.Parent
	case spec.KeyID != "":
		return onKey, []byte(spec.KeyID)
	case spec.Session != "":
		return onSession, []byte(spec.Session)
	}
	return onPrincipal, []byte(principalID(spec.Principal, spec.Of))
}

// sorted is a list in order, each name once.
func sorted(names []string) []string {
	out := slices.Clone(names)
	slices.Sort(out)
	return slices.Compact(out)
}

// withDefault adds the policy that every token has, or takes it away.
func withDefault(names []string, without bool) []string {
	i, has := slices.BinarySearch(names, policyDefault)
	switch {
	case has && without:
		return slices.Delete(slices.Clone(names), i, i+1)
	case !has && !without:
		return slices.Insert(slices.Clone(names), i, policyDefault)
	}
	return names
}

// roots reports whether policies let everything.
func roots(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return n == policyAdmin || strings.EqualFold(n, policyRoot) })
}

// Put makes the token valid. The login or creation that asks for it is what is
// audited. It fails with CodeBadToken when the principal, or what the token is to
// hang on, is gone.
func (f *Fresh) Put(tx kv.Txn) error {
	rec := &f.rec
	id, ok, err := authn.FindIdentity(tx, f.acct, rec.Principal)
	if err != nil {
		return err
	}
	if !ok || id.Disabled || id.Created != rec.Of {
		return badToken()
	}
	if st, err := f.s.standingOf(tx, f.acct, rec, rec.Created); err != nil || st == nil {
		if err == nil {
			err = badToken()
		}
		return err
	}
	if rec.Kind != KindBatch {
		if err := f.store(tx); err != nil {
			return err
		}
	}
	f.out.Info, err = show(tx, f.acct, rec, when(rec.Created))
	return err
}

// store writes the records of the token.
func (f *Fresh) store(tx kv.Txn) error {
	if err := record.Put(tx, tokenKey(f.acct, f.hash), &f.rec); err != nil {
		return err
	}
	if err := record.Put(tx, accessorKey(f.acct, f.rec.Accessor), place{[]byte(f.hash)}); err != nil {
		return err
	}
	if err := tx.Put(f.rec.key(f.acct, f.hash), []byte{1}); err != nil {
		return err
	}
	if f.rec.Expires == 0 {
		return nil
	}
	return putDue(tx, f.rec.Expires, f.acct, dueToken, f.hash)
}

// Issued is what the answer is made of, after Put.
func (f *Fresh) Issued() Issued {
	out := f.out
	out.Token = sensitive.New(f.text)
	return out
}

// Accessor names the token, for the record of what makes it.
func (f *Fresh) Accessor() string { return f.rec.Accessor }
