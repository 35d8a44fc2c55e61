package policy

import (
	"fmt"
	"strings"
	"testing"
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

const tagAndAddress = `,"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"StringEquals":{"aws:ResourceTag/env":"prod"}}`

func BenchmarkEvaluate(b *testing.B) {
	admin := Compile(Named{"admin", mustParse(b, Identity, Builtins()[0].Document)})
	for name, set := range map[string]*Set{"admin": admin, "five": fivePolicies(b, ""), "five-conditions": fivePolicies(b, tagAndAddress)} {
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
	doc := []byte(Builtins()[3].Document)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(doc, Identity); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAllowanceCostsNoAllocation(t *testing.T) {
	for name, set := range map[string]*Set{"plain": fivePolicies(t, ""), "conditions": fivePolicies(t, tagAndAddress)} {
		req := annaReads()
		if n := testing.AllocsPerRun(100, func() { Evaluate(set, nil, req) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
