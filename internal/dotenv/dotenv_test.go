package dotenv_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/dotenv"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

func TestSet(t *testing.T) {
	tests := []struct{ name, text, key, value, want string }{
		{"same-keeps-spelling", "A=\"1\"  # c\n", "A", "1", "A=\"1\"  # c\n"},
		{"in-place", "# top\nA=1\nexport  B = 2 # why\nC=3\n", "B", "x y", "# top\nA=1\nexport  B = 'x y' # why\nC=3\n"},
		{"quoted-before", "A=\"1\n2\"\t#c\n", "A", "3", "A=3\t#c\n"},
		{"was-empty", "A= # c\nB=\n", "A", "x y", "A='x y' # c\nB=\n"},
		{"was-empty-blanks", "A=  \n", "A", "x", "A=x  \n"},
		{"becomes-empty", "A=x # c\n", "A", "", "A= # c\n"},
		{"last-line", "A=1", "A", "2", "A=2"},
		{"new", "A=1\n", "B", "2", "A=1\nB=2\n"},
		{"new-after-no-newline", "A=1", "B", "2", "A=1\nB=2\n"},
		{"new-after-comment", "# c", "B", "2", "# c\nB=2\n"},
		{"new-in-crlf", "A=1\r\nB=2", "C", "3", "A=1\r\nB=2\r\nC=3\r\n"},
		{"new-in-empty", "", "C", "3", "C=3\n"},
		{"new-in-bom", "\ufeff", "C", "3", "\ufeffC=3\n"},
		{"lines", "A=1\n", "A", "x\ny\n", "A='x\ny\n'\n"},
		{"lines-in-crlf", "A=1\r\n", "A", "x\ny", "A=\"x\\ny\"\r\n"},
		{"dollar", "A=1\n", "A", "$HOME", "A='$HOME'\n"},
		{"hash", "A=1\n", "A", "a#b", "A='a#b'\n"},
		{"apostrophe", "A=1\n", "A", "it's", "A=\"it's\"\n"},
		{"everything", "A=1\n", "A", "'\"$`\\\n", "A=\"'\\\"\\$\\`\\\\\n\"\n"},
		{"carriage-return", "A=1\n", "A", "x\r\n\\y", "A=\"x\\r\\n\\\\y\"\n"},
		{"url", "A=1\n", "A", "https://h.example:8200/x,y=%2F+@", "A=https://h.example:8200/x,y=%2F+@\n"},
		{"tilde", "A=1\n", "A", "~/x", "A='~/x'\n"},
		{"equals-first", "A=1\n", "A", "=x", "A='=x'\n"},
		{"unicode", "A=1\n", "A", "ü", "A='ü'\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustParse(t, tt.text)
			before := f.Pairs()
			if err := f.Set(tt.key, sensitive.FromString(tt.value)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, string(f.Bytes().Reveal())); d != "" {
				t.Errorf("the file (-want +got):\n%s", d)
			}
			checkOnlyChanged(t, f, before, tt.key, tt.value)
		})
	}
}

// checkOnlyChanged reads a written file again and holds that nothing but one
// key differs.
func checkOnlyChanged(t *testing.T, f *dotenv.File, before []dotenv.Pair, key, value string) {
	t.Helper()
	want, found := []string{}, false
	for _, p := range before {
		v := string(p.Value.Reveal())
		if p.Key == key {
			v, found = value, true
		}
		want = append(want, p.Key, v)
	}
	if !found {
		want = append(want, key, value)
	}
	if d := cmp.Diff(want, flat(f.Pairs())); d != "" {
		t.Errorf("variables in memory (-want +got):\n%s", d)
	}
	again, err := dotenv.Parse(f.Bytes().Reveal())
	if err != nil {
		t.Fatalf("reading again: %v", err)
	}
	if d := cmp.Diff(want, flat(again.Pairs())); d != "" {
		t.Errorf("variables read again (-want +got):\n%s", d)
	}
}

func TestSetRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, key, value, says string
		kind                   errs.Kind
	}{
		{"bad-key", "a.b", canary, `"a.b" is no name of a variable: letters, digits and _ of ASCII, and no digit first`, errs.Invalid},
		{"no-key", "", canary, `"" is no name of a variable: letters, digits and _ of ASCII, and no digit first`, errs.Invalid},
		{"injection", "A=1\nB", canary, `"A=1\nB" is no name of a variable: letters, digits and _ of ASCII, and no digit first`, errs.Invalid},
		{"long-key", strings.Repeat("K", 257), canary, "a key of 257 bytes is longer than 256", errs.Limit},
		{"nul", "A", canary + "\x00", "A: the value has a NUL, which no variable can hold", errs.Invalid},
		{"not-utf8", "A", canary + "\xff", "A: the value is not UTF-8", errs.Invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := mustParse(t, "A=1\n")
			v := sensitive.FromString(tt.value)
			_, encodeErr := dotenv.Encode([]dotenv.Pair{{Key: tt.key, Value: v}})
			_, shellErr := dotenv.Shell([]dotenv.Pair{{Key: tt.key, Value: v}})
			for _, err := range []error{f.Set(tt.key, v), encodeErr, shellErr} {
				if err == nil || err.Error() != tt.says || errs.KindOf(err) != tt.kind {
					t.Errorf("says %v, want %q", err, tt.says)
				}
			}
			if got := string(f.Bytes().Reveal()); got != "A=1\n" {
				t.Errorf("after the refusal the file is %q", got)
			}
		})
	}
}

func TestUnset(t *testing.T) {
	f := mustParse(t, "# a\nA=1 # x\n# b\nB='\n'\nC=3")
	for _, k := range []string{"B", "C"} {
		if !f.Unset(k) {
			t.Errorf("%s was not there", k)
		}
	}
	if f.Unset("B") {
		t.Error("B was there twice")
	}
	if got, want := string(f.Bytes().Reveal()), "# a\nA=1 # x\n# b\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	if v, ok := f.Get("A"); !ok || string(v.Reveal()) != "1" {
		t.Error("A is lost")
	}
}

const project = "\ufeff# The database\r\nexport DB_URL = \"postgres://db\"  # shared\r\n\r\n# gone tomorrow\r\nOLD=1 # note\r\n\r\nKEEP='as it is'\r\n# end"

func TestUpdate(t *testing.T) {
	f := mustParse(t, project)
	got, err := dotenv.Update(f, pairs("NEW_B", "2", "DB_URL", "postgres://it's", "KEEP", "as it is", "NEW_A", "l\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := dotenv.Changes{Added: []string{"NEW_B", "NEW_A"}, Changed: []string{"DB_URL"}, Removed: []string{"OLD"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("changes (-want +got):\n%s", d)
	}
	text := "\ufeff# The database\r\nexport DB_URL = \"postgres://it's\"  # shared\r\n\r\n# gone tomorrow\r\n\r\nKEEP='as it is'\r\n# end\r\nNEW_B=2\r\nNEW_A=\"l\\n\"\r\n"
	if d := cmp.Diff(text, string(f.Bytes().Reveal())); d != "" {
		t.Errorf("the file (-want +got):\n%s", d)
	}
	if again, err := dotenv.Update(f, f.Pairs()); err != nil || len(again.Added)+len(again.Changed)+len(again.Removed) != 0 || string(f.Bytes().Reveal()) != text {
		t.Errorf("updating with what is there changes something: %+v, %v", again, err)
	}
}

func TestUpdateRefuses(t *testing.T) {
	tests := map[string][]dotenv.Pair{
		"twice":   pairs("A", "1", "B", "2", "A", "3"),
		"bad-key": pairs("A", "1", "b-c", "2"),
		"large":   {{Key: "A", Value: sensitive.New(filler(dotenv.MaxSize))}},
		"many":    make([]dotenv.Pair, dotenv.MaxKeys+1),
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			f := mustParse(t, project)
			if got, err := dotenv.Update(f, want); err == nil {
				t.Errorf("was done: %+v", got)
			}
			if string(f.Bytes().Reveal()) != project {
				t.Error("the refused update changed the file")
			}
		})
	}
}

func TestZeroFile(t *testing.T) {
	var f dotenv.File
	if f.Unset("A") || f.Bytes().Len() != 0 || len(f.Keys()) != 0 {
		t.Error("the zero file is not empty")
	}
	if err := f.Set("A", sensitive.FromString("1")); err != nil || string(f.Bytes().Reveal()) != "A=1\n" {
		t.Errorf("setting in the zero file: %v", err)
	}
}
