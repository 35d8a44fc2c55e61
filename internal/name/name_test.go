package name_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"countersign/internal/errs"
	"countersign/internal/name"
)

const arn = "arn:aws:secretsmanager:us-east-1:111111111111:secret:"

// refusal spells why something was refused, or "ok".
func refusal(err error) string {
	e := errs.As(err)
	switch {
	case e == nil:
		return "ok"
	case e.Kind != errs.Invalid:
		return "kind " + e.Kind.String()
	case e.Field == "":
		return "no field"
	case e.Code != "":
		return e.Code
	}
	return "invalid"
}

func TestSecretName(t *testing.T) {
	for in, want := range map[string]string{
		"a": "ok", "/prod/github/api-token/pat": "ok", "myapp/database": "ok", "a_+=.@-!b": "ok", "...": "ok", ".a": "ok", "a..b": "ok",
		strings.Repeat("a", 512): "ok", "app-abcdef": "ok",
		"": name.CodeTooShort, strings.Repeat("a", 513): name.CodeTooLong,
		"/": name.CodeSecretName, "//": name.CodeSecretName, "//a": name.CodeSecretName, "a//b": name.CodeSecretName, "a/": name.CodeSecretName,
		".": name.CodeSecretName, "..": name.CodeSecretName, "a/..": name.CodeSecretName, "../a": name.CodeSecretName, "/../a": name.CodeSecretName, "a/./b": name.CodeSecretName,
		"a b": name.CodeSecretName, "a\x00": name.CodeSecretName, "a\nb": name.CodeSecretName, "ü": name.CodeSecretName, "a\xff": name.CodeSecretName, "a\\b": name.CodeSecretName,
		"a:b": name.CodeSecretName, "a*": name.CodeSecretName, "a?": name.CodeSecretName, "a%2e": name.CodeSecretName, "a$": name.CodeSecretName,
	} {
		if got := refusal(name.SecretName(in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestOtherNames(t *testing.T) {
	long := strings.Repeat
	for _, x := range []struct {
		name  string
		check func(string) error
		good  []string
		bad   []string
	}{
		{"account", name.Account, []string{"111111111111", "000000000000"}, []string{"", "1", "11111111111a", "1111111111111", "١١١١١١١١١١١١", "sys"}},
		{"region", name.Region, []string{"us-east-1", "a", "1"}, []string{"", "-a", "a-", "US", "a_b", "a.b", "a/b", "a\x00", long("a", 33)}},
		{"principal", func(s string) error { return name.Principal("Name", s) }, []string{"a", "a.b@c", "_+=,.@-", long("a", 64)}, []string{"", "a b", "a/b", "a:b", "ü", "a\x00", "a*", long("a", 65)}},
		{"label", name.Label, []string{"AWSCURRENT", "a b", "ü", long("ü", 256)}, []string{"", "a\n", "a\x00", "a\u0085", "a\u2028", "a\xff", long("a", 257), long("ü", 257)}},
		{"token", func(s string) error { return name.Token("T", s) }, []string{long("a", 32), long("~", 64)}, []string{"", long("a", 31), long("a", 65), long("a", 31) + " ", long("a", 31) + "\x7f", long("ü", 20)}},
		{"tag-key", name.TagKey, []string{"a", "a b", "ü", "aws", "awsome:x", long("ü", 128)}, []string{"", "aws:a", "AWS:a", "aWs:", "a\x00", "a\xff", long("ü", 129)}},
		{"tag-value", name.TagValue, []string{"", "a", long("ü", 256)}, []string{"a\x00", "a\xff", long("ü", 257)}},
		{"text", func(s string) error { return name.Text("D", s, 10) }, []string{"", "a\tb\r\nc", long("ü", 10)}, []string{"a\x00", "a\x1b", "a\x7f", "a\u0085", "a\xff", long("ü", 11)}},
	} {
		t.Run(x.name, func(t *testing.T) {
			for _, s := range x.good {
				if got := refusal(x.check(s)); got != "ok" {
					t.Errorf("%q: %s", s, got)
				}
			}
			for _, s := range x.bad {
				if got := refusal(x.check(s)); got != "invalid" && got != name.CodeTooLong {
					t.Errorf("%q: %s", s, got)
				}
			}
		})
	}
}

func TestParseSecretID(t *testing.T) {
	for _, x := range []struct {
		in   string
		want name.SecretID
		code string
	}{
		{"a/b", name.SecretID{Name: "a/b"}, "ok"},
		{arn + "a/b-AbCd12", name.SecretID{Account: "111111111111", Region: "us-east-1", Name: "a/b-AbCd12", IsARN: true}, "ok"},
		{arn + "a/b", name.SecretID{Account: "111111111111", Region: "us-east-1", Name: "a/b", IsARN: true}, "ok"},
		{arn + strings.Repeat("a", 512) + "-AbCd12", name.SecretID{Account: "111111111111", Region: "us-east-1", Name: strings.Repeat("a", 512) + "-AbCd12", IsARN: true}, "ok"},
		{arn + strings.Repeat("a", 513) + "-AbCd12", name.SecretID{}, name.CodeTooLong},
		{arn, name.SecretID{}, name.CodeTooShort},
		{arn + "-AbCd12", name.SecretID{Account: "111111111111", Region: "us-east-1", Name: "-AbCd12", IsARN: true}, "ok"},
		{arn + "a/-AbCd12", name.SecretID{}, name.CodeSecretName},
		{arn + "../a", name.SecretID{}, name.CodeSecretName},
		{arn + "a:b", name.SecretID{}, name.CodeSecretName},
		{arn + "a\x00", name.SecretID{}, name.CodeSecretName},
		{"arn:aws:secretsmanager:us-east-1:sys:secret:a", name.SecretID{}, name.CodeSecretName},
		{"arn:aws:secretsmanager::111111111111:secret:a", name.SecretID{}, name.CodeSecretName},
		{"arn:aws:secretsmanager:us-east-1::secret:a", name.SecretID{}, name.CodeSecretName},
		{"arn:aws:secretsmanager:us-east-1:111111111111:a", name.SecretID{}, name.CodeSecretName},
		{"arn:aws:iam::111111111111:user/a", name.SecretID{}, name.CodeSecretName},
		{"arn:aws-cn:secretsmanager:us-east-1:111111111111:secret:a", name.SecretID{}, name.CodeSecretName},
		{"arn:", name.SecretID{}, name.CodeSecretName},
		{"ARN:aws", name.SecretID{}, name.CodeSecretName},
		{"", name.SecretID{}, name.CodeTooShort},
		{strings.Repeat("a", 2049), name.SecretID{}, name.CodeTooLong},
	} {
		got, err := name.ParseSecretID(x.in)
		if got != x.want || refusal(err) != x.code {
			t.Errorf("%.60q: %+v, %s, want %+v, %s", x.in, got, refusal(err), x.want, x.code)
		}
	}
}

func TestARN(t *testing.T) {
	s := name.Secret{Account: "111111111111", Region: "us-east-1", Name: "a/b"}
	id, err := name.ParseSecretID(s.ARN("AbCd12"))
	if err != nil || id.String() != arn+"a/b-AbCd12" {
		t.Errorf("got %+v, %v", id, err)
	}
	for in, want := range map[string]string{"a-AbCd12": "a|AbCd12", "a-b-AbCd12": "a-b|AbCd12", "a-AbCd1": "", "-AbCd12": "", "a-AbCd1!": "", "a_AbCd12": "", "": "", "a-??????": ""} {
		base, suffix, ok := name.CutSuffix(in)
		got := base + "|" + suffix
		if !ok {
			got = ""
			if base != in || suffix != "" {
				t.Errorf("%q was cut to %q and %q", in, base, suffix)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// What was parsed spells itself again, and no accepted name could be a path, a
// line break or a second spelling of another.
func FuzzParseSecretID(f *testing.F) {
	for _, s := range []string{"a/b", "/a", arn + "a/b-AbCd12", arn + "a", arn + "a/-AbCd12", "a/../b", "a\x00", "arn:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := name.ParseSecretID(s)
		if err != nil {
			if r := refusal(err); r == "no field" || strings.HasPrefix(r, "kind") {
				t.Errorf("%q: %s", s, r)
			}
			return
		}
		if id.String() != s {
			t.Errorf("%q spells itself %q", s, id.String())
		}
		n := id.Name
		if id.IsARN {
			n, _, _ = name.CutSuffix(id.Name)
			if name.Account(id.Account) != nil || name.Region(id.Region) != nil {
				t.Errorf("%q: account %q, region %q", s, id.Account, id.Region)
			}
		}
		if !utf8.ValidString(n) || n == "" || len(n) > name.MaxSecret {
			t.Errorf("name %q", n)
		}
		for _, c := range n {
			if c < 0x21 || c > 0x7e || strings.ContainsRune(`\:*?"<>|%$'`, c) {
				t.Errorf("name %q holds %q", n, c)
			}
		}
		for i, seg := range strings.Split(n, "/") {
			if seg == "." || seg == ".." || seg == "" && i > 0 {
				t.Errorf("name %q has the segment %q", n, seg)
			}
		}
		if s := (name.Secret{Account: "111111111111", Region: "a", Name: n}).ARN("AbCd12"); s[len(s)-7] != '-' {
			t.Errorf("ARN %q", s)
		} else if again, err := name.ParseSecretID(s); err != nil || again.Name != n+"-AbCd12" {
			t.Errorf("the ARN of %q is read as %+v, %v", n, again, err)
		}
	})
}
