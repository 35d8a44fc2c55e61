package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
)

// asks is a request in the words of the Vault protocol: "read secret/data/app".
// The operation is one that neither dialect's table would find anything for.
func asks(words string) *Request {
	capability, path, _ := strings.Cut(words, " ")
	req := annaReads()
	req.Op, req.Resource = Encrypt, TransitKeyARN("eu-west-1", home, "none")
	if capability == "create" {
		req.Op = CreateUser
		req.Resource = caller.UserARN(home, "nobody")
	}
	req.Caller.Call = &caller.Call{Path: path, Capability: capability}
	return req
}

func annaSet(t testing.TB, docs ...string) *Set {
	t.Helper()
	var named []Named
	for i, d := range docs {
		named = append(named, Named{Name: "p" + string(rune('1'+i)), Doc: mustParse(t, Identity, d)})
	}
	who := annaReads().Caller
	return Scope{Who: &who, Aliases: map[string]Alias{"auth_oidc_1": {ID: "a1", Name: "anna@example.com", Metadata: map[string]string{"team": "blue/sub"}}}}.Compile(named...)
}

// The examples of Vault's documentation of policies, and the priorities that it
// states in words.
func TestDocumentedExamples(t *testing.T) {
	detailed := `
		# This section grants all access on "secret/*".
		path "secret/*" {
		  capabilities = ["create", "read", "update", "patch", "delete", "list"]
		}
		path "secret/super-secret" { capabilities = ["deny"] }
		path "secret/restricted" {
		  capabilities = ["create"]
		  allowed_parameters = {
		    "foo" = []
		    "bar" = ["zip", "zap"]
		  }
		}`
	old := `path "sys/*" { policy = "deny" }
		path "secret/*" { policy = "write" }
		path "secret/foo" {
		  policy = "read"
		  capabilities = ["create", "sudo"]
		}`
	tests := map[string]struct {
		docs  []string
		yes   []string
		no    []string
		never []string // explicitly denied
	}{
		"exact":    {docs: []string{`path "secret/foo" { capabilities = ["read"] }`}, yes: []string{"read secret/foo", "read /secret/foo"}, no: []string{"update secret/foo", "delete secret/foo", "read secret/food", "read secret/foo/bar", "read secret/foo/", "read secret"}},
		"json":     {docs: []string{`{"path":{"secret/foo":{"capabilities":["read"]},"secret/bar*":[{"capabilities":["list"]},{"policy":"read"}]}}`}, yes: []string{"read secret/foo", "read secret/bar/x"}, no: []string{"update secret/foo"}},
		"assigned": {docs: []string{`path = { "secret/foo" = { capabilities = "read" } }`}, yes: []string{"read secret/foo"}},
		"slash":    {docs: []string{`path "/secret/foo" { capabilities = ["read"] }`}, yes: []string{"read secret/foo"}},
		"detailed": {docs: []string{detailed}, yes: []string{"read secret/x", "list secret/x/", "patch secret/x/y", "create secret/restricted"}, no: []string{"read secret/restricted", "read other"}, never: []string{"read secret/super-secret", "list secret/super-secret/"}},
		"old":      {docs: []string{old}, yes: []string{"update secret/x", "read secret/foo", "list secret/foo/", "create secret/foo"}, no: []string{"update secret/foo", "patch secret/x"}, never: []string{"read sys/mounts"}},
		"folder":   {docs: []string{`path "secret/bar/*" { capabilities = ["read"] }`}, yes: []string{"read secret/bar/zip", "read secret/bar/zip/zap"}, no: []string{"read secret/bars/zip", "read secret/bar"}},
		"prefix":   {docs: []string{`path "secret/zip-*" { capabilities = ["read"] }`}, yes: []string{"read secret/zip-zap", "read secret/zip-zap/zong"}, no: []string{"read secret/zip/zap"}},
		"plus":     {docs: []string{`path "secret/+/teamb" { capabilities = ["read"] }`}, yes: []string{"read secret/a/teamb", "read secret//teamb"}, no: []string{"read secret/a/b/teamb", "read secret/teamb", "read secret/a/teamb/x", "read secret/a/teambx"}},
		"pluses":   {docs: []string{`path "secret/+/+/teamb" { capabilities = ["read"] }`}, yes: []string{"read secret/a/b/teamb"}, no: []string{"read secret/a/teamb"}},
		"plus-and-star": {docs: []string{`path "+/data/+/team*" { capabilities = ["read"] }`}, yes: []string{"read kv/data/a/team", "read kv/data/a/teams/x/y"},
			no: []string{"read kv/data/a/tea", "read kv/data/a/x/team"}},
		"plus-alone":  {docs: []string{`path "+" { capabilities = ["read"] }`}, yes: []string{"read secret", "read "}, no: []string{"read secret/x"}},
		"plus-inside": {docs: []string{`path "secret/a+b/c+" { capabilities = ["read"] }`}, yes: []string{"read secret/a+b/c+"}, no: []string{"read secret/axb/c"}},
		"star-inside": {docs: []string{`path "secret/*/x" { capabilities = ["read"] }`}, yes: []string{"read secret/*/x"}, no: []string{"read secret/a/x"}},
		"everything":  {docs: []string{`path "*" { capabilities = ["read", "sudo"] }`}, yes: []string{"read x", "read a/b/c", "read sys/audit"}, no: []string{"update x"}},
		// The five rules of priority.
		"later-wildcard": {docs: []string{`path "secret/+/a" { capabilities = ["read"] } path "secret/x/+" { capabilities = ["update"] }`}, yes: []string{"update secret/x/a"}, no: []string{"read secret/x/a"}},
		"no-star":        {docs: []string{`path "secret/*" { capabilities = ["read"] } path "secret/+" { capabilities = ["update"] }`}, yes: []string{"update secret/x", "read secret/x/y"}, no: []string{"read secret/x"}},
		"fewer-pluses":   {docs: []string{`path "secret/*" { capabilities = ["read"] } path "secret/+/+/foo/*" { capabilities = ["update"] }`}, yes: []string{"read secret/a/b/foo/c"}, no: []string{"update secret/a/b/foo/c"}},
		"longer":         {docs: []string{`path "secret/+/b*" { capabilities = ["read"] } path "secret/+/ba*" { capabilities = ["update"] }`}, yes: []string{"update secret/x/bar", "read secret/x/bor"}, no: []string{"read secret/x/bar"}},
		"greater":        {docs: []string{`path "secret/+/x/+" { capabilities = ["read"] } path "secret/+/+/y" { capabilities = ["update"] }`}, yes: []string{"read secret/a/x/y"}, no: []string{"update secret/a/x/y"}},
		"exact-first":    {docs: []string{`path "secret/x" { capabilities = ["read"] } path "secret/x*" { capabilities = ["update"] } path "secret/+" { capabilities = ["delete"] }`}, yes: []string{"read secret/x"}, no: []string{"update secret/x", "delete secret/x"}},
		// Several policies.
		"union":             {docs: []string{`path "a/*" { capabilities = ["read"] }`, `path "a/*" { capabilities = ["update"] }`}, yes: []string{"read a/b", "update a/b"}},
		"deny-of-same-path": {docs: []string{`path "a/*" { capabilities = ["read"] }`, `path "a/*" { capabilities = ["deny", "update"] }`, `path "a/*" { capabilities = ["read"] }`}, never: []string{"read a/b", "update a/b"}},
		"deny-of-wider":     {docs: []string{`path "a/b" { capabilities = ["read"] }`, `path "a/*" { capabilities = ["deny"] }`}, yes: []string{"read a/b"}, never: []string{"read a/c"}},
		"nothing":           {docs: []string{`path "a/*" { capabilities = ["read"] } path "a/b" {}`}, yes: []string{"read a/c"}, no: []string{"read a/b"}},
		// Listings.
		"list-slash":    {docs: []string{`path "a/b/" { capabilities = ["list"] }`}, yes: []string{"list a/b/", "list a/b"}},
		"list-no-slash": {docs: []string{`path "a/b" { capabilities = ["list"] }`}, yes: []string{"list a/b/", "list a/b"}, no: []string{"list a/"}},
		"list-star":     {docs: []string{`path "a/*" { capabilities = ["list"] }`}, yes: []string{"list a/", "list a/b/"}, no: []string{"list ab/"}},
		"list-plus":     {docs: []string{`path "a/+" { capabilities = ["list"] } path "b/+/" { capabilities = ["list"] }`}, yes: []string{"list a/b/", "list a/", "list b/c/"}, no: []string{"list a/b/c/"}},
		"list-first-without-slash": {docs: []string{`path "a/*" { capabilities = ["read"] } path "a/b/*" { capabilities = ["list"] }`},
			no: []string{"list a/b/"}, yes: []string{"list a/b/c/"}},
		"list-denied-with-slash": {docs: []string{`path "a/*" { capabilities = ["list"] } path "a/b/*" { capabilities = ["deny"] }`}, never: []string{"list a/b/", "list a/b/c/"}},
		// sudo
		"sudo-missing": {docs: []string{`path "sys/audit/file" { capabilities = ["update"] } path "auth/token/accessors/" { capabilities = ["list"] }`}, no: []string{"update sys/audit/file", "list auth/token/accessors/"}},
		"sudo":         {docs: []string{`path "sys/audit/file" { capabilities = ["update", "sudo"] }`}, yes: []string{"update sys/audit/file"}, no: []string{"sudo sys/audit/file", "deny sys/audit/file", "root x"}},
		// Templates.
		"entity":    {docs: []string{`path "secret/data/{{identity.entity.id}}/*" { capabilities = ["read"] } path "n/{{ identity.entity.name }}" { capabilities = ["read"] } path "m/{{identity.entity.metadata.Team}}x" { capabilities = ["read"] }`}, yes: []string{"read secret/data/" + caller.EntityID(home, "anna") + "/x", "read n/anna", "read m/bluex"}, no: []string{"read n/bob", "read m/x"}},
		"groups":    {docs: []string{`path "a/{{identity.groups.names.dev.id}}" { capabilities = ["read"] } path "b/{{identity.groups.ids.` + caller.GroupID(home, "ops") + `.name}}" { capabilities = ["read"] } path "c/{{identity.groups.names.dba.id}}" { capabilities = ["read"] }`}, yes: []string{"read a/" + caller.GroupID(home, "dev"), "read b/ops"}, no: []string{"read c/", "read c/" + caller.GroupID(home, "dba")}},
		"alias":     {docs: []string{`path "a/{{identity.entity.aliases.auth_oidc_1.name}}/*" { capabilities = ["read"] } path "b/{{identity.entity.aliases.auth_oidc_1.metadata.team}}" { capabilities = ["read"] } path "d/{{identity.entity.aliases.auth_oidc_1.id}}" { capabilities = ["read"] } path "e/{{identity.entity.aliases.auth_oidc_1.custom_metadata.x}}" { capabilities = ["read"] } path "c/{{identity.entity.aliases.other.name}}" { capabilities = ["read"] }`}, yes: []string{"read a/anna@example.com/x", "read b/blue/sub", "read d/a1"}, no: []string{"read c/"}},
		"unknown":   {docs: []string{`path "a/*" { capabilities = ["read"] }  path "a/{{identity.entity.metadata.none}}/+/c*" { capabilities = ["deny"] }`}, yes: []string{"read a/b", "read a/x/y/d"}, never: []string{"read a/x/y/c", "read a/x/y/z/cd"}},
		"exact-mix": {docs: []string{`path "a/{{identity.entity.name}}" { capabilities = ["read"] }`, `path "a/anna" { capabilities = ["update"] }`}, yes: []string{"read a/anna", "update a/anna"}},
		// Capabilities of other servers.
		"idle": {docs: []string{`path "a" { capabilities = ["subscribe", "recover", "read"] subscribe_event_types = ["*"] }`}, yes: []string{"read a"}, no: []string{"subscribe a", "recover a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			set := annaSet(t, tt.docs...)
			for want, list := range map[string][]string{EffectAllow: tt.yes, EffectNoMatch: tt.no, EffectDeny: tt.never} {
				for _, words := range list {
					if got := Evaluate(set, nil, asks(words)); got.Effect != want {
						t.Errorf("%s: %+v, want %s", words, got, want)
					}
				}
			}
		})
	}
}

func TestParameters(t *testing.T) {
	type params = map[string][]string
	restricted := `capabilities = ["create", "update", "patch", "read", "delete"] `
	tests := map[string]struct {
		rules []string // of the same path, each in a policy of its own
		got   params
		want  string // empty when allowed, or what is wrong
	}{
		"none-asked":            {[]string{``}, params{"x": {"y"}}, ""},
		"required":              {[]string{`required_parameters = ["bar", "Baz"]`}, params{"bar": {"1"}, "baz": {""}}, ""},
		"required-missing":      {[]string{`required_parameters = ["bar", "baz"]`}, params{"bar": {"1"}}, `requires the parameter "baz"`},
		"required-no-body":      {[]string{`required_parameters = ["bar"]`}, nil, `requires the parameter "bar"`},
		"required-of-both":      {[]string{`required_parameters = ["bar"]`, `required_parameters = ["baz", "bar"]`}, params{"bar": {"1"}}, `requires the parameter "baz"`},
		"allowed-any":           {[]string{`allowed_parameters = { "bar" = [] }`}, params{"bar": {"1"}}, ""},
		"allowed-none-given":    {[]string{`allowed_parameters = { "bar" = [] }`}, nil, ""},
		"allowed-case":          {[]string{`allowed_parameters = { "BAR" = [] }`}, params{"Bar": {"1"}}, ""},
		"allowed-other":         {[]string{`allowed_parameters = { "bar" = [] }`}, params{"bar": {"1"}, "foo": {"1"}}, `does not allow the parameter "foo"`},
		"allowed-value":         {[]string{`allowed_parameters = { "bar" = ["zip", "zap"] }`}, params{"bar": {"zap"}}, ""},
		"allowed-value-other":   {[]string{`allowed_parameters = { "bar" = ["zip", "zap"] }`}, params{"bar": {"zop"}}, `does not allow the value of the parameter "bar"`},
		"allowed-number":        {[]string{`allowed_parameters = { "n" = [5, true] }`}, params{"n": {"5"}}, ""},
		"allowed-single":        {[]string{`allowed_parameters { bar = "zip" }`}, params{"bar": {"zip"}}, ""},
		"allowed-rest":          {[]string{`allowed_parameters = { "bar" = ["zip"] "*" = [] }`}, params{"bar": {"zip"}, "foo": {"1"}}, ""},
		"allowed-rest-value":    {[]string{`allowed_parameters = { "bar" = ["zip"] "*" = [] }`}, params{"bar": {"zap"}}, `does not allow the value of the parameter "bar"`},
		"allowed-glob":          {[]string{`allowed_parameters = { "bar" = ["foo-*", "*-end", "*mid*"] }`}, params{"bar": {"foo-1", "x-end", "amidst", "foo-", "mid"}}, ""},
		"allowed-glob-not":      {[]string{`allowed_parameters = { "bar" = ["foo-*"] }`}, params{"bar": {"foo"}}, `does not allow the value of the parameter "bar"`},
		"star-alone":            {[]string{`allowed_parameters = { "bar" = ["*"] }`}, params{"bar": {"x"}}, `does not allow the value of the parameter "bar"`},
		"allowed-each-item":     {[]string{`allowed_parameters = { "bar" = ["a", "b"] }`}, params{"bar": {"b", "c"}}, `does not allow the value of the parameter "bar"`},
		"allowed-list":          {[]string{`allowed_parameters = { "bar" = [["a", "b"]] }`}, params{"bar": {"a", "b"}}, ""},
		"allowed-list-other":    {[]string{`allowed_parameters = { "bar" = [["a", "b"]] }`}, params{"bar": {"b", "a"}}, `does not allow the value of the parameter "bar"`},
		"allowed-empty-list":    {[]string{`allowed_parameters = { "bar" = ["a"] }`}, params{"bar": {}}, `does not allow the value of the parameter "bar"`},
		"allowed-of-both":       {[]string{`allowed_parameters = { "bar" = ["a"] }`, `allowed_parameters = { "bar" = ["b"] "x" = [] }`}, params{"bar": {"a"}, "x": {"1"}}, ""},
		"allowed-any-of-both":   {[]string{`allowed_parameters = { "bar" = ["a"] }`, `allowed_parameters = { "bar" = [] }`}, params{"bar": {"z"}}, ""},
		"allowed-by-other-rule": {[]string{``, `allowed_parameters = { "bar" = ["a"] }`}, params{"foo": {"z"}}, `does not allow the parameter "foo"`},
		"denied-any":            {[]string{`denied_parameters = { "bar" = [] }`}, params{"bar": {"1"}}, `denies the parameter "bar", or the value that it has`},
		"denied-other":          {[]string{`denied_parameters = { "bar" = [] }`}, params{"foo": {"1"}}, ""},
		"denied-value":          {[]string{`denied_parameters = { "bar" = ["zi*"] }`}, params{"BAR": {"zip"}}, `denies the parameter "BAR", or the value that it has`},
		"denied-value-other":    {[]string{`denied_parameters = { "bar" = ["zip"] }`}, params{"bar": {"zop"}}, ""},
		"denied-some-item":      {[]string{`denied_parameters = { "bar" = ["b"] }`}, params{"bar": {"a", "b"}}, `denies the parameter "bar", or the value that it has`},
		"denied-all":            {[]string{`denied_parameters = { "*" = [] }`}, params{"foo": {"1"}}, `denies every parameter`},
		"denied-all-no-body":    {[]string{`denied_parameters = { "*" = [] }`}, nil, ""},
		"denied-over-allowed":   {[]string{`denied_parameters = { "bar" = ["x"] } allowed_parameters = { "bar" = [] }`}, params{"bar": {"x"}}, `denies the parameter "bar", or the value that it has`},
		"denied-of-both":        {[]string{`denied_parameters = { "bar" = ["x"] }`, `denied_parameters = { "bar" = ["y"] }`}, params{"bar": {"y"}}, `denies the parameter "bar", or the value that it has`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var docs []string
			for _, r := range tt.rules {
				docs = append(docs, `path "secret/foo" { `+restricted+r+` }`)
			}
			set := annaSet(t, docs...)
			req := asks("update secret/foo")
			req.Caller.Call.Params = tt.got
			got := Evaluate(set, nil, req)
			why := strings.Join(got.Missing, "; ")
			if got.Allowed != (tt.want == "") || !strings.Contains(why, tt.want) {
				t.Errorf("got %+v, want %q", got, tt.want)
			}
			req.Caller.Call.Capability = "delete"
			if got := Evaluate(set, nil, req); !got.Allowed {
				t.Errorf("a request without parameters: %+v", got)
			}
		})
	}
}

func TestWrappingTTL(t *testing.T) {
	one := `path "a" { capabilities = ["read"] min_wrapping_ttl = "10s" max_wrapping_ttl = 90 }`
	for name, tt := range map[string]struct {
		docs []string
		ttl  time.Duration
		want bool
	}{
		"none":         {[]string{one}, 0, false},
		"short":        {[]string{one}, 9 * time.Second, false},
		"least":        {[]string{one}, 10 * time.Second, true},
		"most":         {[]string{one}, 90 * time.Second, true},
		"long":         {[]string{one}, 91 * time.Second, false},
		"lesser-of":    {[]string{one, `path "a" { capabilities = [] min_wrapping_ttl = 5 max_wrapping_ttl = "1d" }`}, 6 * time.Second, true},
		"lesser-max":   {[]string{one, `path "a" { capabilities = [] max_wrapping_ttl = "20s" }`}, 21 * time.Second, false},
		"contradicted": {[]string{one, `path "a" { capabilities = [] max_wrapping_ttl = "5s" }`}, 7 * time.Second, false},
		"max-only":     {[]string{`path "a" { capabilities = ["read"] max_wrapping_ttl = "1h" }`}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			req := asks("read a")
			req.Caller.Call.WrapTTL = tt.ttl
			if got := Evaluate(annaSet(t, tt.docs...), nil, req); got.Allowed != tt.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestHCLRefused(t *testing.T) {
	rule := func(s string) string { return `path "a" { ` + s + ` }` }
	tests := map[string]struct{ doc, want string }{
		"unclosed":          {`path "a" {`, "the document is not HCL: line 1, column 12"},
		"unquotable":        {`path "\q" {}`, "the document is not HCL: line 1, column 8"},
		"number":            {`name = 99999999999999999999`, "the document is not HCL"},
		"float":             {`name = 1.5`, "name is a number, not a string"},
		"bool":              {`name = true`, "name is true or false, not a string"},
		"no-key":            {`= 1`, "the document is not HCL: line 1, column 1"},
		"old-type":          {rule(`policy = ["read"]`), `path "a": policy is a list, not a string`},
		"meta-empty":        {`path "{{identity.entity.metadata.}}" {}`, `path "{{identity.entity.metadata.}}": "{{identity.entity.metadata.}}" is not a template`},
		"alias-field":       {`path "{{identity.entity.aliases.x.y}}" {}`, `path "{{identity.entity.aliases.x.y}}": "{{identity.entity.aliases.x.y}}" is not a template`},
		"plus-in-template":  {`path "{{identity.entity.metadata.a/+/b}}" {}`, `path "{{identity.entity.metadata.a/+/b}}": "{{identity.entity.metadata.a/+/b}}" is not a template`},
		"words":             {`allow everything`, "the document is not HCL: line 1, column 18"},
		"top-level":         {`paths "a" {}`, `"paths" has no place in a policy: use path`},
		"name-type":         {`name = 1`, `name is a number, not a string`},
		"no-label":          {`path { capabilities = ["read"] }`, `path "capabilities": "capabilities" is a string, not a block`},
		"two-labels":        {`path "a" "b" {}`, `path "a": "b" is not an element of a path block`},
		"path-text":         {`path = "a"`, `"path" is a string, not a block`},
		"empty-path":        {`path "" {}`, `path "": the path is empty`},
		"long-path":         {`path "` + strings.Repeat("a", 1025) + `" {}`, `path "` + strings.Repeat("a", 61) + `...": the path has 1025 bytes; the most is 1024`},
		"control":           {`path "a\u0000b" {}`, `path "a\x00b": the path holds a control character`},
		"plus-star":         {`path "a/+*" {}`, `path "a/+*": "+*" is no wildcard: a "+" stands for a whole segment`},
		"element":           {rule(`capability = ["read"]`), `path "a": "capability" is not an element of a path block`},
		"repeated":          {rule(`capabilities = ["read"] capabilities = ["list"]`), `path "a": "capabilities" stands twice`},
		"capability":        {rule(`capabilities = ["write"]`), `path "a": capabilities: "write" is not a capability`},
		"root":              {rule(`capabilities = ["root"]`), `path "a": capabilities: "root" is not a capability`},
		"capability-type":   {rule(`capabilities = [1]`), `path "a": capabilities holds a number, not strings only`},
		"old-policy":        {rule(`policy = "admin"`), `path "a": policy is "admin"; use capabilities`},
		"mfa":               {rule(`mfa_methods = ["x"]`), `path "a": mfa_methods would restrict the rule, and is not supported here`},
		"control-group":     {rule(`control_group = { ttl = 1 }`), `path "a": control_group would restrict the rule, and is not supported here`},
		"params-type":       {rule(`allowed_parameters = ["x"]`), `path "a": "allowed_parameters" is a string, not a block`},
		"params-value":      {rule(`denied_parameters = { x = [{}] }`), `path "a": denied_parameters a value of parameter "x" is an object`},
		"params-twice":      {rule(`denied_parameters = { x = [] X = [] }`), `path "a": denied_parameters: parameter "X" is empty or stands twice`},
		"params-star":       {rule(`allowed_parameters = { "*" = ["x"] }`), `path "a": allowed_parameters: the parameter "*" has no values: write []`},
		"required-type":     {rule(`required_parameters = [true]`), `path "a": required_parameters holds true or false, not strings only`},
		"ttl":               {rule(`min_wrapping_ttl = "soon"`), `path "a": min_wrapping_ttl is "soon", not a number of seconds or a text like "90s"`},
		"ttl-negative":      {rule(`min_wrapping_ttl = -1`), `path "a": min_wrapping_ttl is "-1", not a number of seconds or a text like "90s"`},
		"ttl-type":          {rule(`max_wrapping_ttl = [1]`), `path "a": max_wrapping_ttl is a list, not a number of seconds or a text like "90s"`},
		"ttl-order":         {rule(`max_wrapping_ttl = 1 min_wrapping_ttl = "2s"`), `path "a": max_wrapping_ttl is less than min_wrapping_ttl`},
		"template-open":     {`path "a/{{identity.entity.id/b" {}`, `path "a/{{identity.entity.id/b": {{ without }}`},
		"template-close":    {`path "a/}}" {}`, `path "a/}}": }} without {{`},
		"template-unknown":  {`path "{{identity.entity}}" {}`, `path "{{identity.entity}}": "{{identity.entity}}" is not a template`},
		"template-time":     {`path "{{time.now}}" {}`, `path "{{time.now}}": "{{time.now}}" is not a template`},
		"template-group":    {`path "{{identity.groups.names.x}}" {}`, `path "{{identity.groups.names.x}}": "{{identity.groups.names.x}}" is not a template`},
		"template-alias":    {`path "{{identity.entity.aliases.x}}" {}`, `path "{{identity.entity.aliases.x}}": "{{identity.entity.aliases.x}}" is not a template`},
		"too-many":          {strings.Repeat("path \"a\" {}\n", MaxRules+1), `path "a": the document has more than 512 paths`},
		"too-deep":          {rule(`allowed_parameters = { x = [[[[[1]]]]] }`), "the document is nested deeper than 8 levels"},
		"much-too-deep":     {`a = ` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "the document has more than 48 brackets open at once"},
		"too-long":          {`name = "` + strings.Repeat("a", MaxBytes) + `"`, "the document has 20489 bytes; the most is 20480"},
		"not-utf8":          {"name = \"\xff\"", "the document is not UTF-8 text"},
		"json-repeated":     {`{"path":{"a":{},"a":{}}}`, `member "a" stands twice in one object`},
		"json-type":         {`{"path":{"a":["read"]}}`, `path "a": "a" is a string, not a block`},
		"json-element":      {`{"path":{"a":{"capabilities":["read"],"x":1}}}`, `path "a": "x" is not an element of a path block`},
		"statements-too":    {`{"path":{"a":{}},"Statement":[]}`, `"path" is not a member of a policy: use Version, Id and Statement`},
		"json-neither":      {`{}`, "Statement is missing"},
		"top-level-in-json": {`{"path":{"a":{}},"x":1}`, `"x" has no place in a policy: use path`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tt.doc), Identity)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	for _, doc := range []string{`path "a" { capabilities = ["read"] }`, `{"path":{"a":{"capabilities":["read"]}}}`} {
		if _, err := Parse([]byte(doc), Resource); err == nil {
			t.Errorf("a resource policy of the HCL dialect: %s", doc)
		}
	}
}

func TestDialect(t *testing.T) {
	for doc, want := range map[string]Dialect{
		statementDoc(anything):                  IAM,
		`{"path":{"a":{"capabilities":[]}}}`:    HCL,
		"path \"a\" {}":                         HCL,
		"# nothing yet\n":                       HCL,
		"\r\n\tname = \"x\"":                    HCL,
		`"path" "a" { capabilities = ["deny"]}`: HCL,
	} {
		if d := mustParse(t, Identity, doc); d.Dialect() != want {
			t.Errorf("%s: dialect %q", doc, d.Dialect())
		}
	}
}

func TestHCLFindings(t *testing.T) {
	doc := `path "a/*/b" { capabilities = ["subscribe"] }
		path "a+b" { policy = "read" }
		path "{{identity.groups.names.x.metadata.y}}" { capabilities = ["list"] required_parameters = ["x"] }
		path "fine/+/{{identity.entity.id}}*" { capabilities = ["read"] allowed_parameters = { x = [] } }`
	var got []string
	for _, f := range mustParse(t, Identity, doc).Validate() {
		got = append(got, f.CheckName)
	}
	want := []string{"IdleCapability", "NoCapability", "StarInside", "OldPolicyElement", "PlusInside", "UnknownTemplate", "IdleParameters"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings differ (-want +got):\n%s", diff)
	}
}
