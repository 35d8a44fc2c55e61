package policy

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"countersign/internal/caller"
)

func TestPattern(t *testing.T) {
	req := &Request{Caller: caller.Caller{Account: "111122223333", Kind: caller.User, Name: "an*a",
		Tags: map[string]string{"Team": "blue:?", "two": "a", "TWO": "b", "empty": ""}}}
	const arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-a1B2c3"
	tests := []struct {
		mode    patternMode
		pattern string
		text    string
		match   bool
	}{
		{wildcard, "", "", true},
		{wildcard, "", "a", false},
		{wildcard, "*", "", true},
		{wildcard, "*", "a:b\nc", true},
		{wildcard, "?", "", false},
		{wildcard, "?", "é", true},
		{wildcard, "??", "é", false},
		{wildcard, "a*b*c", "aXbXbXc", true},
		{wildcard, "a*b*c", "aXbXbX", false},
		{wildcard, "*ab", "aab", true},
		{wildcard, "**a**", "bab", true},
		{wildcard, "*?a", "a", false},
		{wildcard, "*?a", "ba", true},
		{wildcard, "a**", "a", true},
		{literal, "a*", "a*", true},
		{literal, "a*", "ab", false},
		{arnWild, "*", arn, true},
		{arnWild, arn, arn, true},
		{arnWild, "arn:aws:secretsmanager:*:*:secret:prod/*", arn, true},
		{arnWild, "arn:aws:secretsmanager:*:*:secret:prod/db-??????", arn, true},
		{arnWild, "arn:aws:secretsmanager:*:*:secret:prod/db-?????", arn, false},
		{arnWild, "arn:aws:secretsmanager:*:*:secret:Prod/*", arn, false},
		{arnWild, "arn:aws:secretsmanager:eu-*-1:111122223333:secret:*", arn, true},
		{arnWild, "arn:aws:secretsmanager:eu-west-?:*:secret:*", arn, true},
		// A star that does not end its segment stays in it.
		{arnWild, "arn:aws:secretsmanager:e*1:secret:prod/db-a1B2c3", arn, false},
		{arnWild, "arn:aws:secretsmanager:e*333:secret:prod/db-a1B2c3", arn, false},
		// One that ends it does not have to.
		{arnWild, "arn:aws:secretsmanager:*:secret:prod/db-a1B2c3", arn, true},
		{arnWild, "arn:aws:secretsmanager:eu*", arn, true},
		{arnWild, "arn:aws:secretsmanager:eu*:secret:prod/*", arn, true},
		{arnWild, "arn:aws:secretsmanager:*:prod/*", arn, true},
		{arnWild, "arn:aws:secretsmanager:eu-west-1?111122223333:secret:x", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:x", false},
		// What follows the fifth colon is one segment.
		{arnWild, "arn:aws:secretsmanager:eu-west-1:111122223333:s*db-*3", arn, true},
		{arnWild, "arn:aws:secretsmanager:*-*-?:*:s*b?a1*", arn, true},
		// Variables are text, whatever they hold.
		{arnWild, "arn:aws:iam::1:user/${aws:username}", "arn:aws:iam::1:user/an*a", true},
		{arnWild, "arn:aws:iam::1:user/${aws:username}", "arn:aws:iam::1:user/anna", false},
		{arnWild, "arn:aws:iam::1:user/${aws:username}/*", "arn:aws:iam::1:user/an*a/x", true},
		{arnWild, "arn:aws:iam::1:user/${aws:PrincipalTag/team}", "arn:aws:iam::1:user/blue:?", true},
		{arnWild, "arn:aws:iam::1:user/${AWS:PRINCIPALTAG/TEAM}", "arn:aws:iam::1:user/blue:x", false},
		{arnWild, "arn:aws:iam::1:user/x${aws:PrincipalTag/empty}", "arn:aws:iam::1:user/x", true},
		{arnWild, "arn:aws:iam::1:user/${aws:PrincipalTag/none}", "arn:aws:iam::1:user/", false},
		{arnWild, "arn:aws:iam::1:user/${aws:PrincipalTag/none, 'd*'}", "arn:aws:iam::1:user/d*", true},
		{arnWild, "arn:aws:iam::1:user/${aws:PrincipalTag/none,'d*'}", "arn:aws:iam::1:user/dd", false},
		{arnWild, "arn:aws:iam::1:user/${aws:PrincipalTag/team, 'd'}", "arn:aws:iam::1:user/d", false},
		{arnWild, "arn:aws:iam::1:user/${aws:PrincipalTag/two}", "arn:aws:iam::1:user/a", false},
		{arnWild, "arn:aws:iam::1:user/${aws:PrincipalTag/two, 'd'}", "arn:aws:iam::1:user/d", false},
		{arnWild, "arn:aws:iam::1:user/${*}${?}${$}{x}", "arn:aws:iam::1:user/*?${x}", true},
		{arnWild, "arn:aws:iam::1:user/${*}", "arn:aws:iam::1:user/x", false},
	}
	for _, tt := range tests {
		p, err := parsePattern(tt.pattern, tt.mode, true)
		if err != nil {
			t.Errorf("%q: %v", tt.pattern, err)
			continue
		}
		if got, _ := p.match(tt.text, req); got != tt.match {
			t.Errorf("%q matches %q: %v, want %v", tt.pattern, tt.text, got, tt.match)
		}
		if tt.match && p.cannot(tt.text, placeOf(tt.text)) {
			t.Errorf("%q is said not to match %q", tt.pattern, tt.text)
		}
	}
}

// naiveMatch is the meaning of a pattern without variables, told as a regular
// expression.
func naiveMatch(pattern string, mode patternMode, s string) bool {
	var re strings.Builder
	re.WriteString(`(?s)\A`)
	colons := 0
	for i, r := range pattern {
		here := mode == arnWild && colons < 5
		rest := pattern[i+utf8.RuneLen(r):]
		switch {
		case mode == literal:
			re.WriteString(regexp.QuoteMeta(string(r)))
		case r == '*' && here && rest != "" && rest[0] != ':':
			re.WriteString(`[^:]*`)
		case r == '*':
			re.WriteString(`.*`)
		case r == '?' && here:
			re.WriteString(`[^:]`)
		case r == '?':
			re.WriteString(`.`)
		default:
			re.WriteString(regexp.QuoteMeta(string(r)))
		}
		if r == ':' {
			colons++
		}
	}
	re.WriteString(`\z`)
	return regexp.MustCompile(re.String()).MatchString(s)
}

func FuzzPattern(f *testing.F) {
	f.Add("a*b?c", "aXbYc")
	f.Add("arn:aws:s*:e*t-?:*:secret:*", "arn:aws:sm:eu-west-1:1:secret:x-y")
	f.Add("*a*a:*:", "aaa:a:a:")
	f.Add("a*é?*", "aéé")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(text) || len(pattern) > 200 || len(text) > 500 {
			return
		}
		for _, mode := range []patternMode{literal, wildcard, arnWild} {
			p, err := parsePattern(pattern, mode, false)
			if err != nil {
				t.Fatalf("%q without variables: %v", pattern, err)
			}
			got, known := p.match(text, nil)
			want := naiveMatch(pattern, mode, text)
			if got != want || !known {
				t.Fatalf("mode %d: %q matches %q: %v, want %v", mode, pattern, text, got, want)
			}
			if want && p.cannot(text, placeOf(text)) {
				t.Fatalf("mode %d: %q is said not to match %q", mode, pattern, text)
			}
		}
	})
}

// A pattern with a variable means what the same pattern does with the value
// quoted.
func FuzzVariable(f *testing.F) {
	f.Add("arn:aws:iam::1:user/", "/*", "an*a", "arn:aws:iam::1:user/an*a/x")
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, before, after, value, text string) {
		for _, s := range []string{before, after, value, text} {
			if !utf8.ValidString(s) || len(s) > 100 {
				return
			}
		}
		if strings.Contains(before+after, "$") {
			return
		}
		req := &Request{Extra: []Pair{{"x:y", value}}}
		p, err := parsePattern(before+"${x:y}"+after, wildcard, true)
		if err != nil {
			t.Fatal(err)
		}
		got, known := p.match(text, req)
		want := false
		for i := 0; i <= len(text) && !want; i++ {
			rest, ok := strings.CutPrefix(text[i:], value)
			want = ok && naiveMatch(before, wildcard, text[:i]) && naiveMatch(after, wildcard, rest)
		}
		if got != want || !known {
			t.Fatalf("%q with %q matches %q: %v, want %v", p.source, value, text, got, want)
		}
	})
}

// No pattern that fits a document takes long on any text that fits a request.
func TestPatternsAreNoWeapon(t *testing.T) {
	texts := []string{strings.Repeat("a", 2048), "arn:aws:secretsmanager:" + strings.Repeat("a", 2000), strings.Repeat("a:", 1024)}
	units := []string{"*a", "*a?", "?*", "*:", "*a*b", "**", "a*"}
	prefixes := []string{"", "arn:aws:secretsmanager:", "arn:aws:secretsmanager:a*a:", "arn:aws:secretsmanager:::"}
	start := time.Now()
	n := 0
	for _, text := range texts {
		for _, unit := range units {
			for _, prefix := range prefixes {
				for _, size := range []int{MaxBytes, len(text) * 2, len(text), len(text) / 2} {
					src := prefix + strings.Repeat(unit, (size-len(prefix))/len(unit)) + "b"
					p, err := parsePattern(src, arnWild, false)
					if err != nil {
						t.Fatal(err)
					}
					p.match(text, nil)
					n++
				}
			}
		}
	}
	if took := time.Since(start) / time.Duration(n); took > 100*time.Millisecond {
		t.Errorf("matching takes %v a pattern", took)
	}
	t.Logf("%v a pattern", time.Since(start)/time.Duration(n))
}
