package policy

import (
	"encoding/json"
	"testing"

	"countersign/internal/errs"
)

// Whatever Parse accepts can be written out, parsed again, and then decides
// alike; whatever it refuses it refuses in its own words.
func FuzzParse(f *testing.F) {
	for _, b := range Builtins() {
		f.Add([]byte(b.Document))
	}
	f.Add([]byte(statementDoc(anything + `,"Principal":{"AWS":["111122223333","*"],"Service":"x"},"Condition":{"ForAnyValue:StringLikeIfExists":{"aws:TagKeys":["a*","${aws:username, 'x'}"]}}`)))
	f.Add([]byte(`{"Statement":[{"Effect":"Deny","NotAction":"*","NotResource":"arn:aws:iam::1:user/${*}","NotPrincipal":"*","Condition":{"Null":{"a:b":true},"DateLessThan":{"aws:EpochTime":1}}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range []Kind{Identity, Resource} {
			d, err := Parse(data, kind)
			if err != nil {
				e := errs.As(err)
				if e.Kind != errs.Invalid || e.Code != CodeMalformed || len(e.Msg) > 1000 {
					t.Fatalf("refused with %+v", e)
				}
				continue
			}
			d.Validate()
			d.PublicAccess()
			out, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			if len(out) > MaxBytes {
				continue
			}
			again, err := Parse(out, kind)
			if err != nil {
				t.Fatalf("%s, written from %s: %v", out, data, err)
			}
			for _, op := range []Op{ReadValue, ListSecrets, CreateUser} {
				req := annaReads()
				req.Op = op
				a, b := decide(kind, d, req), decide(kind, again, req)
				if a.Effect != b.Effect || a.Statement != b.Statement {
					t.Fatalf("%s decides %+v, written from %s which decides %+v", out, b, data, a)
				}
			}
		}
	})
}

func decide(kind Kind, d *Document, req *Request) Decision {
	set := Compile(Named{"p", d})
	if kind == Resource {
		return Evaluate(nil, set, req)
	}
	return Evaluate(set, nil, req)
}

// Any value of any operator is refused or compared, without a panic, and a
// comparison and its negation never agree on a key that is present.
func FuzzCondition(f *testing.F) {
	for i := range operators {
		f.Add(uint8(i), "192.0.2.4", "10.0.0.0/8")
		f.Add(uint8(i), "2026-01-01T00:00:00Z", "1767225600")
		f.Add(uint8(i), "arn:aws:iam::1:user/x", "arn:aws:iam::*:user/?")
	}
	f.Fuzz(func(t *testing.T, n uint8, got, want string) {
		op := operators[int(n)%len(operators)]
		v, err := parseCondValue(op, want, true)
		if err != nil || got == "" {
			return
		}
		req := annaReads()
		req.Extra = []Pair{{"x:y", got}}
		c := condition{op: op, key: parseKey("x:y"), values: []condValue{v}}
		c.describe(req)
		if op.cmp == cmpNull {
			c.holds(req, Deny)
			return
		}
		plain := c.holds(req, Deny)
		c.op.negate = !c.op.negate
		if c.holds(req, Deny) == plain {
			t.Fatalf("%s %q with %q: it and its negation are both %v", op.name, want, got, plain)
		}
	})
}
