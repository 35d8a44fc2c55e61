package postgresql_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"

	"countersign/internal/rotator"
	"countersign/internal/rotator/postgresql"
)

// TestVerifier computes the signature of the server in the example of RFC 7677 from
// the verifier of its password.
func TestVerifier(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	v, err := postgresql.VerifierWith("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(v, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
	if !ok {
		t.Fatalf("got %s", v)
	}
	_, key, _ := strings.Cut(rest, ":")
	serverKey, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	m := hmac.New(sha256.New, serverKey)
	m.Write([]byte("n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"))
	if got := base64.StdEncoding.EncodeToString(m.Sum(nil)); got != "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("the server would sign %s", got)
	}
}

// passwords are of every kind that SASLprep treats in another way.
var passwords = []string{
	"plain", " two  spaces ", "tab\tnew\nline\x7f", `quote ' " \ $1 %s`, "ü is one rune", "u\u0308 is two", "\u00a0no break", "ideographic\u3000space",
	"soft\u00adhyphen", "\u00ad", "zero\u200bwidth", "\ufb01 ligature", "Ⅸ and ² and ﹪", "Ａ wide", "\u212b angstrom", "private\ue000use",
	"\u0627\u0628\u062a", "\u06271", "\u0627 latin", "latin \u0627", "\u0221 unassigned in 3.2", "\U0001f511 key", "\u2028 separator", "\ufeff mark", "e\u0301\u0323 order",
	"\u1680ogham", "\u0340 deprecated", "word\u2060joiner", "\ud55c\uad6d", "\u1112\u1161\u11ab", "\u00bd",
}

// TestPrepare holds the verifier to the one that the server computes, and logs in.
func TestPrepare(t *testing.T) {
	s := real(t)
	name, _ := s.login(t, "")
	for _, p := range passwords {
		s.exec(t, "ALTER ROLE "+quote(name)+" PASSWORD '"+strings.ReplaceAll(p, "'", "''")+"'")
		want := s.text(t, "SELECT rolpassword FROM pg_authid WHERE rolname = $1", name)
		parts := strings.FieldsFunc(want, func(r rune) bool { return r == '$' || r == ':' })
		rounds, err := strconv.Atoi(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		salt, err := base64.StdEncoding.DecodeString(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := postgresql.VerifierWith(p, salt, rounds); err != nil || got != want {
			t.Errorf("%+q: the server has\n%s, not\n%s (%v)", p, want, got, err)
		}
		if strings.ContainsRune(p, '\u0340') {
			continue // the server stores it as it is, and pgconn normalizes it
		}
		j := job(nil, rotator.Value{})
		j.Pending, j.Related["tls_ca"] = s.value(t, name, p), s.ca
		if err := postgresql.Kind().New(env()).Test(t.Context(), j); err != nil {
			t.Errorf("%+q: logging in: %v", p, err)
		}
	}
}

func FuzzPrepare(f *testing.F) {
	for _, p := range passwords {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		out := postgresql.Prepare(p)
		if (out == "") != (p == "") {
			t.Fatalf("%+q became %+q", p, out)
		}
		if again := postgresql.Prepare(out); again != out {
			t.Fatalf("%+q became %+q, then %+q", p, out, again)
		}
	})
}
