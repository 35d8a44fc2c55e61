package rule_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/protect/rule"
	"countersign/internal/client"
)

const document = `# the rules
rules:
  - name: prod
    match: ["*/production"]
    tags: {team: shop}
    kinds: [edit, delete]
    approvals:
      - {count: 2, groups: [approvers, oncall]}
    mfa: true
    expiry_days: 7
revision: 4
`

func TestParse(t *testing.T) {
	want := rule.Document{Revision: 4, Rules: []client.Rule{{Name: "prod", Match: []string{"*/production"}, Tags: map[string]string{"team": "shop"},
		Kinds: []string{"edit", "delete"}, Approvals: []client.RuleApproval{{Count: 2, Groups: []string{"approvers", "oncall"}}}, MFA: true, ExpiryDays: 7}}}
	got, err := rule.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// What "protect list --json" prints is a file for "protect set".
	b, err := json.Marshal(client.Rules{Rules: want.Rules, Revision: 4})
	if err != nil {
		t.Fatal(err)
	}
	if got, err = rule.Parse(string(b)); err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
	if got, err = rule.Parse("[]"); err != nil || len(got.Rules) != 0 {
		t.Errorf("the empty list: %+v, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, says string }{
		{"empty", "", "holds no rules"},
		{"no-yaml", "a: [", "no YAML"},
		{"text", "hello", "no list of rules"},
		{"object", "a: 1", "no list of rules"},
		{"unknown-field", "- {name: a, macth: [x]}", `unknown field "macth"`},
		{"wrong-type", "- {name: a, mfa: maybe}", "mfa"},
		{"two-documents", "[]\n---\n[]", "more than one document"},
		{"number-keys", "rules: [{1: 2}]", "keys are no texts"},
		{"key-twice", "- {name: a, name: b}", "no YAML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := rule.Parse(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %+v, %v, want %q", got, err, tt.says)
			}
		})
	}
}

func TestWords(t *testing.T) {
	r := client.Rule{Approvals: []client.RuleApproval{{Count: 2, Groups: []string{"a", "b"}}, {Count: 1}}, Tags: map[string]string{"z": "1", "a": "2"},
		AllowAuthor: true, MFA: true, Signed: true, Machines: []string{"ci"}, Hours: "Mon-Fri 09:00-17:00 UTC", ExpiryDays: 7, BreakGlass: "oncall"}
	if got, want := rule.Approvals(r), "2 from a or b and 1 from anybody"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := "tag a=2,tag z=1,the author may approve,second factor,signed,machines ci,hours Mon-Fri 09:00-17:00 UTC,expires after 7d,break-glass oncall"
	if got := strings.Join(rule.Options(r), ","); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := rule.Approvals(client.Rule{}); got != "none" {
		t.Errorf("got %q", got)
	}
}

// FuzzParse holds that what is read, printed and read again is the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{document, "[]", "- {name: a, match: [b]}", "rules: []", "a: &x [*x]", "- &a {name: *a}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := rule.Parse(s)
		if err != nil {
			return
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if got.Rules == nil {
			t.Fatalf("%q is no list", s)
		}
		again, err := rule.Parse(string(b))
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		c, err := json.Marshal(again)
		if err != nil || string(b) != string(c) {
			t.Fatalf("%s became %s, %v", b, c, err)
		}
	})
}
