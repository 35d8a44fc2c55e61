package policy

import (
	"fmt"
	"strings"
	"testing"

	"countersign/internal/caller"
)

// fivePolicies is five policies of ten statements; the last statement is the one
// that allows.
func fivePolicies(t testing.TB, condition string) *Set {
	var named []Named
	for p := range 5 {
		var list []string
		for s := range 10 {
			list = append(list, fmt.Sprintf(`{"Effect":"Allow","Action":["secretsmanager:Get*","secretsmanager:Describe*"],
				"Resource":["arn:aws:secretsmanager:*:*:secret:team%d/%d/*","arn:aws:secretsmanager:eu-west-1:111122223333:secret:x/*-??????"]}`, p, s))
		}
		if p == 4 {
			list[9] = `{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/*"` + condition + `}`
		}
		list[0] = strings.Replace(list[0], "Allow", "Deny", 1)
		doc := `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`
		named = append(named, Named{fmt.Sprint("p", p), mustParse(t, Identity, doc)})
	}
	return Compile(named...)
}

// fiftyRules is five policies of ten paths; the last is the one that allows.
func fiftyRules(t testing.TB, last string) *Set {
	var docs []string
	for p := range 5 {
		var b strings.Builder
		for r := range 10 {
			path := fmt.Sprintf("secret/data/team%d/%d/*", p, r)
			switch {
			case p == 4 && r == 9:
				path = last
			case r%3 == 1:
				path = fmt.Sprintf("secret/metadata/team%d/%d", p, r)
			}
			fmt.Fprintf(&b, "path %q { capabilities = [\"read\", \"list\"] }\n", path)
		}
		docs = append(docs, b.String())
	}
	return annaSet(t, docs...)
}

const tagAndAddress = `,"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"StringEquals":{"aws:ResourceTag/env":"prod"}}`

func BenchmarkEvaluate(b *testing.B) {
	admin := Compile(Named{"admin", mustParse(b, Identity, Builtins()[0].Document)})
	for name, set := range map[string]*Set{"admin": admin, "five": fivePolicies(b, ""), "five-conditions": fivePolicies(b, tagAndAddress),
		"rules-exact": fiftyRules(b, "secret/data/prod/db"), "rules-prefix": fiftyRules(b, "secret/data/prod/*"), "rules-plus": fiftyRules(b, "secret/+/prod/+")} {
		b.Run(name, func(b *testing.B) {
			req := annaReads()
			b.ReportAllocs()
			for b.Loop() {
				if !Evaluate(set, nil, req).Allowed {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkRefuse(b *testing.B) {
	set := fivePolicies(b, "")
	req := annaReads()
	req.Resource = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:other-a1B2c3"
	b.ReportAllocs()
	for b.Loop() {
		if Evaluate(set, nil, req).Allowed {
			b.Fatal("allowed")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, p := range Builtins() {
		if p.Name != "SecurityAudit" && p.Name != "default" {
			continue
		}
		b.Run(p.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse([]byte(p.Document), Identity); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestAllowanceCostsNoAllocation(t *testing.T) {
	for name, set := range map[string]*Set{"plain": fivePolicies(t, ""), "conditions": fivePolicies(t, tagAndAddress),
		"rules-prefix": fiftyRules(t, "secret/data/prod/*"), "rules-exact": fiftyRules(t, "secret/data/prod/db"), "rules-plus": fiftyRules(t, "secret/+/prod/db")} {
		req := annaReads()
		if strings.HasPrefix(name, "rules") {
			req.Caller.Call = &caller.Call{Path: "secret/data/prod/db", Capability: "read"}
		}
		if n := testing.AllocsPerRun(100, func() { Evaluate(set, nil, req) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestBriefRefusalCostsNoAllocation: a listing asks about each name, and looks for
// no reasons.
func TestBriefRefusalCostsNoAllocation(t *testing.T) {
	for name, set := range map[string]*Set{"statements": fivePolicies(t, ""), "rules": fiftyRules(t, "secret/data/none"), "denial": annaSet(t, `path "secret/*" { capabilities = ["deny"] }`)} {
		req := annaReads()
		req.Resource, req.Under, req.Brief = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:other-a1B2c3", "other", true
		if d := Evaluate(set, nil, req); d.Allowed || len(d.Missing) > 0 {
			t.Errorf("%s: %+v", name, d)
		}
		if n := testing.AllocsPerRun(100, func() { Evaluate(set, nil, req) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
