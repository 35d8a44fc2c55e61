package protect

import (
	"math/rand/v2"
	"strings"
	"testing"

	"countersign/internal/errs"
)

func anyHours(string) error { return nil }

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		glob, s string
		want    bool
	}{
		{"prod/*", "prod/a", true}, {"prod/*", "prod/a/b", true}, {"prod/*", "prod/", true}, {"prod/*", "prod", false},
		{"prod/*", "Prod/a", false}, {"*/production", "x/production", true}, {"*/production", "x/production2", false},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"*", "", true}, {"**b", "aab", true}, {"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxbyyd", false}, {"", "", true}, {"", "a", false},
	} {
		if got := match(c.glob, c.s); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.glob, c.s, got)
		}
	}
}

// TestOverlap holds overlap against trying every short text.
func TestOverlap(t *testing.T) {
	var texts []string
	for n := 0; n <= 5; n++ {
		for i := range 1 << n {
			var b strings.Builder
			for k := range n {
				b.WriteByte("ab"[i>>k&1])
			}
			texts = append(texts, b.String())
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		a, b := randomGlob(r), randomGlob(r)
		want := false
		for _, s := range texts {
			want = want || match(a, s) && match(b, s)
		}
		if got := overlap(a, b); got != want {
			t.Fatalf("overlap(%q, %q) = %v, and trying says %v", a, b, got, want)
		}
	}
	if overlap("group:*", "*") {
		t.Error("patterns of different nouns overlap")
	}
}

func randomGlob(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteByte("ab?*"[r.IntN(4)])
	}
	return b.String()
}

func TestFindLastWins(t *testing.T) {
	one := []Approval{{Count: 1}}
	rules := []Rule{
		{Name: "all", Match: []string{"*"}, Approvals: one},
		{Name: "dev", Match: []string{"dev/*"}},
		{Name: "roll", Match: []string{"prod/*"}, Kinds: []Kind{RestoreLast}},
		{Name: "tagged", Match: []string{"*"}, Tags: map[string]string{"tier": "1"}, Approvals: one},
		{Name: "approvers", Match: []string{"group:*"}, Approvals: one},
		{Name: "turns", Match: []string{"turn/*"}, Kinds: []Kind{Rotate}, Approvals: one},
	}
	for _, c := range []struct {
		s    Subject
		want string
	}{
		{Subject{Noun: "secret", Name: "prod/a", Kind: Edit}, "all"},
		{Subject{Noun: "secret", Name: "dev/a", Kind: Edit}, ""},
		{Subject{Noun: "secret", Name: "prod/a", Kind: RestoreLast}, ""},
		{Subject{Noun: "secret", Name: "prod/a", Kind: Rollback}, "all"},
		{Subject{Noun: "secret", Name: "dev/a", Tags: map[string]string{"tier": "1"}, Kind: Edit}, "tagged"},
		{Subject{Noun: "secret", Name: "dev/a", Tags: map[string]string{"tier": "2"}, Kind: Edit}, ""},
		{Subject{Noun: "group", Name: "x", Kind: Policy}, "approvers"},
		{Subject{Noun: "user", Name: "x", Kind: Policy}, ""},
		{Subject{Noun: "secret", Name: "prod/a", Kind: Rotate}, "all"},
		{Subject{Noun: "secret", Name: "prod/a", Kind: Rotate, Generated: true}, ""},
		{Subject{Noun: "secret", Name: "turn/a", Kind: Rotate, Generated: true}, "turns"},
	} {
		got := ""
		if r := Find(rules, c.s); r != nil {
			got = r.Name
		}
		if got != c.want {
			t.Errorf("%+v: rule %q holds, want %q", c.s, got, c.want)
		}
	}
}

func TestRollbackRulesHoldForRestoreLast(t *testing.T) {
	r := Rule{Name: "r", Match: []string{"*"}, Kinds: []Kind{Rollback}}
	if !r.Matches(Subject{Noun: "secret", Name: "a", Kind: RestoreLast}) {
		t.Error("a rule for rollbacks does not hold for the shortest of them")
	}
}

func TestStand(t *testing.T) {
	r := Rule{Name: "r", Approvals: []Approval{{Count: 2, Groups: []string{"ops"}}, {Count: 1, Groups: []string{"sec"}}}}
	author := Voter{Name: "alice", Person: "alice"}
	votes := []Voter{
		{Name: "alice", Person: "alice", Groups: []string{"ops", "sec"}},
		{Name: "bob", Person: "bob", Groups: []string{"ops", "sec"}},
		{Name: "bob-2", Person: "bob", Groups: []string{"ops"}},
		{Name: "alice-2", Person: "alice", Groups: []string{"ops"}},
		{Name: "robot", Person: "robot", Machine: true, Groups: []string{"ops"}},
		{Name: "eve", Person: "eve"},
	}
	s := r.Stand(author, votes)
	if s.Approvals[0].Have != 1 || s.Approvals[1].Have != 1 || s.Met() {
		t.Errorf("only bob counts, once for each: %+v", s)
	}
	if got, want := s.Missing(), "1 more from ops"; got != want {
		t.Errorf("missing: %q, want %q", got, want)
	}
	if s = r.Stand(author, append(votes, Voter{Name: "carol", Person: "carol", Groups: []string{"ops"}})); !s.Met() {
		t.Errorf("bob and carol are enough: %+v", s)
	}
	strict := Rule{Approvals: []Approval{{Count: 1}}, MFA: true, Signed: true, Machines: []string{"robot"}}
	for _, c := range []struct {
		v    Voter
		want bool
	}{
		{Voter{Name: "bob", Person: "bob"}, false},
		{Voter{Name: "bob", Person: "bob", MFA: true}, false},
		{Voter{Name: "bob", Person: "bob", Signed: true}, false},
		{Voter{Name: "bob", Person: "bob", MFA: true, Signed: true}, true},
		{Voter{Name: "robot", Machine: true, MFA: true, Signed: true}, true},
		{Voter{Name: "other", Machine: true, MFA: true, Signed: true}, false},
	} {
		if got := strict.Refuses(author, c.v) == ""; got != c.want {
			t.Errorf("%+v taken: %v", c.v, got)
		}
	}
}

func TestAffected(t *testing.T) {
	one := []Approval{{Count: 1}}
	a := Rule{Name: "a", Match: []string{"prod/*"}, Approvals: one}
	b := Rule{Name: "b", Match: []string{"stage/*"}, Approvals: one}
	open := Rule{Name: "open", Match: []string{"prod/x"}}
	far := Rule{Name: "far", Match: []string{"dev/*"}}
	weaker := a
	weaker.AllowAuthor = true
	for _, c := range []struct {
		name          string
		before, after []Rule
		want          string
	}{
		{"first rule", nil, []Rule{a}, ""},
		{"nothing", []Rule{a, b}, []Rule{a, b}, ""},
		{"elsewhere", []Rule{a, b}, []Rule{a, b, far}, ""},
		{"an exception", []Rule{a, b}, []Rule{a, b, open}, "a"},
		{"gone", []Rule{a, b}, []Rule{b}, "a"},
		{"weaker", []Rule{a, b}, []Rule{weaker, b}, "a"},
		{"moved", []Rule{a, open}, []Rule{open, a}, "a"},
		{"all gone", []Rule{a, b}, nil, "a b"},
	} {
		got, err := Affected(c.before, c.after)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range got {
			names = append(names, r.Name)
		}
		if s := strings.Join(names, " "); s != c.want {
			t.Errorf("%s: affects %q, want %q", c.name, s, c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := func() Rule {
		return Rule{Name: "r", Match: []string{"prod/*", "group:ops"}, Approvals: []Approval{{Count: 1, Groups: []string{"ops"}}}, Kinds: []Kind{Edit}}
	}
	r := good()
	if err := r.Validate(anyHours); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Rule){
		"no name":        func(r *Rule) { r.Name = "" },
		"no match":       func(r *Rule) { r.Match = nil },
		"empty glob":     func(r *Rule) { r.Match = []string{"group:"} },
		"unknown noun":   func(r *Rule) { r.Match = []string{"planet:x"} },
		"control":        func(r *Rule) { r.Match = []string{"a\nb"} },
		"kind":           func(r *Rule) { r.Kinds = []Kind{"sing"} },
		"count":          func(r *Rule) { r.Approvals[0].Count = 0 },
		"large count":    func(r *Rule) { r.Approvals[0].Count = MaxCount + 1 },
		"group":          func(r *Rule) { r.Approvals[0].Groups = []string{"a b"} },
		"machine":        func(r *Rule) { r.Machines = []string{""} },
		"expiry":         func(r *Rule) { r.ExpiryDays = -1 },
		"many approvals": func(r *Rule) { r.Approvals = make([]Approval, MaxApprovals+1) },
	} {
		r := good()
		spoil(&r)
		if err := r.Validate(anyHours); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
