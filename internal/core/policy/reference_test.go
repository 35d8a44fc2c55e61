package policy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/internal/caller"
)

// reference is the language told a second time: slow, over decoded JSON, with
// nothing compiled. It assumes documents that Parse accepts.
type reference struct {
	req  *Request
	keys map[string][]string // lower case
}

func newReference(req *Request) *reference {
	c := req.Caller
	k := map[string][]string{
		"aws:username": {c.Name}, "aws:userid": {c.Name}, "aws:principalarn": {c.ARN()}, "aws:principalaccount": {c.Account},
		"aws:principaltype": {"User"}, "aws:resourceaccount": {req.Account}, "aws:viaawsservice": {"false"},
		"aws:securetransport": {strconv.FormatBool(c.Secure)},
	}
	if c.Source.IsValid() {
		k["aws:sourceip"] = []string{c.Source.String()}
	}
	if !c.Time.IsZero() {
		k["aws:currenttime"] = []string{c.Time.UTC().Format(time.RFC3339)}
		k["aws:epochtime"] = []string{fmt.Sprint(c.Time.Unix())}
	}
	if !c.MFA.IsZero() {
		k["aws:multifactorauthpresent"] = []string{"true"}
		k["aws:multifactorauthage"] = []string{fmt.Sprint(int(c.Time.Sub(c.MFA).Seconds()))}
	}
	for t, v := range c.Tags {
		k["aws:principaltag/"+strings.ToLower(t)] = []string{v}
	}
	for t, v := range req.Tags {
		k["aws:resourcetag/"+strings.ToLower(t)] = []string{v}
	}
	for _, p := range req.Extra {
		k[strings.ToLower(p.Key)] = append(k[strings.ToLower(p.Key)], p.Value)
	}
	return &reference{req, k}
}

// substitute replaces variables by private characters that stand for the bytes
// of their values, so that a value cannot be read as a wildcard.
func (r *reference) substitute(s string) (string, bool) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			return b.String() + s, true
		}
		j := i + strings.IndexByte(s[i:], '}')
		name := s[i+2 : j]
		b.WriteString(s[:i])
		s = s[j+1:]
		vals := []string{name}
		if len(name) != 1 {
			key, def, has := strings.Cut(name, ",")
			vals = r.keys[strings.ToLower(key)]
			if len(vals) == 0 && has {
				vals = []string{strings.Trim(def, " '")}
			}
		}
		if len(vals) != 1 {
			return "", false
		}
		b.WriteString(hide(vals[0]))
	}
}

func hide(s string) string   { return shift(s, "*?:", 0xE000) }
func unhide(s string) string { return unshift(s, "*?:", 0xE000) }

func shift(s, set string, base rune) string {
	for i, c := range set {
		s = strings.ReplaceAll(s, string(c), string(base+rune(i)))
	}
	return s
}

func unshift(s, set string, base rune) string {
	for i, c := range set {
		s = strings.ReplaceAll(s, string(base+rune(i)), string(c))
	}
	return s
}

// like matches a pattern in which values are hidden.
func like(pattern string, mode patternMode, s string) bool {
	if !strings.ContainsFunc(pattern, func(c rune) bool { return c >= 0xE000 && c <= 0xE002 }) {
		return naiveMatch(pattern, mode, s)
	}
	// Every way of hiding the text's own special characters may be the one.
	var try func(done, rest string) bool
	try = func(done, rest string) bool {
		i := strings.IndexAny(rest, "*?:")
		if i < 0 {
			return naiveMatch(pattern, mode, done+rest)
		}
		return try(done+rest[:i+1], rest[i+1:]) || try(done+rest[:i]+hide(rest[i:i+1]), rest[i+1:])
	}
	return try("", s)
}

func strs(v any) []string {
	if l, ok := v.([]any); ok {
		var out []string
		for _, x := range l {
			out = append(out, fmt.Sprint(x))
		}
		return out
	}
	return []string{fmt.Sprint(v)}
}

// evaluate returns "deny", "allow", "account" (allowed by naming the account) or "".
func (r *reference) evaluate(docs []string) string {
	result := ""
	for _, doc := range docs {
		var d struct{ Statement []map[string]any }
		if err := json.Unmarshal([]byte(doc), &d); err != nil {
			panic(err)
		}
		for _, s := range d.Statement {
			named := r.principal(s)
			if named == "" || !r.action(s) || !r.resource(s) || !r.conditions(s) {
				continue
			}
			switch {
			case s["Effect"] == "Deny":
				return "deny"
			case named == "account" && result == "":
				result = "account"
			case named == "self":
				result = "allow"
			}
		}
	}
	return result
}

func (r *reference) principal(s map[string]any) string {
	p, ok := s["Principal"]
	not := false
	if !ok {
		if p, not = s["NotPrincipal"]; !not {
			return "self"
		}
	}
	got := ""
	names := strs(p)
	if m, ok := p.(map[string]any); ok {
		names = strs(m["AWS"])
	}
	for _, n := range names {
		switch {
		case n == "*" || n == r.req.Caller.ARN():
			got = "self"
		case got == "" && (n == r.req.Caller.Account || n == "arn:aws:iam::"+r.req.Caller.Account+":root"):
			got = "account"
		}
	}
	if !not {
		return got
	}
	if got == "self" {
		return ""
	}
	return "self"
}

func (r *reference) action(s map[string]any) bool {
	v, not := s["NotAction"]
	if !not {
		v = s["Action"]
	}
	return not != slices.ContainsFunc(strs(v), func(a string) bool {
		return naiveMatch(strings.ToLower(a), wildcard, strings.ToLower(r.req.Op.Action()))
	})
}

func (r *reference) resource(s map[string]any) bool {
	v, not := s["NotResource"]
	if !not {
		v = s["Resource"]
	}
	match, unknown := false, false
	for _, a := range strs(v) {
		p, ok := r.substitute(a)
		unknown = unknown || !ok
		match = match || ok && like(p, arnWild, r.req.Resource)
	}
	if not {
		return !match && (!unknown || s["Effect"] == "Deny")
	}
	return match
}

func (r *reference) conditions(s map[string]any) bool {
	c, _ := s["Condition"].(map[string]any)
	for op, keys := range c {
		for key, want := range keys.(map[string]any) {
			if !r.condition(op, key, strs(want), s["Effect"] == "Allow") {
				return false
			}
		}
	}
	return true
}

func (r *reference) condition(op, key string, want []string, allow bool) bool {
	got := r.keys[strings.ToLower(key)]
	if op == "Null" {
		return slices.Contains(want, strconv.FormatBool(len(got) == 0))
	}
	op, all := strings.CutPrefix(op, "ForAllValues:")
	op, some := strings.CutPrefix(op, "ForAnyValue:")
	op, exists := strings.CutSuffix(op, "IfExists")
	positive := strings.Replace(op, "Not", "", 1)
	negated := positive != op
	if len(got) == 0 {
		return exists || all || negated && !some
	}
	for _, w := range want {
		if _, ok := r.substitute(w); !ok && negated && allow {
			return false
		}
	}
	matches := func(g string) bool {
		return slices.ContainsFunc(want, func(w string) bool {
			p, ok := r.substitute(w)
			return ok && compareOne(positive, p, g)
		})
	}
	pass := func(g string) bool { return matches(g) != negated }
	switch {
	case all:
		return !slices.ContainsFunc(got, func(g string) bool { return !pass(g) })
	case some:
		return slices.ContainsFunc(got, pass)
	}
	return slices.ContainsFunc(got, matches) != negated
}

func compareOne(op, pattern, got string) bool {
	text := unhide(pattern)
	switch {
	case op == "StringEquals":
		return text == got
	case op == "StringEqualsIgnoreCase":
		return strings.EqualFold(text, got)
	case op == "StringLike":
		return like(pattern, wildcard, got)
	case op == "Bool":
		return strings.EqualFold(text, got)
	case op == "BinaryEquals":
		a, err := base64.StdEncoding.DecodeString(text)
		b, err2 := base64.StdEncoding.DecodeString(got)
		return err == nil && err2 == nil && string(a) == string(b)
	case op == "IpAddress":
		if !strings.Contains(text, "/") {
			return text == got
		}
		return netip.MustParsePrefix(text).Contains(netip.MustParseAddr(got))
	case strings.HasPrefix(op, "Arn"):
		if pattern == "*" {
			return true
		}
		p, g := strings.SplitN(text, ":", 6), strings.SplitN(got, ":", 6)
		if len(p) != 6 || len(g) != 6 {
			return false
		}
		for i, raw := range strings.SplitN(shiftColons(pattern), ":", 6) {
			if !like(raw, wildcard, g[i]) {
				return false
			}
		}
		return true
	case strings.HasPrefix(op, "Numeric"):
		a, err := strconv.ParseFloat(got, 64)
		b, err2 := strconv.ParseFloat(text, 64)
		return err == nil && err2 == nil && sign(strings.TrimPrefix(op, "Numeric"), a-b)
	case strings.HasPrefix(op, "Date"):
		a, b := date(got), date(text)
		return a != nil && b != nil && sign(strings.TrimPrefix(op, "Date"), a.Sub(*b).Seconds())
	}
	panic(op)
}

// shiftColons shows the colons of hidden values again.
func shiftColons(s string) string { return strings.ReplaceAll(s, string(rune(0xE002)), ":") }

func date(s string) *time.Time {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		t := time.Unix(n, 0)
		return &t
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return &t
	}
	return nil
}

func sign(op string, d float64) bool {
	switch op {
	case "Equals":
		return d == 0
	case "LessThan":
		return d < 0
	case "LessThanEquals":
		return d <= 0
	case "GreaterThan":
		return d > 0
	}
	return d >= 0
}

// generator makes policies and requests from a small vocabulary, so that they
// meet often.
type generator struct{ *rand.Rand }

func (g generator) pick(s ...string) string { return s[g.IntN(len(s))] }

func (g generator) list(most int, one func() string) []string {
	out := []string{one()}
	for len(out) < most && g.IntN(2) == 0 {
		out = append(out, one())
	}
	return out
}

func (g generator) action() string {
	return g.pick("*", "*:*", "secretsmanager:*", "SecretsManager:getsecretvalue", "secretsmanager:Get*", "secretsmanager:*Secret",
		"secretsmanager:?etSecretValue", "iam:*", "iam:CreateUser", "s3:*", "secretsmanager:PutSecretValue", "secretsmanager:DescribeSecret")
}

func (g generator) resource() string {
	return g.pick("*", "arn:aws:secretsmanager:*:*:secret:*", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/*",
		"arn:aws:secretsmanager:eu-*-1:*:secret:*/db-??????", "arn:aws:secretsmanager:*:secret:dev/${aws:username}*",
		"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team}/*", "arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team, 'dev'}/*",
		"arn:aws:iam::*:user/${aws:username}", "arn:aws:secretsmanager:e*3:secret:prod/*", "arn:aws:secretsmanager:e*:secret:prod/*", "arn:aws:secretsmanager:*")
}

func (g generator) condition() (op, key string, values []string) {
	key = g.pick("aws:username", "aws:PrincipalTag/Team", "aws:ResourceTag/team", "aws:TagKeys", "secretsmanager:VersionStage", "aws:none")
	base := g.pick("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike")
	values = g.list(3, func() string {
		return g.pick("anna", "Anna", "an*", "*", "team", "prod", "dev", "AWSCURRENT", "${aws:username}", "${aws:PrincipalTag/team}", "${aws:PrincipalTag/none}", "?${*}*", "a:b")
	})
	switch g.IntN(9) {
	case 0:
		key, base = "aws:SourceIp", g.pick("IpAddress", "NotIpAddress")
		values = g.list(2, func() string { return g.pick("10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "0.0.0.0/0") })
	case 1:
		key = g.pick("aws:CurrentTime", "aws:EpochTime")
		base = "Date" + g.pick("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
		values = g.list(2, func() string { return g.pick("2026-01-01T00:00:00Z", "1767225600", "2026-01-02T00:00:00+02:00") })
	case 2:
		key = g.pick("aws:MultiFactorAuthAge", "aws:EpochTime", "aws:username", "aws:x")
		base = "Numeric" + g.pick("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
		values = g.list(2, func() string { return g.pick("60", "3600", "-1.5", "1767225600", "1e3") })
	case 3:
		key, base = g.pick("aws:SecureTransport", "aws:MultiFactorAuthPresent"), "Bool"
		values = g.list(2, func() string { return g.pick("true", "false", "TRUE") })
	case 4:
		key, base = g.pick("aws:PrincipalArn", "aws:x"), g.pick("ArnLike", "ArnNotLike", "ArnEquals", "ArnNotEquals")
		values = g.list(2, func() string {
			return g.pick("arn:aws:iam::*:user/*", "arn:aws:iam::111122223333:user/${aws:username}", "*", "arn:*:*:*:*:*", "${aws:PrincipalArn}", "arn:aws:iam::111122223333:*:x")
		})
	case 5:
		return "Null", key, []string{g.pick("true", "false")}
	case 6:
		key, base = "aws:x", "BinaryEquals"
		values = []string{g.pick("QUJD", "")}
	}
	switch g.IntN(5) {
	case 0:
		base = "ForAllValues:" + base
	case 1:
		base = "ForAnyValue:" + base
	}
	if g.IntN(4) == 0 {
		base += "IfExists"
	}
	return base, key, values
}

func (g generator) document(kind Kind) string {
	type object = map[string]any
	var statements []object
	for range 1 + g.IntN(3) {
		s := object{"Effect": g.pick("Allow", "Allow", "Allow", "Deny")}
		s[g.pick("Action", "Action", "Action", "NotAction")] = g.list(3, g.action)
		s[g.pick("Resource", "Resource", "Resource", "NotResource")] = g.list(3, g.resource)
		if kind == Resource {
			name := "Principal"
			if s["Effect"] == "Deny" {
				name = g.pick("Principal", "NotPrincipal")
			}
			s[name] = object{"AWS": g.list(3, func() string {
				return g.pick("*", "111122223333", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/anna", "444455556666", "arn:aws:iam::444455556666:user/bob")
			})}
		}
		c := object{}
		for range g.IntN(3) {
			op, key, values := g.condition()
			c[op] = object{key: values}
		}
		s["Condition"] = c
		statements = append(statements, s)
	}
	out, err := json.Marshal(object{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err)
	}
	return string(out)
}

func (g generator) request() *Request {
	now := time.Date(2026, 1, 1, 0, 0, g.IntN(2), 0, time.UTC)
	req := &Request{
		Caller:   caller.Caller{Account: "111122223333", Kind: caller.User, Name: g.pick("anna", "anna", "an*a", "bob"), Time: now, Secure: g.IntN(2) == 0},
		Op:       []Op{ReadValue, PutValue, Describe, CreateUser, ListSecrets}[g.IntN(5)],
		Resource: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:" + g.pick("prod/db-a1B2c3", "dev/anna/x-a1B2c3", "team:x/*-a1B2c3"),
		Account:  "111122223333",
		Tags:     map[string]string{},
	}
	switch {
	case req.Op == ListSecrets:
		req.Resource = AnyResource
	case req.Op == CreateUser:
		req.Resource = caller.UserARN(req.Account, req.Caller.Name)
	case g.IntN(4) == 0:
		req.Account = "444455556666"
	}
	if g.IntN(2) == 0 {
		req.Caller.MFA = now.Add(-time.Duration(g.IntN(120)) * time.Second)
	}
	if g.IntN(4) > 0 {
		req.Caller.Source = netip.MustParseAddr(g.pick("10.1.2.3", "192.0.2.1", "2001:db8::1"))
	}
	if g.IntN(2) == 0 {
		req.Caller.Tags = map[string]string{"team": g.pick("prod", "dev", "*", "a:b", "team:x")}
		req.Tags["TEAM"] = g.pick("prod", "dev", "anna")
	}
	for range g.IntN(3) {
		req.Extra = append(req.Extra, Pair{g.pick(KeyTagKeys, KeyVersionStage, "aws:x"), g.pick("team", "anna", "AWSCURRENT", "60", "QUJD")})
	}
	return req
}

// The evaluator and the reference answer every question alike, and a policy that
// was written out and parsed again answers like the first.
func TestEvaluatorEqualsReference(t *testing.T) {
	rounds := 1200
	if testing.Short() {
		rounds = 300
	}
	g := generator{rand.New(rand.NewPCG(1, 2))}
	outcomes := map[string]int{}
	for range rounds {
		identity := []string{g.document(Identity), g.document(Identity)}
		resource := g.document(Resource)
		set := Compile(Named{"a", mustParse(t, Identity, identity[0])}, Named{"b", mustParse(t, Identity, identity[1])})
		res := Compile(Named{"r", mustParse(t, Resource, resource)})
		res2 := Compile(Named{"r", remarshal(t, mustParse(t, Resource, resource))})
		for range 4 {
			req := g.request()
			ref := newReference(req)
			own, theirs := ref.evaluate(identity), ref.evaluate([]string{resource})
			want := EffectNoMatch
			switch {
			case own == "deny" || theirs == "deny":
				want = EffectDeny
			case req.Caller.Account == req.Account && (own == "allow" || theirs == "allow"),
				req.Caller.Account != req.Account && own == "allow" && theirs != "":
				want = EffectAllow
			}
			got := Evaluate(set, res, req)
			outcomes[got.Effect]++
			if got.Effect != want || got.Allowed != (want == EffectAllow) {
				t.Fatalf("got %+v, want %q\nidentity %s\nresource %s\nrequest %+v", got, want, identity, resource, req)
			}
			if again := Evaluate(set, res2, req); again.Effect != got.Effect || again.Statement != got.Statement {
				t.Fatalf("written out and parsed again: %+v, before %+v\nresource %s", again, got, resource)
			}
			if !got.Allowed && (len(got.Missing) == 0 || len(got.Missing) > maxReasons) {
				t.Fatalf("%d reasons: %q", len(got.Missing), got.Missing)
			}
			for _, m := range got.Missing {
				if len(m) > maxReasonBytes {
					t.Fatalf("a reason has %d bytes: %q", len(m), m)
				}
			}
		}
	}
	for _, e := range []string{EffectAllow, EffectDeny, EffectNoMatch} {
		if outcomes[e] < rounds/10 {
			t.Errorf("only %d of the answers are %q: %v", outcomes[e], e, outcomes)
		}
	}
}

func remarshal(t testing.TB, d *Document) *Document {
	t.Helper()
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return mustParse(t, d.Kind(), string(out))
}
