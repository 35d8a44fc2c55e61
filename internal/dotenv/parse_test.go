package dotenv_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/dotenv"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// flat makes pairs comparable: key, value, key, value.
func flat(pairs []dotenv.Pair) []string {
	out := []string{}
	for _, p := range pairs {
		out = append(out, p.Key, string(p.Value.Reveal()))
	}
	return out
}

func pairs(kv ...string) []dotenv.Pair {
	var out []dotenv.Pair
	for i := 0; i < len(kv); i += 2 {
		out = append(out, dotenv.Pair{Key: kv[i], Value: sensitive.FromString(kv[i+1])})
	}
	return out
}

func mustParse(t testing.TB, text string) *dotenv.File {
	t.Helper()
	f, err := dotenv.Parse([]byte(text))
	if err != nil {
		t.Fatalf("parsing: %v", err)
	}
	return f
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{}},
		{"only-comments", "# a\n\n  # b", []string{}},
		{"plain", "A=1\nB=two\n", []string{"A", "1", "B", "two"}},
		{"no-final-newline", "A=1", []string{"A", "1"}},
		{"crlf", "A=1\r\n\r\nB=2\r\n", []string{"A", "1", "B", "2"}},
		{"bom", "\ufeffA=1\n", []string{"A", "1"}},
		{"blanks", "  A \t=  x y\t \n", []string{"A", "x y"}},
		{"export-as-key", "export  =3\nexported=4\nexport export_C=5", []string{"export", "3", "exported", "4", "export_C", "5"}},
		{"exported", "export A=1\n\texport \t B = 2\n", []string{"A", "1", "B", "2"}},
		{"empty-values", "A=\nB=  \nC=''\nD=\"\"\nE=``\nF= # c\nG=", []string{"A", "", "B", "", "C", "", "D", "", "E", "", "F", "", "G", ""}},
		{"inline-comment", "A=x # c\nB=x# y\nC=#x\nD=x\t#c", []string{"A", "x", "B", "x# y", "C", "#x", "D", "x"}},
		{"literal", `A=it's "x" \n $HOME ${B} ` + "`id`\n", []string{"A", `it's "x" \n $HOME ${B} ` + "`id`"}},
		{"equals", "A==x=\n", []string{"A", "=x="}},
		{"unicode-blank-stays", "A=\u00a0x\u00a0\n", []string{"A", "\u00a0x\u00a0"}},
		{"single", `A='a\n"$X # ' # c`, []string{"A", `a\n"$X # `}},
		{"single-lines", "A='a\n\n# b\r\nC=1'\nB=2", []string{"A", "a\n\n# b\r\nC=1", "B", "2"}},
		{"single-backslash", `A='a\'`, []string{"A", `a\`}},
		{"double", `A="a\n\r\t\\\"\$\` + "`" + `\x\'#'"` + "\t#c", []string{"A", "a\n\r\t\\\"$`\\x\\'#'"}},
		{"double-lines", "A=\"a\nB=\\\n\"\n", []string{"A", "a\nB=\\\n"}},
		{"double-escaped-end", `A="\\"`, []string{"A", `\`}},
		{"double-interpolation", `A="$HOME ${X} $(id)"`, []string{"A", "$HOME ${X} $(id)"}},
		{"back", "A=`it's \"x\" \\n`", []string{"A", `it's "x" \n`}},
		{"long", "A=" + strings.Repeat("x", 1<<20), []string{"A", strings.Repeat("x", 1<<20)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := dotenv.Parse([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, flat(f.Pairs())); d != "" {
				t.Errorf("variables (-want +got):\n%s", d)
			}
			if got := string(f.Bytes().Reveal()); got != tt.text {
				t.Errorf("writes %q, want %q", got, tt.text)
			}
			for _, p := range f.Pairs() {
				if v, ok := f.Get(p.Key); !ok || !v.Equal(p.Value) {
					t.Errorf("Get(%s) differs from Pairs", p.Key)
				}
			}
			if _, ok := f.Get("absent"); ok {
				t.Error("an absent key is there")
			}
		})
	}
}

const canary = "cAnArY"

func TestRefused(t *testing.T) {
	var many strings.Builder
	for i := range dotenv.MaxKeys + 1 {
		fmt.Fprintf(&many, "K%d=\n", i)
	}
	tests := []struct {
		name, text, says string
		kind             errs.Kind
	}{
		{"single-open", "A=1\n# x\nB='cAnArY\nC=2\n", "line 3: B: the quote ' that begins the value is not closed", errs.Invalid},
		{"double-open", "A=\"cAnArY\\\"\n", `line 1: A: the quote " that begins the value is not closed`, errs.Invalid},
		{"back-open", "A=`cAnArY\n", "line 1: A: the quote ` that begins the value is not closed", errs.Invalid},
		{"text-after", "A='x\ny'cAnArY\n", "line 2: A: text after the quote ' that closes the value, which began on line 1; a backslash escapes in double quotes only", errs.Invalid},
		{"text-after-double", `A="cAnArY" x`, `line 1: A: text after the quote " that closes the value, which began on line 1`, errs.Invalid},
		{"comment-touches-quote", `A="cAnArY"#x`, `line 1: A: text after the quote " that closes the value, which began on line 1`, errs.Invalid},
		{"no-equals", "A=1\ncAnArY\n", `line 2: neither KEY=VALUE nor a comment; a value of several lines stands in quotes, a comment begins with "#"`, errs.Invalid},
		{"export-alone", "export cAnArY\n", `line 1: neither KEY=VALUE nor a comment; a value of several lines stands in quotes, a comment begins with "#"`, errs.Invalid},
		{"yaml", "cAnArY: x\n", `line 1: neither KEY=VALUE nor a comment; a value of several lines stands in quotes, a comment begins with "#"`, errs.Invalid},
		{"key-with-blank", "A cAnArY=1\n", `line 1: what stands before "=" is no name of a variable: letters, digits and _ of ASCII, and no digit first`, errs.Invalid},
		{"key-with-dot", "cAnArY.x=1\n", `line 1: what stands before "=" is no name of a variable: letters, digits and _ of ASCII, and no digit first`, errs.Invalid},
		{"key-with-digit", "1cAnArY=1\n", `line 1: what stands before "=" is no name of a variable: letters, digits and _ of ASCII, and no digit first`, errs.Invalid},
		{"no-key", "=cAnArY\n", `line 1: what stands before "=" is no name of a variable: letters, digits and _ of ASCII, and no digit first`, errs.Invalid},
		{"bom-within", "A=1\n\ufeffcAnArY=1\n", `line 2: what stands before "=" is no name of a variable: letters, digits and _ of ASCII, and no digit first`, errs.Invalid},
		{"twice", "A=\"\n\"\n\nB=2\nexport A=cAnArY\n", `line 5: key "A" again: it is on line 1 already`, errs.Invalid},
		{"twice-the-same", "A=1\nA=1\n", `line 2: key "A" again: it is on line 1 already`, errs.Invalid},
		{"nul", "A=1\nB=cAnArY\x00\n", "line 2: a NUL, which no variable can hold", errs.Invalid},
		{"nul-in-comment", "#\x00\n", "line 1: a NUL, which no variable can hold", errs.Invalid},
		{"not-utf8", "A=1\n\nB=cAnArY\xff\n", "line 3: not UTF-8", errs.Invalid},
		{"lone-cr", "A=cAnArY\rB=1\n", "line 1: a carriage return within the line, which some readers take for its end", errs.Invalid},
		{"lone-cr-in-comment", "A=1\r\n# x\rcAnArY=1\r\n", "line 2: a carriage return within the line, which some readers take for its end", errs.Invalid},
		{"lone-cr-at-end", "A=cAnArY\r", "line 1: a carriage return within the line, which some readers take for its end", errs.Invalid},
		{"lone-cr-after-quote", "A='cAnArY'\r", "line 1: a carriage return within the line, which some readers take for its end", errs.Invalid},
		{"long-key", strings.Repeat("K", dotenv.MaxKey+1) + "=cAnArY", "line 1: the key is longer than 256 bytes", errs.Limit},
		{"many-keys", many.String(), "line 4097: more than 4096 variables", errs.Limit},
		{"large", "A=" + strings.Repeat("x", dotenv.MaxSize-1), "the file is larger than 4194304 bytes", errs.Limit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := dotenv.Parse([]byte(tt.text))
			if err == nil {
				t.Fatal("was read")
			}
			if err.Error() != tt.says || errs.KindOf(err) != tt.kind {
				t.Errorf("says %s %q,\nwant %s %q", errs.KindOf(err), err, tt.kind, tt.says)
			}
			if strings.Contains(err.Error(), canary) {
				t.Error("the error holds what may be a value")
			}
		})
	}
}

func TestAtTheLimits(t *testing.T) {
	var many strings.Builder
	for i := range dotenv.MaxKeys {
		fmt.Fprintf(&many, "K%d=\n", i)
	}
	for name, text := range map[string]string{
		"long-key":  strings.Repeat("K", dotenv.MaxKey) + "=x",
		"many-keys": many.String(),
		"large":     "A=" + strings.Repeat("x", dotenv.MaxSize-2),
		"gaps":      strings.Repeat("\n", dotenv.MaxSize),
	} {
		t.Run(name, func(t *testing.T) { mustParse(t, text) })
	}
	t.Run("one-more", func(t *testing.T) {
		f := mustParse(t, many.String())
		if err := f.Set("ONE_MORE", sensitive.Bytes{}); !errs.Is(err, errs.Limit) {
			t.Errorf("setting one key too many: %v", err)
		}
		if _, ok := f.Get("ONE_MORE"); ok || len(f.Keys()) != dotenv.MaxKeys {
			t.Error("a refused key is there")
		}
	})
	t.Run("too-large", func(t *testing.T) {
		f := mustParse(t, "A=1\n")
		if err := f.Set("A", sensitive.New(filler(dotenv.MaxSize))); !errs.Is(err, errs.Limit) {
			t.Errorf("setting a value too large: %v", err)
		}
		if got := string(f.Bytes().Reveal()); got != "A=1\n" {
			t.Errorf("after the refusal the file is %.20q", got)
		}
	})
}

func filler(n int) []byte { return []byte(strings.Repeat("x", n)) }

// TestNothingPrints holds that printing a file or a pair shows no value and no
// comment, whatever the verb and wherever it is nested.
func TestNothingPrints(t *testing.T) {
	f := mustParse(t, "A="+canary+" # "+canary+"\n# "+canary+"\n")
	in := struct {
		f *dotenv.File
		g dotenv.File
		p []dotenv.Pair
	}{f, *f, f.Pairs()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{f, *f, f.Pairs(), in, f.Bytes()} {
			s := fmt.Sprintf(verb, v)
			if strings.Contains(s, canary) || strings.Contains(s, fmt.Sprintf("%x", canary)) || strings.Contains(s, fmt.Sprintf("%d", canary[0])+" "+fmt.Sprintf("%d", canary[1])) {
				t.Errorf("%s of %T prints the value", verb, v)
			}
		}
	}
}
