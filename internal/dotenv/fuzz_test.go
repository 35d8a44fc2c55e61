package dotenv_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/dotenv"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

var seeds = []string{
	"", "A=1", "\ufeff# c\r\nexport A = 'x\r\ny' # z\r\nB=\"\\n\\\\\\\"\\$\\x\"\r\n\r\n", "A=`x`\nB= # c\nC=#\n", "A='\\'\n", "A\r=1", "A=1\nA=2", "A=\"\\", "export=1", "export  =1", project,
}

// FuzzParse holds for every text that is read: it is written back as it was;
// its variables are the same in a new file; setting them to what they are
// changes no byte; each can be changed without touching another.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := dotenv.Parse(text)
		if err != nil {
			var e *errs.Error
			if !errors.As(err, &e) || e.Kind != errs.Invalid && e.Kind != errs.Limit || e.Err != nil {
				t.Fatalf("refused with %#v", err)
			}
			return
		}
		if got := file.Bytes().Reveal(); string(got) != string(text) {
			t.Fatalf("%q is written as %q", text, got)
		}
		vars := file.Pairs()
		fresh, err := dotenv.Encode(vars)
		if err != nil {
			t.Fatalf("encoding what was read: %v", err)
		}
		if d := cmp.Diff(flat(vars), flat(mustParse(t, string(fresh.Reveal())).Pairs())); d != "" {
			t.Fatalf("in a new file (-want +got):\n%s", d)
		}
		if _, err := dotenv.Update(file, vars); err != nil || string(file.Bytes().Reveal()) != string(text) {
			t.Fatalf("setting what is there changes %q to %q, %v", text, file.Bytes().Reveal(), err)
		}
		for _, p := range vars[:min(len(vars), 20)] {
			file := mustParse(t, string(text))
			if err := file.Set(p.Key, sensitive.FromString("it's\n#\\")); err != nil {
				t.Fatal(err)
			}
			checkOnlyChanged(t, file, vars, p.Key, "it's\n#\\")
		}
	})
}

// FuzzRoundTrip holds that any key and value that is taken is read back from
// any file, beside everything that was there.
func FuzzRoundTrip(f *testing.F) {
	for i, v := range append(withCR, nasty...) {
		f.Add([]byte(seeds[i%len(seeds)]), "NEW", v)
		f.Add([]byte(seeds[i%len(seeds)]), "A", v)
	}
	f.Fuzz(func(t *testing.T, text []byte, key, value string) {
		file, err := dotenv.Parse(text)
		if err != nil {
			file = &dotenv.File{}
		}
		before := file.Pairs()
		if err := file.Set(key, sensitive.FromString(value)); err != nil {
			if len(value) > 8 && strings.Contains(err.Error(), value) && !strings.Contains(fmt.Sprintf("%q", key), value) {
				t.Fatalf("the refusal holds the value: %v", err)
			}
			if dotenv.ValidKey(key) && len(key) <= dotenv.MaxKey && len(value) < 1<<20 && !strings.Contains(value, "\x00") && strings.ToValidUTF8(value, "") == value {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		checkOnlyChanged(t, file, before, key, value)
		file.Unset(key)
		again := mustParse(t, string(file.Bytes().Reveal()))
		want := []string{}
		for _, p := range before {
			if p.Key != key {
				want = append(want, p.Key, string(p.Value.Reveal()))
			}
		}
		if d := cmp.Diff(want, flat(again.Pairs())); d != "" {
			t.Fatalf("after Unset (-want +got):\n%s", d)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text, err := dotenv.Encode(benchPairs())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := dotenv.Parse(text.Reveal()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	want := benchPairs()
	for b.Loop() {
		var f dotenv.File
		if _, err := dotenv.Update(&f, want); err != nil {
			b.Fatal(err)
		}
	}
}

func benchPairs() []dotenv.Pair {
	var out []dotenv.Pair
	for i := range 1000 {
		out = append(out, dotenv.Pair{Key: fmt.Sprintf("KEY_%d", i), Value: sensitive.FromString(nasty[i%80])})
	}
	return out
}
