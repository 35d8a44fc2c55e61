package policy

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"countersign/internal/caller"
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

// Whatever the HCL dialect accepts answers every request without a panic, as the
// naive evaluator does, and grants nothing more when it is written out as JSON.
func FuzzHCL(f *testing.F) {
	for _, b := range Builtins() {
		if b.Dialect == HCL {
			f.Add([]byte(b.Document), "auth/token/lookup-self", "read")
		}
	}
	for _, doc := range []string{
		`path "secret/data/+/db*" { capabilities = ["read", "list"] allowed_parameters = { "bar" = ["a*", ["b"], 5] "*" = [] } min_wrapping_ttl = "1s" }`,
		`{"path":{"secret/{{identity.entity.name}}/*":[{"capabilities":["deny"]},{"policy":"sudo"}]}}`,
		`path "+/+/{{identity.entity.metadata.none}}*" { policy = "deny" } name = "x"`,
		"path \"a\" {\n comment = <<EOT\nx\nEOT\n capabilities = [\"read\",]\n}",
		`path "/secret/*" { required_parameters = ["Bar"] denied_parameters { "x" = [] } capabilities = ["patch"] }`,
	} {
		f.Add([]byte(doc), "secret/data/app/db", "read")
		f.Add([]byte(doc), "/secret/metadata/app/", "list")
	}
	f.Fuzz(func(t *testing.T, data []byte, path, capability string) {
		d, err := Parse(data, Identity)
		if err != nil {
			e := errs.As(err)
			if e.Kind != errs.Invalid || e.Code != CodeMalformed || len(e.Msg) > 1000 {
				t.Fatalf("refused with %+v", e)
			}
			return
		}
		if d.Dialect() != HCL || !utf8.ValidString(path) || strings.ContainsAny(path+string(data), "\uE000\uE001") {
			return
		}
		d.Validate()
		who := annaReads().Caller
		sc := Scope{Who: &who}
		n := &naive{naiveOf(t, d), naiveValues(who, nil), map[string]*regexp.Regexp{}}
		set := sc.Compile(Named{"p", d})
		effects := map[string]string{"deny": EffectDeny, "allow": EffectAllow, "": EffectNoMatch}
		literal, listed := annaReads(), annaReads()
		literal.Caller.Call = &caller.Call{Path: path, Capability: capability, Params: map[string][]string{"bar": {"a"}, "x": {}}, WrapTTL: time.Second}
		listed.Op, listed.Resource, listed.Under = ListSecrets, AnyResource, "prod/"
		for _, req := range []*Request{annaReads(), literal, listed} {
			if got, want := Evaluate(set, nil, req), effects[n.evaluate(req)]; got.Effect != want {
				t.Fatalf("%s decides %+v, want %s\n%+v %+v", data, got, want, req, req.Caller.Call)
			}
		}
		if _, err := Capabilities(PathQuestion{Identity: set, Request: Request{Caller: who}, Path: path}); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(d)
		if err != nil || len(out) > MaxBytes {
			return
		}
		again, err := Parse(out, Identity)
		if err != nil {
			t.Fatalf("%s, written from %s: %v", out, data, err)
		}
		if a, b := Evaluate(set, nil, literal), Evaluate(sc.Compile(Named{"p", again}), nil, literal); a.Effect != b.Effect {
			t.Fatalf("%s decides %+v, written from %s which decides %+v", out, b, data, a)
		}
	})
}

// A path matches a pattern by segments just when the regular expression does.
func FuzzSegments(f *testing.F) {
	f.Add("secret/+/db*", "secret/app/db/x")
	f.Add("+", "")
	f.Add("+/+/", "a//")
	f.Add("/+/*", "//")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		r := rule{source: pattern}
		if !utf8.ValidString(pattern+"|"+path) || strings.ContainsAny(pattern+path, "\uE000\uE001") || r.readPath() != nil {
			return
		}
		text, ok := r.fill(&Scope{})
		if !ok || !strings.Contains(text, anySegment) {
			return
		}
		want := text
		if want = strings.ReplaceAll(want, anySegment, "\uE001"); r.glob {
			want += "\uE000"
		}
		if got := matchSegmented(strings.Split(text, "/"), r.glob, []byte(path)); got != regex(want).MatchString(path) {
			t.Fatalf("%q on %q: %v", pattern, path, got)
		}
	})
}
