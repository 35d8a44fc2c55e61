package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
)

// Where the two dialects meet: an explicit denial in either refuses, and an
// allowance in either is enough.
func TestDialectsTogether(t *testing.T) {
	allowIAM := statementDoc(`"Action":"secretsmanager:*","Resource":"arn:aws:secretsmanager:*:*:secret:prod/*"`)
	denyIAM := `{"Statement":{"Sid":"No","Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"*"}}`
	allowHCL := `path "secret/data/prod/*" { capabilities = ["read"] }`
	denyHCL := `path "secret/data/prod/db" { capabilities = ["deny"] }`
	grant := `{"Statement":{"Sid":"R","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + home + `:user/anna"},"Action":"secretsmanager:*","Resource":"*"}}`
	denied := strings.Replace(grant, "Allow", "Deny", 1)
	literal := func(words string) func(*Request) {
		return func(r *Request) {
			capability, path, _ := strings.Cut(words, " ")
			r.Caller.Call = &caller.Call{Path: path, Capability: capability}
		}
	}
	tests := map[string]struct {
		docs     []string
		resource string
		edit     func(*Request)
		want     string
	}{
		"iam":                {[]string{allowIAM}, "", nil, "allow p1 #1"},
		"hcl":                {[]string{allowHCL}, "", nil, "allow p1 secret/data/prod/*"},
		"hcl-other-op":       {[]string{allowHCL}, "", func(r *Request) { r.Op = PutValue }, "no-match  "},
		"both":               {[]string{allowHCL, allowIAM}, "", nil, "allow p2 #1"},
		"iam-denies":         {[]string{allowHCL, denyIAM}, "", nil, "explicit-deny p2 No"},
		"hcl-denies":         {[]string{allowHCL, denyHCL, allowIAM}, "", nil, "explicit-deny p2 secret/data/prod/db"},
		"resource-allows":    {nil, grant, nil, "allow resource policy R"},
		"hcl-over-resource":  {[]string{denyHCL}, grant, nil, "explicit-deny p1 secret/data/prod/db"},
		"resource-over-hcl":  {[]string{allowHCL}, denied, nil, "explicit-deny resource policy R"},
		"literal":            {[]string{`path "kv2/hybrid" { capabilities = ["read"] }`}, "", literal("read kv2/hybrid"), "allow p1 kv2/hybrid"},
		"literal-decides":    {[]string{allowHCL}, "", literal("read elsewhere"), "no-match  "},
		"literal-iam":        {[]string{allowIAM}, "", literal("read elsewhere"), "allow p1 #1"},
		"literal-denied":     {[]string{allowIAM, `path "elsewhere" { capabilities = ["deny"] }`}, "", literal("read elsewhere"), "explicit-deny p2 elsewhere"},
		"table-denied":       {[]string{denyHCL, `path "elsewhere" { capabilities = ["read"] }`}, "", literal("read elsewhere"), "explicit-deny p1 secret/data/prod/db"},
		"update-is-create":   {[]string{`path "secret/data/*" { capabilities = ["create"] }`}, "", func(r *Request) { r.Op = CreateSecret; literal("update secret/data/prod/db")(r) }, "allow p1 secret/data/*"},
		"update-not-create":  {[]string{`path "secret/data/*" { capabilities = ["update"] }`}, "", func(r *Request) { r.Op = CreateSecret; literal("update secret/data/prod/db")(r) }, "no-match  "},
		"update-is-update":   {[]string{`path "secret/data/*" { capabilities = ["update"] }`}, "", func(r *Request) { r.Op = PutValue; literal("update secret/data/prod/db")(r) }, "allow p1 secret/data/*"},
		"abroad":             {[]string{allowHCL}, grant, func(r *Request) { r.Account = abroad }, "no-match  "},
		"abroad-denied":      {[]string{allowIAM, denyHCL}, grant, func(r *Request) { r.Account = abroad }, "explicit-deny p2 secret/data/prod/db"},
		"parameters":         {[]string{`path "secret/data/*" { capabilities = ["read"] required_parameters = ["x"] }`}, "", nil, "no-match  "},
		"wrapping":           {[]string{`path "secret/data/*" { capabilities = ["read"] max_wrapping_ttl = 5 }`}, "", nil, "no-match  "},
		"parameters-of-list": {[]string{`path "secret/metadata/*" { capabilities = ["list"] required_parameters = ["x"] }`}, "", func(r *Request) { r.Op, r.Resource = ListSecrets, AnyResource }, "allow p1 secret/metadata/*"},
		"sudo":               {[]string{`path "sys/rotate" { capabilities = ["update"] }`}, "", func(r *Request) { r.Op, r.Resource = RotateKeys, StoreARN(home) }, "no-match  "},
		"sudo-given":         {[]string{`path "sys/rotate" { capabilities = ["update", "sudo"] }`}, "", func(r *Request) { r.Op, r.Resource = RotateKeys, StoreARN(home) }, "allow p1 sys/rotate"},
		"change-of-user":     {[]string{`path "sys/changes/review/user:*" { capabilities = ["update"] }`}, "", func(r *Request) { r.Op, r.Resource = ReviewChange, caller.UserARN(home, "bob") }, "allow p1 sys/changes/review/user:*"},
		"change-of-secret":   {[]string{`path "sys/changes/review/user:*" { capabilities = ["update"] }`}, "", func(r *Request) { r.Op = ReviewChange }, "no-match  "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := annaReads()
			if tt.edit != nil {
				tt.edit(req)
			}
			got := Evaluate(annaSet(t, tt.docs...), resourceSet(t, tt.resource), req)
			if s := got.Effect + " " + got.Policy + " " + got.Statement; s != tt.want {
				t.Errorf("got %q, want %q (%q)", s, tt.want, got.Missing)
			}
		})
	}
}

// A listing shows a name to who may list it, or the folder that it is in.
func TestListedNames(t *testing.T) {
	for name, tt := range map[string]struct {
		doc     string
		yes, no []string
	}{
		"folder":       {`path "secret/metadata/app/" { capabilities = ["list"] }`, []string{"app/db", "app/x/", "app/"}, []string{"app/x/db", "db"}},
		"top":          {`path "secret/metadata" { capabilities = ["list"] }`, []string{"db", "app/"}, []string{"app/db"}},
		"below":        {`path "secret/metadata/app/*" { capabilities = ["list"] }`, []string{"app/db", "app/x/db", "app/"}, []string{"db", "apps/"}},
		"name-denied":  {`path "secret/metadata/*" { capabilities = ["list"] } path "secret/metadata/app/db" { capabilities = ["deny"] }`, []string{"app/x", "db"}, []string{"app/db"}},
		"below-denied": {`path "secret/metadata/*" { capabilities = ["list"] } path "secret/metadata/app/*" { capabilities = ["deny"] }`, []string{"db"}, []string{"app/db", "app/"}},
		"other-mount":  {`path "old/*" { capabilities = ["list"] }`, []string{"old/x", "old/"}, []string{"app", "team/kv/x"}},
		"hidden-data":  {`path "secret/data/*" { capabilities = ["list"] }`, nil, []string{"app", "app/"}},
	} {
		t.Run(name, func(t *testing.T) {
			set := Scope{Mounts: testMounts{}}.Compile(Named{"p", mustParse(t, Identity, tt.doc)})
			for want, names := range map[bool][]string{true: tt.yes, false: tt.no} {
				for _, n := range names {
					req := annaReads()
					req.Op, req.Resource, req.Under = ListSecrets, AnyResource, n
					req.Caller.Call = &caller.Call{Path: "secret/metadata/elsewhere/", Capability: "list"}
					if got := Evaluate(set, nil, req); got.Allowed != want {
						t.Errorf("%s: %+v", n, got)
					}
				}
			}
		})
	}
}

func TestWithin(t *testing.T) {
	iam := Compile(Named{"k", mustParse(t, Identity, statementDoc(`"Action":"secretsmanager:GetSecretValue","Resource":"*"`))})
	rules := Compile(Named{"k", mustParse(t, Identity, `path "secret/data/prod/*" { capabilities = ["read"] }`)})
	for _, tt := range []struct {
		set   *Set
		owner string
		want  bool
	}{{iam, home, true}, {iam, abroad, true}, {rules, home, true}, {rules, abroad, false}, {nil, home, false}} {
		req := annaReads()
		req.Account = tt.owner
		if got := Within(tt.set, req); got.Allowed != tt.want {
			t.Errorf("owner %s: %+v", tt.owner, got)
		}
	}
}

func TestExplainRules(t *testing.T) {
	tests := map[string]struct {
		doc  string
		edit func(*Request)
		want []string
	}{
		"capability": {`path "secret/data/prod/*" { capabilities = ["list", "create"] }`, nil,
			[]string{`rule "secret/data/prod/*" of policy "p1" gives [create, list], read is needed`}},
		"nearest-first": {`path "secret/data/*" { capabilities = ["read"] } path "secret/data/prod/app/*" { capabilities = ["read"] } path "kv/x" { capabilities = ["read"] }`,
			func(r *Request) { r.Op = Describe },
			[]string{`no rule of the HCL dialect is about "secret/metadata/prod/db", where read is needed`,
				`rule "secret/data/*" of policy "p1" gives [read], but is not about that path`,
				`rule "secret/data/prod/app/*" of policy "p1" gives [read], but is not about that path`}},
		"denied": {`path "secret/+/prod/db" { capabilities = ["deny"] }`, nil, []string{`rule "secret/+/prod/db" of policy "p1" denies secretsmanager:GetSecretValue`}},
		"denied-blindly": {`path "secret/data/{{identity.entity.metadata.none}}" { capabilities = ["deny"] }`, nil,
			[]string{`rule "secret/data/{{identity.entity.metadata.none}}" of policy "p1" denies secretsmanager:GetSecretValue`,
				`a template in it has no value for this principal, so it denies every path that it could with any`}},
		"sudo": {`path "sys/rotate" { capabilities = ["update"] }`, func(r *Request) { r.Op, r.Resource = RotateKeys, StoreARN(home) },
			[]string{`rule "sys/rotate" of policy "p1" gives [update], but the path needs sudo too`}},
		"front": {`path "secret/data/*" { capabilities = ["read"] allowed_parameters = { x = [] } }`, nil,
			[]string{`rule "secret/data/*" of policy "p1" asks for parameters or wrapping, which only requests of the Vault protocol have`}},
		"wrap": {`path "secret/data/*" { capabilities = ["read"] min_wrapping_ttl = "10s" }`,
			func(r *Request) {
				r.Caller.Call = &caller.Call{Path: "secret/data/prod/db", Capability: "read"}
			},
			[]string{`rule "secret/data/*" of policy "p1" asks for an answer wrapped for 10s or longer`}},
		"no-value": {`path "secret/data/*" { capabilities = ["read"] allowed_parameters = { pin = ["1"] } }`,
			func(r *Request) {
				r.Caller.Call = &caller.Call{Path: "secret/data/prod/db", Capability: "read", Params: map[string][]string{"pin": {"4711"}}}
			},
			[]string{`rule "secret/data/*" of policy "p1" does not allow the value of the parameter "pin"`}},
		"abroad": {`path "secret/data/*" { capabilities = ["read"] }`, func(r *Request) { r.Account = abroad },
			[]string{`rule "secret/data/*" of policy "p1" would allow it in the principal's own account, but the resource is of another`}},
		"nowhere": {`path "secret/data/*" { capabilities = ["read"] }`, func(r *Request) { r.Resource = strings.Replace(database, "prod/db", "nowhere/db", 1) },
			[]string{`no mount reaches it, so no rule of the HCL dialect is about it`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := annaReads()
			if tt.edit != nil {
				tt.edit(req)
			}
			got := Evaluate(Scope{Mounts: testMounts{}, Who: &req.Caller}.Compile(Named{"p1", mustParse(t, Identity, tt.doc)}), nil, req)
			if diff := cmp.Diff(tt.want, got.Missing); diff != "" {
				t.Errorf("reasons differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCapabilities(t *testing.T) {
	rules := `path "secret/data/app/*" { capabilities = ["update", "read"] }
		path "secret/data/app/no" { capabilities = ["deny"] }
		path "secret/metadata/app" { capabilities = ["list", "sudo"] }`
	reads := statementDoc(`"Action":["secretsmanager:GetSecretValue","secretsmanager:CreateSecret","countersign:ListAuditDevices"],"Resource":"*"`)
	noRead := `{"Statement":{"Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"*"}}`
	everything := statementDoc(anything)
	tests := map[string]struct {
		docs, boundary []string
		path           string
		want           string
	}{
		"nothing":         {nil, nil, "secret/data/app/x", "deny"},
		"rules":           {[]string{rules}, nil, "secret/data/app/x", "read update"},
		"denied":          {[]string{rules, reads}, nil, "secret/data/app/no", "deny"},
		"list-fallback":   {[]string{rules}, nil, "secret/metadata/app/", "list sudo"},
		"iam":             {[]string{reads}, nil, "secret/data/x", "create read"},
		"iam-sudo":        {[]string{reads}, nil, "sys/audit", "read sudo"},
		"both":            {[]string{rules, reads}, nil, "secret/data/app/x", "create read update"},
		"iam-denies":      {[]string{rules, noRead}, nil, "secret/data/app/x", "update"},
		"root":            {[]string{everything}, nil, "anything/x", "root"},
		"nearly-root":     {[]string{everything, noRead}, nil, "secret/data/x", "create delete list patch sudo update"},
		"root-but":        {[]string{everything, rules}, nil, "secret/data/app/no", "deny"},
		"narrowed":        {[]string{everything}, []string{rules}, "secret/data/app/x", "read update"},
		"narrowed-away":   {[]string{reads}, []string{rules}, "secret/data/x", "deny"},
		"narrowed-by-all": {[]string{rules}, []string{everything}, "secret/data/app/x", "read update"},
		"root-within-all": {[]string{everything}, []string{everything}, "x", "root"},
		"own-policy":      {nil, nil, "secret/data/prod/db", "read"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q := PathQuestion{Identity: annaSet(t, tt.docs...), Request: *annaReads(), Path: tt.path}
			if tt.boundary != nil {
				q.Boundary = []*Set{annaSet(t, tt.boundary...)}
			}
			if name == "own-policy" {
				q.Find = func(arn string) (string, *Set, map[string]string, error) {
					return database, resourceSet(t, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"`+database+`"}}`), nil, nil
				}
			}
			got, err := Capabilities(q)
			if s := strings.Join(got, " "); err != nil || s != tt.want {
				t.Errorf("got %q, %v, want %q", s, err, tt.want)
			}
		})
	}
	_, err := Capabilities(PathQuestion{Request: *annaReads(), Path: "secret/data/x", Find: func(string) (string, *Set, map[string]string, error) {
		return "", nil, nil, errors.New("unreadable")
	}})
	if err == nil {
		t.Error("what could not be read was left out")
	}
}

func TestGrantsAndReach(t *testing.T) {
	set := annaSet(t, `path "secret/data/a" { capabilities = ["read"] }
		path "secret/data/b/*" { capabilities = ["list", "read"] }
		path "+/data/c*" { capabilities = ["read"] }
		path "team/*" { capabilities = ["deny"] }`)
	want := PathGrants{Exact: map[string][]string{"secret/data/a": {"read"}}, Glob: map[string][]string{"secret/data/b/": {"list", "read"}, "team/": {"deny"}}}
	if diff := cmp.Diff(want, Grants(set)); diff != "" {
		t.Errorf("grants differ (-want +got):\n%s", diff)
	}
	narrow := annaSet(t, `path "secret/*" { capabilities = ["read"] }`)
	want = PathGrants{Exact: map[string][]string{"secret/data/a": {"read"}}, Glob: map[string][]string{"secret/data/b/": {"read"}, "team/": {"deny"}}}
	if diff := cmp.Diff(want, Grants(set, narrow)); diff != "" {
		t.Errorf("narrowed grants differ (-want +got):\n%s", diff)
	}
	root := annaSet(t, statementDoc(anything))
	if g := Grants(root); !g.Root || Grants(root, narrow).Root {
		t.Error("who may do everything is not root, or is though narrowed")
	}
	kv := Mount{Path: "x", Kind: KindSecret}
	for name, tt := range map[string]struct {
		doc  string
		m    Mount
		want bool
	}{
		"exact":  {`path "secret/data/a" { capabilities = ["read"] }`, firstSecrets, true},
		"other":  {`path "secrets/data/a" { capabilities = ["read"] }`, firstSecrets, false},
		"wider":  {`path "s*" { capabilities = ["read"] }`, firstSecrets, true},
		"deny":   {`path "secret/*" { capabilities = ["deny"] }`, firstSecrets, false},
		"empty":  {`path "secret/*" { capabilities = [] }`, firstSecrets, false},
		"plus":   {`path "+/data/c" { capabilities = ["read"] }`, kv, true},
		"plus-1": {`path "y/+" { capabilities = ["read"] }`, kv, false},
		"iam":    {statementDoc(`"Action":"secretsmanager:Get*","Resource":"*"`), kv, true},
		"iam-no": {statementDoc(`"Action":"secretsmanager:Get*","Resource":"*"`), firstKeys, false},
	} {
		if got := annaSet(t, tt.doc).Reaches(tt.m); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (*Set)(nil).Reaches(kv) {
		t.Error("nothing reaches something")
	}
}
