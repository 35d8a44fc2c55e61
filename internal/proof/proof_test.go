package proof

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/sshsig"
)

// person has a key made of a seed.
type person struct {
	name   string
	signer ssh.Signer
	key    sshsig.PublicKey
}

func newPerson(t testing.TB, name string) person {
	t.Helper()
	seed := []byte(strings.Repeat(name, 32))[:32]
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	k, err := sshsig.ParsePublicKey(string(ssh.MarshalAuthorizedKey(s.PublicKey())))
	if err != nil {
		t.Fatal(err)
	}
	return person{name, s, k}
}

func (p person) vote(t testing.TB, change string, digest []byte) Vote {
	t.Helper()
	sig, err := sshsig.Sign(p.signer, Namespace, SignedText(change, digest))
	if err != nil {
		t.Fatal(err)
	}
	return Vote{By: "arn:aws:iam::111111111111:user/" + p.name, Name: p.name, Digest: digest, Signature: sig, Key: p.key.String()}
}

const (
	value = `{"password":"x"}`
	rule  = `{"name":"prod","match":["*"],"approvals":[{"count":2,"groups":["ops"]}],"signed":true}`
)

func bundle(t testing.TB, people ...person) Bundle {
	t.Helper()
	b := Bundle{Format: Format, Nonce: []byte(strings.Repeat("n", 32)), Version: 4,
		Evidence: Evidence{Account: "111111111111", Change: "01ABC", Noun: "secret", Region: "us-east-1", Name: "db", Operation: "PutValue",
			Author: "arn:aws:iam::111111111111:user/dev", Base: 3, Edit: []byte("e"), Rules: []string{rule}}}
	b.Evidence.Content = Commit(b.Nonce, []byte(value))
	a := Approval{Rule: "prod", Need: 2, Groups: []string{"ops"}}
	for _, p := range people {
		b.Votes = append(b.Votes, p.vote(t, b.Evidence.Change, b.Evidence.Digest()))
		a.By = append(a.By, p.name)
	}
	b.Approvals = []Approval{a}
	return b
}

func TestVerify(t *testing.T) {
	bob, carol, eve := newPerson(t, "bob"), newPerson(t, "carol"), newPerson(t, "eve")
	signers := []Signer{{"bob", bob.key}, {"carol", carol.key}}
	good := bundle(t, bob, carol)
	if r := Verify(good, []byte(value), signers); !r.Proved || len(r.Signed) != 2 || len(r.Trusted) != 1 {
		t.Fatalf("a sound bundle: %+v", r)
	}
	text, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil   func(b *Bundle)
		value   string
		signers []Signer
		want    string
	}{
		"value":          {value: value + " ", want: "not the one that was approved"},
		"base":           {spoil: func(b *Bundle) { b.Evidence.Base++ }, want: "over something else"},
		"name":           {spoil: func(b *Bundle) { b.Evidence.Name = "other" }, want: "over something else"},
		"author":         {spoil: func(b *Bundle) { b.Evidence.Author += "x" }, want: "over something else"},
		"weaker rule":    {spoil: func(b *Bundle) { b.Evidence.Rules[0] = strings.Replace(rule, `"count":2`, `"count":1`, 1) }, want: "over something else"},
		"no rule":        {spoil: func(b *Bundle) { b.Evidence.Rules = nil }, want: "no rule held"},
		"one vote gone":  {spoil: func(b *Bundle) { b.Votes = b.Votes[:1] }, want: "1 are proved"},
		"signature gone": {spoil: func(b *Bundle) { b.Votes[0].Signature = "" }, want: "1 are proved"},
		"counted twice":  {spoil: func(b *Bundle) { b.Votes, b.Approvals[0].By = b.Votes[:1], []string{"bob", "bob"} }, want: "1 are proved"},
		"another's key":  {signers: []Signer{{"bob", eve.key}, {"carol", carol.key}}, want: "none of the keys"},
		"unknown":        {signers: []Signer{{"carol", carol.key}}, want: "no key of bob"},
		"digest moved": {spoil: func(b *Bundle) {
			b.Evidence.Base++
			for i := range b.Votes {
				b.Votes[i].Digest = b.Evidence.Digest()
			}
		}, want: "none of the keys"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			b, err := ParseBundle(text)
			if err != nil {
				t.Fatal(err)
			}
			if c.spoil != nil {
				c.spoil(&b)
			}
			if c.value == "" {
				c.value = value
			}
			if c.signers == nil {
				c.signers = signers
			}
			r := Verify(b, []byte(c.value), c.signers)
			if r.Proved || !strings.Contains(strings.Join(r.Problems, "\n"), c.want) {
				t.Errorf("got %+v, want a problem with %q", r, c.want)
			}
		})
	}
}

func TestParseSigners(t *testing.T) {
	bob := newPerson(t, "bob")
	got, err := ParseSigners(strings.NewReader("# people\n\nbob,bob@example.com " + bob.key.String() + " a comment\n"))
	if err != nil || len(got) != 2 || got[1].Name != "bob@example.com" || got[0].Key != bob.key {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, text := range []string{"bob", "bob nonsense", "bob ssh-dss AAAA", "bob " + strings.Repeat("x", 10000)} {
		if _, err := ParseSigners(strings.NewReader(text)); err == nil {
			t.Errorf("%.20q was taken", text)
		}
	}
}

// FuzzParseBundle: what is read is verified without a panic, and never proved,
// since no signer is known.
func FuzzParseBundle(f *testing.F) {
	text, err := json.Marshal(bundle(f, newPerson(f, "bob"), newPerson(f, "carol")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":1,"evidence":{"rules":["{}"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBundle(data)
		if err != nil {
			return
		}
		if r := Verify(b, []byte(value), nil); r.Proved {
			t.Errorf("proved without signers: %+v", r)
		}
	})
}
