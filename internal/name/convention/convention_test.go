package convention_test

import (
	"strings"
	"testing"

	"countersign/internal/name/convention"
)

const usual = "/{environment}/{service}/{secret-type}/{secret-name}"

var stages = map[string][]string{"environment": {"prod", "staging", "dev"}}

func parse(t testing.TB, text string, values map[string][]string) *convention.Convention {
	t.Helper()
	c, err := convention.Parse(text, values)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheck(t *testing.T) {
	for _, x := range []struct{ template, name, wrong string }{
		{usual, "/prod/github-integration/api-token/personal-access-token", ""},
		{usual, "/prod/claude-sdk/api-key/anthropic-key", ""},
		{usual, "/prod/cognito/app-client/secret", ""},
		{usual, "/staging/template-management/encryption-key/template-key", ""},
		{usual, "prod/x", "it does not begin with a slash"},
		{usual, "prod", "it does not begin with a slash"},
		{usual, "", "it does not begin with a slash"},
		{usual, "/prod//x/y", "{service} is empty"},
		{usual, "/", "{environment} is empty"},
		{usual, "/prod/x/y", "{secret-name} is missing"},
		{usual, "/prod/x/y/", "{secret-name} is empty"},
		{usual, "/prod/x/y/z/more", `"more" is a part too many`},
		{usual, "/qa/github-integration/api-token/pat", `{environment} is "qa", and has to be prod, staging or dev`},
		{usual, "/PROD/a/b/c", `{environment} is "PROD", and has to be prod, staging or dev`},
		{usual, "/" + strings.Repeat("q", 300) + "/b/c/d", `{environment} is "` + strings.Repeat("q", 64) + `...", and has to be`},
		{usual, "/\x1b[2J/b/c/d", `{environment} is "\x1b[2J", and`},
		{"{environment}/db/{name}", "prod/db/main", ""},
		{"{environment}/db/{name}", "/prod/db/main", "it begins with a slash"},
		{"{environment}/db/{name}", "prod/cache/main", `"cache" is in the place of "db"`},
		{"{environment}/db/{name}", "prod", `"db" is missing`},
		{"{environment}/db/{name}", "prod//main", `"db" is empty`},
	} {
		err := parse(t, x.template, stages).Check(x.name)
		if x.wrong == "" {
			if err != nil {
				t.Errorf("%q is refused: %v", x.name, err)
			}
			continue
		}
		if want := "the name does not keep to " + x.template + ": " + x.wrong; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", x.name, err, want)
		}
	}
}

func TestNothingIsAskedFor(t *testing.T) {
	for _, c := range []*convention.Convention{nil, {}} {
		if err := c.Check("any/name"); err != nil || c.String() != "" {
			t.Errorf("%q, %v", c, err)
		}
	}
	if c := parse(t, usual, nil); c.Check("/qa/a/b/c") != nil || c.String() != usual {
		t.Error("a placeholder without values may be anything")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, x := range []struct {
		text   string
		values map[string][]string
		says   string
	}{
		{"", nil, "empty"},
		{"/", nil, "empty part"},
		{"/{a}//{b}", nil, "empty part"},
		{"/{a}/", nil, "empty part"},
		{"/prod/x", nil, "no {placeholder}"},
		{"/{a}/{a}", nil, "{a} twice"},
		{"/{A}", nil, `"{A}"`},
		{"/{a}-{b}", nil, `"{a}-{b}"`},
		{"/{a}/..", nil, `".."`},
		{"/{a}/b c", nil, `"b c"`},
		{"/{a}/" + strings.Repeat("x/", 40), nil, "at most"},
		{"/{" + strings.Repeat("x", 600) + "}", nil, "at most"},
		{"/{a}", map[string][]string{"b": {"x"}}, "{b}, which the convention has not"},
		{"/{a}", map[string][]string{"a": {}}, "1 to 256 values"},
		{"/{a}", map[string][]string{"a": {"x/y"}}, `"x/y"`},
		{"/{a}", map[string][]string{"a": {""}}, `""`},
		{"/{a}", map[string][]string{"a": {"x", "x"}}, "twice"},
	} {
		if _, err := convention.Parse(x.text, x.values); err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%q: %v, want %s", x.text, err, x.says)
		}
	}
}

func TestManyValues(t *testing.T) {
	var may []string
	for i := range 30 {
		may = append(may, strings.Repeat("v", i+1))
	}
	err := parse(t, "{a}", map[string][]string{"a": may}).Check("x")
	if err == nil || !strings.HasSuffix(err.Error(), "or one of 10 more") {
		t.Error(err)
	}
	if err := parse(t, "{a}", map[string][]string{"a": {"only"}}).Check("x"); err == nil || !strings.HasSuffix(err.Error(), `has to be only`) {
		t.Error(err)
	}
}

// FuzzConvention holds that nothing makes it panic, and that what a convention takes
// has its number of parts.
func FuzzConvention(f *testing.F) {
	f.Add(usual, "/prod/a/b/c")
	f.Add("{a}/b/{c}", "x/b/")
	f.Add("{a}", "")
	f.Fuzz(func(t *testing.T, text, name string) {
		c, err := convention.Parse(text, nil)
		if err != nil {
			return
		}
		if c.Check(name) == nil && strings.Count(name, "/") != strings.Count(text, "/") {
			t.Errorf("%q takes %q", text, name)
		}
	})
}
