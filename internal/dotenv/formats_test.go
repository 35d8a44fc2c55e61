package dotenv_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"countersign/internal/dotenv"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// nasty are values that some reader gets wrong. No value of a variable holds a
// NUL.
var nasty = []string{
	"", "plain", " ", " lead", "trail ", "\t", "a b", "a\tb", "\n", "a\n", "\na", "a\n\nb\n\n", "a\\nb", "a\\", "\\", "\\\\", "a\\\nb", `\'`, `\"`,
	"'", "''", `"`, `""`, "`", "``", "it's", `"it's"`, `it's "x" $HOME ` + "`id` \\ \n end", "'\\''", "a'b\"c`d$e\\f", "'\n'\n\"", "'a'", `"a"`, "`a`",
	"$HOME", "${HOME}", "$(id)", "`id`", "$$", "$1", "'$HOME", "'$(id)", "'`id`", `'\$HOME`, "!x", "'!x", "~", "~/x", "a:~/x", "=x", ":x", "*", "?", "[a]", "{a,b}", "-n", "-e x",
	"#", "#x", "a#b", "a #b", " #", "'#", "' # x", "a=b", "export A=1", "A=1\nB=2", "x\n# c\nB=2", ";", "a;b", "&", "|", "<x", ">x", "(", ")",
	"-----BEGIN KEY-----\nMIIE==\n-----END KEY-----\n", "ünïcödé", "日本語", "😀", "\u00a0x\u00a0", "\u2028", "\u2029", "\u0085", "\ufeff", "\u200b", "e\u0301", "\x01\x02\x1b[0m\x7f", "\v\f",
	"null", "~", "true", "NO", "on", "0", "010", "0x1F", "1e3", "1_000", "12:30:45", "2026-01-02", ".inf", "---", "...", "? x", "- x", ": ", "!!int 3", "&a", "*a", "%x", "@x", "|", ">",
	`{"a":"b\\n\u0041","c":["'"]}`, "%s%n", strings.Repeat("long ", 40000), strings.Repeat("x", 200000),
}

// withCR are nasty too; no spelling of them is read alike by the shell and node.
var withCR = []string{"\r", "a\r\nb\r\n", "\r'", "\r\n\\ $ \" ' `", "a\\r\r"}

func nastyPairs(values []string) []dotenv.Pair {
	var out []dotenv.Pair
	for i, v := range values {
		out = append(out, dotenv.Pair{Key: fmt.Sprintf("NASTY_%d", i), Value: sensitive.FromString(v)})
	}
	return out
}

func TestEncodeReadsBack(t *testing.T) {
	want := nastyPairs(append(withCR, nasty...))
	text, err := dotenv.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(flat(want), flat(mustParse(t, string(text.Reveal())).Pairs())); d != "" {
		t.Errorf("read back (-want +got):\n%s", d)
	}
	crlf := mustParse(t, "# c\r\n")
	if _, err := dotenv.Update(crlf, want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(flat(want), flat(mustParse(t, string(crlf.Bytes().Reveal())).Pairs())); d != "" {
		t.Errorf("read back from a CRLF file (-want +got):\n%s", d)
	}
	if lf := bytes.ReplaceAll(crlf.Bytes().Reveal(), []byte("\r\n"), nil); bytes.ContainsAny(lf, "\r\n") {
		t.Error("a CRLF file got a line end of another kind")
	}
}

// TestShellReads gives files to the real shell and asks it for the values.
func TestShellReads(t *testing.T) {
	files := []struct {
		name string
		make func([]dotenv.Pair) (sensitive.Bytes, error)
		want []dotenv.Pair
	}{
		{"dotenv", dotenv.Encode, nastyPairs(nasty)},
		{"shell", dotenv.Shell, nastyPairs(append(withCR, nasty...))},
	}
	shells := []string{"sh"}
	if _, err := exec.LookPath("bash"); err == nil {
		shells = append(shells, "bash")
	}
	for _, f := range files {
		for _, sh := range shells {
			t.Run(f.name+"-"+sh, func(t *testing.T) {
				text, err := f.make(f.want)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(flat(f.want), source(t, sh, text, f.want)); d != "" {
					t.Errorf("the shell reads (-want +got):\n%s", d)
				}
			})
		}
	}
}

// source has a shell read a file and print each variable.
func source(t *testing.T, shell string, text sensitive.Bytes, want []dotenv.Pair) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vars")
	if err := dotenv.WriteFile(file, text); err != nil {
		t.Fatal(err)
	}
	out := []string{}
	const batch = 40 // variables asked of one shell
	for len(want) > 0 {
		n := min(batch, len(want))
		args := []string{"-c", `set -eu -a; . "$1"; shift; for k; do eval "printf '%s\\0' \"\$$k\""; done`, shell, file}
		for _, p := range want[:n] {
			args = append(args, p.Key)
		}
		cmd := exec.CommandContext(t.Context(), shell, args...)
		cmd.Env = []string{"HOME=/home/x", "PATH=" + os.Getenv("PATH")}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		got, err := cmd.Output()
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("%s: %v: %s", shell, err, stderr.String())
		}
		values := strings.Split(strings.TrimSuffix(string(got), "\x00"), "\x00")
		if len(values) != n {
			t.Fatalf("%s printed %d values, want %d", shell, len(values), n)
		}
		for i, v := range values {
			out = append(out, want[i].Key, v)
		}
		want = want[n:]
	}
	return out
}

func TestJSONReads(t *testing.T) {
	want := append(nastyPairs(append(withCR, nasty...)), pairs("", "no key", "a \"key\"\n", "x", "<&>", "<&>\x00")...)
	text, err := dotenv.JSON(want)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text.Reveal()))
	got := []string{}
	for {
		tok, err := d.Token()
		if err != nil {
			break
		}
		if s, ok := tok.(string); ok {
			got = append(got, s)
		}
	}
	if diff := cmp.Diff(flat(want), got); diff != "" || !json.Valid(text.Reveal()) {
		t.Errorf("JSON reads (-want +got):\n%s", diff)
	}
}

func TestYAMLReads(t *testing.T) {
	want := append(nastyPairs(append(withCR, nasty...)), pairs("yes", "a", "12", "b", "", "c", "a: b", "d", "nul\x00", "\x00", strings.Repeat("k", 2000), "e", "after", "f",
		strings.Repeat("\x01", 300), "g")...)
	text, err := dotenv.YAML(want)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text.Reveal(), &doc); err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, n := range doc.Content[0].Content {
		if n.Tag != "!!str" {
			t.Errorf("line %d is %s", n.Line, n.Tag)
		}
		got = append(got, n.Value)
	}
	if diff := cmp.Diff(flat(want), got); diff != "" {
		t.Errorf("YAML reads (-want +got):\n%s", diff)
	}
}

func TestFormat(t *testing.T) {
	vars := pairs("A", "1", "B", "it's\n")
	for format, want := range map[string]string{
		"dotenv": "A=1\nB=\"it's\n\"\n",
		"shell":  "export A='1'\nexport B='it'\\''s\n'\n",
		"json":   "{\n  \"A\": \"1\",\n  \"B\": \"it's\\n\"\n}\n",
		"yaml":   "\"A\": \"1\"\n\"B\": \"it's\\n\"\n",
	} {
		if got, err := dotenv.Format(format, vars); err != nil || string(got.Reveal()) != want {
			t.Errorf("%s writes %q, %v, want %q", format, got.Reveal(), err, want)
		}
		if got, err := dotenv.Format(format, nil); err != nil || strings.TrimSpace(string(got.Reveal())) != map[string]string{"json": "{}", "yaml": "{}"}[format] {
			t.Errorf("%s writes %q, %v for nothing", format, got.Reveal(), err)
		}
	}
	if got := dotenv.Formats(); len(got) != 4 {
		t.Errorf("formats are %v", got)
	}
	_, err := dotenv.Format("toml", vars)
	if !errs.Is(err, errs.Invalid) || err.Error() != `"toml" is none of dotenv, json, yaml, shell` {
		t.Errorf("an unknown format: %v", err)
	}
}

func TestFormatsRefuse(t *testing.T) {
	for name, in := range map[string][]dotenv.Pair{
		"twice":        pairs("A", canary, "A", canary),
		"not-utf8":     pairs("A", canary+"\xff"),
		"key-not-utf8": pairs("A\xff", canary),
	} {
		for _, format := range dotenv.Formats() {
			if got, err := dotenv.Format(format, in); !errs.Is(err, errs.Invalid) || strings.Contains(err.Error(), canary) || got.Len() > 0 {
				t.Errorf("%s of %s: %v", format, name, err)
			}
		}
	}
}
