package secret_test

import (
	"math"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
)

func TestRandomPassword(t *testing.T) {
	f := start(t, coretest.Config{})
	const every = secret.Lowercase + secret.Uppercase + secret.Digits + secret.Punctuation
	for _, x := range []struct {
		name string
		req  secret.PasswordRequest
		from string // characters that may occur; the code of the error in brackets
		n    int
	}{
		{"default", secret.PasswordRequest{}, every, 32},
		{"one", secret.PasswordRequest{Length: 1}, every, 1},
		{"longest", secret.PasswordRequest{Length: 4096}, every, 4096},
		{"too-long", secret.PasswordRequest{Length: 4097}, "(invalid@PasswordLength)", 0},
		{"negative", secret.PasswordRequest{Length: -1}, "(invalid@PasswordLength)", 0},
		{"digits", secret.PasswordRequest{NoLowercase: true, NoUppercase: true, NoPunctuation: true}, secret.Digits, 32},
		{"space", secret.PasswordRequest{NoLowercase: true, NoUppercase: true, NoPunctuation: true, NoDigits: true, Space: true}, " ", 32},
		{"excluded", secret.PasswordRequest{Exclude: every[1:]}, "a", 32},
		{"each-without-an-excluded-class", secret.PasswordRequest{Exclude: secret.Digits, Each: true, Length: 3}, secret.Lowercase + secret.Uppercase + secret.Punctuation, 3},
		{"each-too-short", secret.PasswordRequest{Each: true, Length: 3}, "(invalid@PasswordLength)", 0},
		{"nothing-left", secret.PasswordRequest{Exclude: every}, "(invalid@ExcludeCharacters)", 0},
		{"all-classes-out", secret.PasswordRequest{NoLowercase: true, NoUppercase: true, NoPunctuation: true, NoDigits: true}, "(invalid@ExcludeCharacters)", 0},
		{"long-exclusion", secret.PasswordRequest{Exclude: strings.Repeat("a", 4097)}, "(invalid@ExcludeCharacters)", 0},
		{"not-utf8-exclusion", secret.PasswordRequest{Exclude: "\xff\xfe"}, every, 32},
	} {
		t.Run(x.name, func(t *testing.T) {
			p, err := f.Secrets.RandomPassword(f.ctx, f.Admin, x.req)
			if err != nil {
				if got := "(" + code(err) + ")"; got != x.from {
					t.Errorf("got %s, want %s", got, x.from)
				}
				return
			}
			if p.Len() != x.n {
				t.Errorf("%d characters, want %d", p.Len(), x.n)
			}
			for _, c := range p.Reveal() {
				if strings.IndexByte(x.from, c) < 0 {
					t.Errorf("%q may not occur", c)
				}
			}
		})
	}
}

func TestRandomPasswordHoldsOneOfEach(t *testing.T) {
	f := start(t, coretest.Config{})
	first := map[byte]int{}
	for range 500 {
		p, err := f.Secrets.RandomPassword(f.ctx, f.Admin, secret.PasswordRequest{Length: 5, Each: true, Space: true})
		f.must(err)
		for _, class := range []string{secret.Lowercase, secret.Uppercase, secret.Digits, secret.Punctuation, " "} {
			if !strings.ContainsAny(string(p.Reveal()), class) {
				t.Fatalf("none of %q in a password", class)
			}
		}
		for i, class := range []string{secret.Lowercase, secret.Uppercase, secret.Digits, secret.Punctuation, " "} {
			if strings.IndexByte(class, p.Reveal()[0]) >= 0 {
				first[byte(i)]++
			}
		}
	}
	for class, n := range first { // expected 100, standard deviation 9
		if n < 50 || n > 150 {
			t.Errorf("class %d stands first %d times in 500", class, n)
		}
	}
}

func TestRandomPasswordIsUniform(t *testing.T) {
	f := start(t, coretest.Config{})
	count := map[byte]int{}
	const rounds = 20
	for range rounds {
		p, err := f.Secrets.RandomPassword(f.ctx, f.Admin, secret.PasswordRequest{Length: 4096})
		f.must(err)
		for _, c := range p.Reveal() {
			count[c]++
		}
	}
	const kinds = 26 + 26 + 10 + 32
	want := float64(rounds*4096) / kinds
	chi := 0.0
	for _, n := range count {
		chi += math.Pow(float64(n)-want, 2) / want
	}
	if len(count) != kinds || chi > 170 { // 93 degrees of freedom: above 170 once in 10^6
		t.Errorf("%d characters, chi squared %.0f", len(count), chi)
	}
}
