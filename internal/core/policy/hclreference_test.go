package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/caller"
)

// naiveRule is a path block in plain data.
type naiveRule struct {
	Path     string
	Caps     []string         `json:"capabilities"`
	Allowed  map[string][]any `json:"allowed_parameters"`
	Denied   map[string][]any `json:"denied_parameters"`
	Required []string         `json:"required_parameters"`
	Min      string           `json:"min_wrapping_ttl"`
	Max      string           `json:"max_wrapping_ttl"`
}

func (r naiveRule) has(c string) bool { return slices.Contains(r.Caps, c) }

// naive is the dialect told a second time: nothing is indexed or merged
// beforehand, paths are regular expressions, and rules are data.
type naive struct {
	rules  []naiveRule
	values map[string]string // of templates
	made   map[string]*regexp.Regexp
}

func naiveValues(who caller.Caller, aliases map[string]Alias) map[string]string {
	v := map[string]string{"identity.entity.id": caller.EntityID(who.Account, who.Name), "identity.entity.name": who.Name}
	for k, t := range who.Tags {
		v["identity.entity.metadata."+k] = t
	}
	for _, g := range who.Groups {
		v["identity.groups.names."+g+".id"] = caller.GroupID(who.Account, g)
		v["identity.groups.names."+g+".name"] = g
		v["identity.groups.ids."+caller.GroupID(who.Account, g)+".name"] = g
		v["identity.groups.ids."+caller.GroupID(who.Account, g)+".id"] = caller.GroupID(who.Account, g)
	}
	for a, x := range aliases {
		v["identity.entity.aliases."+a+".name"] = x.Name
		v["identity.entity.aliases."+a+".id"] = x.ID
		for k, m := range x.Metadata {
			v["identity.entity.aliases."+a+".metadata."+k] = m
		}
	}
	return v
}

var templates = regexp.MustCompile(`\{\{\s*(.*?)\s*\}\}`)

// pattern returns a path with its templates filled, its wildcards as runes of a
// private range; and for an unknown template what it may match.
func (n *naive) pattern(path string) (filled, loose string, known bool) {
	path = strings.TrimPrefix(path, "/")
	if p, ok := strings.CutSuffix(path, "*"); ok {
		path = p + "\uE000"
	}
	segs := strings.Split(path, "/")
	for i, s := range segs {
		if s == "+" {
			segs[i] = "\uE001"
		}
	}
	path = strings.Join(segs, "/")
	known = true
	filled = templates.ReplaceAllStringFunc(path, func(t string) string {
		v := n.values[templates.FindStringSubmatch(t)[1]]
		if v == "" || strings.ContainsFunc(v, isControl) {
			known = false
		}
		return v
	})
	loose = templates.ReplaceAllString(path, "\uE000")
	return filled, strings.ReplaceAll(loose, "\uE001", "\uE000"), known
}

func (n *naive) matches(pattern, path string) bool {
	re := n.made[pattern]
	if re == nil {
		re = regex(pattern)
		n.made[pattern] = re
	}
	return re.MatchString(path)
}

func regex(pattern string) *regexp.Regexp {
	s := regexp.QuoteMeta(pattern)
	s = strings.ReplaceAll(s, "\uE000", "(?s:.*)")
	s = strings.ReplaceAll(s, "\uE001", "[^/]*")
	return regexp.MustCompile("^" + s + "$")
}

// higher reports whether pattern a has a higher priority than b, as documented.
func higher(a, b string) bool {
	first := func(s string) int {
		if i := strings.IndexAny(s, "\uE000\uE001"); i >= 0 {
			return i
		}
		return len(s)
	}
	if x, y := first(a), first(b); x != y {
		return x > y
	}
	star := func(s string) bool { return strings.HasSuffix(s, "\uE000") }
	if star(a) != star(b) {
		return star(b)
	}
	if x, y := strings.Count(a, "\uE001"), strings.Count(b, "\uE001"); x != y {
		return x < y
	}
	plain := func(s string) string {
		return strings.ReplaceAll(strings.TrimSuffix(s, "\uE000"), "\uE001", "+")
	}
	if x, y := len(plain(a)), len(plain(b)); x != y {
		return x > y
	}
	return plain(a) > plain(b)
}

// decides returns the rules that are about path with the highest priority. Paths
// without wildcards come first when exact is set.
func (n *naive) decides(path string, exact bool) (out []naiveRule, found bool) {
	best := ""
	for _, r := range n.rules {
		p, _, known := n.pattern(r.Path)
		wild := strings.ContainsAny(p, "\uE000\uE001")
		if !known || wild == exact || len(p) > maxPath || !n.matches(p, path) {
			continue
		}
		switch {
		case !found || higher(p, best):
			out, best, found = []naiveRule{r}, p, true
		case p == best:
			out = append(out, r)
		}
	}
	return out, found
}

func (n *naive) find(path string, list bool) (rules []naiveRule, alsoDenied bool) {
	if r, ok := n.decides(path, true); ok {
		return r, false
	}
	short, slash := strings.CutSuffix(path, "/")
	if !list || !slash {
		r, _ := n.decides(path, false)
		return r, false
	}
	if r, ok := n.decides(short, true); ok {
		return r, false
	}
	whole, _ := n.decides(path, false)
	if r, ok := n.decides(short, false); ok {
		return r, denyIn(whole)
	}
	return whole, false
}

func denyIn(rules []naiveRule) bool {
	return slices.ContainsFunc(rules, func(r naiveRule) bool { return r.has("deny") })
}

func (n *naive) denied(path, capability string) bool {
	for _, r := range n.rules {
		if _, loose, known := n.pattern(r.Path); !known && r.has("deny") && n.matches(loose, path) {
			return true
		}
	}
	rules, also := n.find(path, capability == "list")
	return also || denyIn(rules)
}

// allowed assumes that path is not denied.
func (n *naive) allowed(path, capability string, call *caller.Call) bool {
	rules, _ := n.find(path, capability == "list")
	has := func(c string) bool { return slices.ContainsFunc(rules, func(r naiveRule) bool { return r.has(c) }) }
	if capability == "sudo" || capability == "deny" || !has(capability) || NeedsSudo(path) && !has("sudo") {
		return false
	}
	if !slices.Contains([]string{"create", "read", "update", "patch"}, capability) {
		return wrapped(rules, call)
	}
	return wrapped(rules, call) && parametersKept(rules, call)
}

func wrapped(rules []naiveRule, call *caller.Call) bool {
	least := func(get func(naiveRule) string) (out time.Duration) {
		for _, r := range rules {
			if d, err := time.ParseDuration(get(r)); err == nil && d > 0 && (out == 0 || d < out) {
				out = d
			}
		}
		return out
	}
	shortest, longest := least(func(r naiveRule) string { return r.Min }), least(func(r naiveRule) string { return r.Max })
	if shortest == 0 && longest == 0 {
		return true
	}
	return call != nil && call.WrapTTL > 0 && call.WrapTTL >= shortest && (longest == 0 || call.WrapTTL <= longest)
}

// united is the values of each parameter over all rules; nil stands for any.
func united(rules []naiveRule, get func(naiveRule) map[string][]any) map[string][]any {
	out := map[string][]any{}
	whole := map[string]bool{}
	for _, r := range rules {
		for k, v := range get(r) {
			k = strings.ToLower(k)
			whole[k] = whole[k] || len(v) == 0
			out[k] = append(out[k], v...)
		}
	}
	for k := range whole {
		if whole[k] {
			out[k] = nil
		}
	}
	return out
}

func parametersKept(rules []naiveRule, call *caller.Call) bool {
	allowed := united(rules, func(r naiveRule) map[string][]any { return r.Allowed })
	denied := united(rules, func(r naiveRule) map[string][]any { return r.Denied })
	var required []string
	for _, r := range rules {
		required = append(required, r.Required...)
	}
	if len(allowed)+len(denied)+len(required) == 0 {
		return true
	}
	if call == nil {
		return false
	}
	for _, r := range required {
		if _, ok := call.Params[strings.ToLower(r)]; !ok {
			return false
		}
	}
	_, noneAllowed := denied["*"]
	_, restAllowed := allowed["*"]
	for p, items := range call.Params {
		p = strings.ToLower(p)
		if v, ok := denied[p]; noneAllowed || ok && (v == nil || slices.ContainsFunc(v, func(w any) bool { return sameAs(w, items, true) })) {
			return false
		}
		if v, ok := allowed[p]; len(allowed) > 0 && (!ok && !restAllowed || ok && v != nil && !allSame(v, items)) {
			return false
		}
	}
	return true
}

// sameAs compares a parameter with a value of a rule; some: one item is enough.
func sameAs(want any, items []string, some bool) bool {
	if list, ok := want.([]any); ok {
		return slices.Equal(strs(list), items)
	}
	w := fmt.Sprint(want)
	match := func(s string) bool {
		if len(w) > 1 && (w[0] == '*' || w[len(w)-1] == '*') {
			re := regexp.QuoteMeta(strings.TrimSuffix(strings.TrimPrefix(w, "*"), "*"))
			if w[0] == '*' {
				re = "(?s:.*)" + re
			}
			if w[len(w)-1] == '*' {
				re += "(?s:.*)"
			}
			return regexp.MustCompile("^" + re + "$").MatchString(s)
		}
		return s == w
	}
	return slices.ContainsFunc(items, match) == some && len(items) > 0
}

func allSame(values []any, items []string) bool {
	if slices.ContainsFunc(values, func(v any) bool { _, list := v.([]any); return list && sameAs(v, items, true) }) {
		return true
	}
	return len(items) > 0 && !slices.ContainsFunc(items, func(it string) bool {
		return !slices.ContainsFunc(values, func(v any) bool { _, list := v.([]any); return !list && sameAs(v, []string{it}, true) })
	})
}

// evaluate returns "deny", "allow" or "" for a request; the table's path is
// spelled anew from the column.
func (n *naive) evaluate(req *Request) string {
	capability, column, _ := strings.Cut(req.Op.Info().HCL, " ")
	own, _ := secretName(req.Resource)
	if i := strings.Index(req.Resource, ":user/"); i > 0 {
		own = req.Resource[i+len(":user/"):]
	}
	path := strings.NewReplacer("MOUNT", "secret", "NAME", own, "PREFIX", req.Under).Replace(column)
	call := req.Caller.Call
	if n.denied(path, capability) {
		return "deny"
	}
	yes := n.allowed(path, capability, call)
	switch {
	case call != nil && req.Under == "":
		literal, c := strings.TrimLeft(call.Path, "/"), call.Capability
		if c == "update" && capability == "create" {
			c = "create"
		}
		if c == "list" && !strings.HasSuffix(literal, "/") {
			literal += "/"
		}
		if n.denied(literal, c) {
			return "deny"
		}
		yes = n.allowed(literal, c, call)
	case req.Under != "":
		folder := path[:strings.LastIndex(strings.TrimSuffix(path, "/"), "/")+1]
		if !yes && n.denied(folder, "list") {
			return "deny"
		}
		yes = yes || n.allowed(folder, "list", call)
	}
	if yes && req.Account == req.Caller.Account {
		return "allow"
	}
	return ""
}

// naiveOf reads rules from a document that was written out.
func naiveOf(t testing.TB, d *Document) (rules []naiveRule) {
	t.Helper()
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Path map[string][]naiveRule }
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	for p, list := range doc.Path {
		for _, r := range list {
			r.Path = p
			rules = append(rules, r)
		}
	}
	return rules
}

// rule makes a path block that often is about what hclRequest asks.
func (g generator) rule() naiveRule {
	seg := func() string {
		return g.pick("app", "app", "db", "+", "+", "x", "{{identity.entity.name}}", "{{identity.entity.metadata.team}}", "{{identity.groups.names.dev.id}}", "{{ identity.entity.aliases.acc.name }}", "a{{identity.entity.name}}")
	}
	r := naiveRule{Path: g.pick("secret/", "secret/data/", "secret/data/", "secret/metadata/", "+/data/", "")}
	for range g.IntN(3) {
		r.Path += seg() + "/"
	}
	r.Path += g.pick("*", "*", "a*", "db", "", seg())
	if r.Path == "" || strings.HasSuffix(r.Path, "+*") {
		r.Path = "*"
	}
	r.Caps = g.list(5, func() string {
		return g.pick("read", "read", "create", "update", "list", "list", "delete", "patch", "sudo", "subscribe")
	})
	switch g.IntN(12) {
	case 0, 1:
		r.Caps = append(r.Caps, "deny")
	case 2:
		r.Caps = nil
	}
	param := func() string { return g.pick("bar", "Bar", "foo", "n") }
	value := func() any {
		return []any{"zip", "z*", "*p", "*i*", "*", 5, true, []any{"zip", "zap"}, ""}[g.IntN(9)]
	}
	params := func() map[string][]any {
		out := map[string][]any{}
		for range 1 + g.IntN(2) {
			p := param()
			if _, ok := out[strings.ToLower(p)]; ok || out[p] != nil || p == "Bar" && out["bar"] != nil || p == "bar" && out["Bar"] != nil {
				continue
			}
			out[p] = []any{}
			for range g.IntN(3) {
				out[p] = append(out[p], value())
			}
		}
		if g.IntN(4) == 0 {
			out["*"] = []any{}
		}
		return out
	}
	if g.IntN(4) == 0 {
		r.Allowed = params()
	}
	if g.IntN(5) == 0 {
		r.Denied = params()
	}
	if g.IntN(6) == 0 {
		r.Required = g.list(2, param)
	}
	if g.IntN(8) == 0 {
		r.Min = g.pick("10s", "1m0s")
	}
	if g.IntN(8) == 0 {
		r.Max = g.pick("1m30s", "2h0m0s")
	}
	return r
}

// hcl writes rules in HCL.
func hcl(rules []naiveRule) string {
	var b strings.Builder
	quoted := func(v any) string {
		out, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return string(out)
	}
	for i, r := range rules {
		fmt.Fprintf(&b, "# rule %d\npath %q {\n", i, r.Path)
		if i%2 == 0 || r.Caps != nil {
			fmt.Fprintf(&b, "  capabilities = %s\n", quoted(append([]string{}, r.Caps...)))
		}
		for name, params := range map[string]map[string][]any{"allowed_parameters": r.Allowed, "denied_parameters": r.Denied} {
			if params == nil {
				continue
			}
			fmt.Fprintf(&b, "  %s = {\n", name)
			for k, v := range params {
				fmt.Fprintf(&b, "    %q = %s\n", k, quoted(v))
			}
			b.WriteString("  }\n")
		}
		if r.Required != nil {
			fmt.Fprintf(&b, "  required_parameters = %s\n", quoted(r.Required))
		}
		if r.Min != "" {
			fmt.Fprintf(&b, "  min_wrapping_ttl = %q\n", r.Min)
		}
		if r.Max != "" && r.Min != "1m0s" {
			fmt.Fprintf(&b, "  max_wrapping_ttl = %q\n", r.Max)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func (g generator) hclRequest() *Request {
	req := g.request()
	req.Caller.Groups = []string{"dev"}
	req.Resource = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:" + g.pick("app/db", "app", "anna/db", "x/app/db", "blue/app", "+", "aanna/x") + "-a1B2c3"
	switch req.Op {
	case ListSecrets:
		req.Resource = AnyResource
		if g.IntN(3) > 0 {
			req.Under = g.pick("app/db", "app/", "anna/x", "x", "app/x/")
		}
	case CreateUser:
		req.Resource = caller.UserARN(req.Account, req.Caller.Name)
	case PutValue:
		if g.IntN(2) == 0 {
			req.Op = CreateSecret
		}
	}
	req.Caller.Tags = map[string]string{"team": g.pick("blue", "app", "*", "+", "")}
	if g.IntN(2) == 0 {
		c := &caller.Call{Path: g.pick("", "/") + "secret/" + g.pick("data", "metadata") + "/" + g.pick("app/db", "app", "app/", "anna/db", "x/a", "", "blue/x/db", "app//db"),
			Capability: g.pick("read", "update", "create", "list", "delete", "patch", "sudo", "deny", "other"), WrapTTL: time.Duration(g.IntN(3)) * 45 * time.Second}
		if g.IntN(3) > 0 {
			c.Params = map[string][]string{}
			for range g.IntN(3) {
				c.Params[g.pick("bar", "foo", "BAR", "n")] = [][]string{{"zip"}, {"zap"}, {"5"}, {"zip", "zap"}, {}, {""}, {"*"}}[g.IntN(7)]
			}
		}
		req.Caller.Call = c
	}
	return req
}

// The evaluator and the naive one answer alike, with documents of both dialects.
func TestBothDialectsEqualReference(t *testing.T) {
	rounds := 1500
	if testing.Short() {
		rounds = 300
	}
	g := generator{rand.New(rand.NewPCG(3, 4))}
	outcomes := map[string]int{}
	regexes := map[string]*regexp.Regexp{}
	for range rounds {
		rules := []naiveRule{g.rule(), g.rule(), g.rule(), g.rule(), g.rule(), g.rule()}
		for i := range rules {
			if rules[i].Min == "1m0s" {
				rules[i].Max = ""
			}
		}
		named := []Named{{"h1", mustParse(t, Identity, hcl(rules[:3]))}, {"h2", mustParse(t, Identity, hcl(rules[3:]))}}
		var iam []string
		if g.IntN(3) == 0 {
			iam = []string{g.document(Identity)}
			named = append(named, Named{"i", mustParse(t, Identity, iam[0])})
		}
		for range 6 {
			req := g.hclRequest()
			aliases := map[string]Alias{"acc": {Name: g.pick("db", "app", "")}}
			who := req.Caller
			set := Scope{Who: &who, Aliases: aliases}.Compile(named...)
			n := &naive{rules, naiveValues(who, aliases), regexes}
			own, theirs := n.evaluate(req), newReference(req).evaluate(iam)
			want := EffectNoMatch
			switch {
			case own == "deny" || theirs == "deny":
				want = EffectDeny
			case req.Caller.Account != req.Account: // needs the resource's policy too
			case own == "allow" || theirs == "allow":
				want = EffectAllow
			}
			got := Evaluate(set, nil, req)
			outcomes[got.Effect]++
			if got.Effect != want || got.Allowed != (want == EffectAllow) || got.Allowed != (len(got.Missing) == 0) {
				t.Fatalf("got %+v, want %q (%q, %q)\n%s\n%v\nrequest %+v\ncall %+v", got, want, own, theirs, hcl(rules), iam, req, req.Caller.Call)
			}
			for _, m := range got.Missing {
				if len(m) > maxReasonBytes {
					t.Fatalf("a reason has %d bytes: %q", len(m), m)
				}
			}
		}
	}
	for _, e := range []string{EffectAllow, EffectDeny, EffectNoMatch} {
		if outcomes[e] < rounds/5 {
			t.Errorf("only %d of the answers are %q: %v", outcomes[e], e, outcomes)
		}
	}
}
