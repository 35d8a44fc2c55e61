package jwt_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/jwt"
	"countersign/internal/rotator/keys"
	"countersign/internal/rotator/rotatetest"
)

func rotate(t *testing.T, options map[string]string, current rotator.Value) (rotator.Value, error) {
	t.Helper()
	made, err := jwt.Kind().New(rotator.Env{}).Create(t.Context(), rotator.Job{Options: options, Current: current})
	return made.Value, err
}

func must(t *testing.T, options map[string]string, current rotator.Value) rotator.Value {
	t.Helper()
	v, err := rotate(t, options, current)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func object(t *testing.T, v rotator.Value) *rotator.Object {
	t.Helper()
	o, err := rotator.ParseObject(v)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// token signs as a service does that reads the member jwk.
func token(t *testing.T, v rotator.Value) string {
	t.Helper()
	o := object(t, v)
	var key jose.JSONWebKey
	if err := json.Unmarshal(o.JSON("jwk"), &key); err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(o.Get("alg")), Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign([]byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// verifies as a service does that has fetched the set.
func verifies(t *testing.T, set []byte, token string) bool {
	t.Helper()
	var ks jose.JSONWebKeySet
	if err := json.Unmarshal(set, &ks); err != nil {
		t.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ks.Key(signed.Signatures[0].Header.KeyID) {
		if _, err := signed.Verify(k); err == nil {
			return true
		}
	}
	return false
}

// structure holds that a set has public keys only, and nothing else in it.
func structure(t *testing.T, set []byte, most int) {
	t.Helper()
	var got map[string][]map[string]any
	if err := json.Unmarshal(set, &got); err != nil || len(got) != 1 {
		t.Fatalf("the set is %s, %v", set, err)
	}
	if n := len(got["keys"]); n < 1 || n > most {
		t.Errorf("the set has %d keys, want 1 to %d", n, most)
	}
	may := map[string][]string{"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}}
	kids := map[any]bool{}
	for _, k := range got["keys"] {
		kty, _ := k["kty"].(string)
		for n, v := range k {
			if _, ok := v.(string); !ok || !slices.Contains(append(may[kty], "kty", "kid", "alg", "use"), n) {
				t.Errorf("a key of type %q has the member %q", kty, n)
			}
		}
		if kids[k["kid"]] || k["kid"] == nil || k["use"] != "sig" {
			t.Errorf("a key without a name of its own or a use: %s", set)
		}
		kids[k["kid"]] = true
	}
}

func TestSuite(t *testing.T) {
	for name, current := range map[string]string{"empty": "", "object": `{"issuer":"https://id.example.com"}`} {
		t.Run(name, func(t *testing.T) {
			rotatetest.Run(t, func(t *testing.T) *rotatetest.Target {
				return &rotatetest.Target{Kind: jwt.Kind(), Rotator: jwt.Kind().New(rotator.Env{}),
					Job: rotator.Job{Options: map[string]string{"keep": "2"}, Current: rotator.Text(current)}}
			})
		})
	}
}

func TestAlgs(t *testing.T) {
	r := jwt.Kind().New(rotator.Env{})
	v := rotator.Text(`{"issuer":"https://id.example.com"}`)
	for _, alg := range []string{"", "RS256", "PS256", "ES256", "ES384", "EdDSA"} {
		old := v
		v = must(t, map[string]string{"alg": alg}, v)
		o := object(t, v)
		if err := r.Test(t.Context(), rotator.Job{Pending: v}); err != nil {
			t.Errorf("%q: %v", alg, err)
		}
		set, err := jwt.PublicSet(v)
		if err != nil {
			t.Fatal(err)
		}
		if string(set) != string(o.JSON("jwks")) || o.Get("issuer") == "" {
			t.Errorf("%q: published %s, kept %s", alg, set, o.JSON("jwks"))
		}
		structure(t, set, 2)
		if !verifies(t, set, token(t, v)) || alg != "" && !verifies(t, set, token(t, old)) {
			t.Errorf("%q: the set verifies not both", alg)
		}
	}
}

func TestOverlap(t *testing.T) {
	for keep := range 6 {
		options := map[string]string{"keep": fmt.Sprint(keep), "alg": "EdDSA"}
		var tokens []string
		var v rotator.Value
		for range 7 {
			v = must(t, options, v)
			tokens = append(tokens, token(t, v))
		}
		set := object(t, v).JSON("jwks")
		structure(t, set, keep+1)
		for i, text := range tokens {
			if got, want := verifies(t, set, text), len(tokens)-1-i <= keep; got != want {
				t.Errorf("keep %d: a token %d rotations old verifies: %t", keep, len(tokens)-1-i, got)
			}
		}
	}
}

// A value that somebody else made, whose set names its key its own way.
func TestForeign(t *testing.T) {
	key, err := keys.Generate(t.Context(), "ec-p256")
	if err != nil {
		t.Fatal(err)
	}
	pem, _, err := keys.PEM(key)
	if err != nil {
		t.Fatal(err)
	}
	own := jose.JSONWebKey{Key: key, KeyID: "2026-05", Algorithm: "ES256", Use: "sig"}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: []byte("hunter2-hunter2-hunter2"), KeyID: "symmetric"}, own}}) // with its private members
	if err != nil {
		t.Fatal(err)
	}
	o := rotator.NewObject()
	o.Set("private_key", pem)
	o.SetJSON("jwks", set)
	published, err := jwt.PublicSet(o.Value())
	if err != nil {
		t.Fatal(err)
	}
	structure(t, published, 1)
	v := must(t, nil, o.Value())
	got := object(t, v).JSON("jwks")
	structure(t, got, 2)
	if !strings.Contains(string(got), `"kid":"2026-05","crv":"P-256","alg":"ES256"`) || strings.Contains(string(got), "symmetric") {
		t.Errorf("the set is %s", got)
	}
}

func TestRefused(t *testing.T) {
	many := `{"keys":[` + strings.Repeat(`{},`, 16) + `{}]}`
	for _, current := range []string{"text", `{"jwks":"hunter2"}`, `{"jwks":{"keys":{"d":"hunter2"}}}`, `{"jwks":` + many + `}`,
		`{"private_key":"hunter2"}`, `{"note":"` + strings.Repeat("x", 64<<10) + `"}`} {
		_, err := rotate(t, nil, rotator.Text(current))
		if class, msg := rotator.Why(err); class != rotator.Unsuitable || strings.Contains(msg, "hunter2") {
			t.Errorf("%.40s: %v", current, err)
		}
	}
	for _, text := range []string{"", "text", `{}`, `{"jwks":null}`, `{"jwks":{"keys":[]}}`, `{"jwks":{"keys":[{"kty":"oct","k":"aHVudGVyMg"}]}}`, `{"jwks":7}`} {
		if set, err := jwt.PublicSet(rotator.Text(text)); err == nil {
			t.Errorf("of %s %s would be published", text, set)
		}
	}
	for _, o := range []map[string]string{{"alg": "HS256"}, {"alg": "none"}, {"keep": "6"}, {"keep": "-1"}, {"keep": "x"}} {
		if err := jwt.Kind().Check(o); !errs.Is(err, errs.Invalid) {
			t.Errorf("%v: %v", o, err)
		}
	}
	if _, err := rotate(t, map[string]string{"keep": "99"}, rotator.Value{}); err == nil {
		t.Error("99 keys would be kept")
	}
}

func TestTest(t *testing.T) {
	good, other := must(t, nil, rotator.Value{}), object(t, must(t, nil, rotator.Value{}))
	ed := object(t, must(t, map[string]string{"alg": "EdDSA"}, rotator.Value{}))
	own := object(t, good)
	for name, alter := range map[string]func(o *rotator.Object){
		"no-kid":        func(o *rotator.Object) { o.Set("kid", "") },
		"other-kid":     func(o *rotator.Object) { o.Set("kid", other.Get("kid")) },
		"other-alg":     func(o *rotator.Object) { o.Set("alg", "ES384") },
		"none":          func(o *rotator.Object) { o.Set("alg", "none") },
		"bad-private":   func(o *rotator.Object) { o.Set("private_key", "hunter2") },
		"other-private": func(o *rotator.Object) { o.Set("private_key", other.Get("private_key")) },
		"text-jwk":      func(o *rotator.Object) { o.Set("jwk", "hunter2") },
		"no-jwk":        func(o *rotator.Object) { o.SetJSON("jwk", json.RawMessage(`null`)) },
		"public-jwk":    func(o *rotator.Object) { o.SetJSON("jwk", first(t, o)) },
		"other-jwk":     func(o *rotator.Object) { o.SetJSON("jwk", other.JSON("jwk")) },
		"no-set":        func(o *rotator.Object) { o.SetJSON("jwks", json.RawMessage(`null`)) },
		"empty-set":     func(o *rotator.Object) { o.SetJSON("jwks", json.RawMessage(`{"keys":[]}`)) },
		"other-set":     func(o *rotator.Object) { o.SetJSON("jwks", other.JSON("jwks")) },
		"text-set":      func(o *rotator.Object) { o.Set("jwks", "hunter2") },
		"private-set": func(o *rotator.Object) {
			o.SetJSON("jwks", json.RawMessage(`{"keys":[`+string(first(t, o))+`,`+string(own.JSON("jwk"))+`]}`))
		},
		"wrong-key": func(o *rotator.Object) {
			o.SetJSON("jwks", json.RawMessage(strings.ReplaceAll(string(other.JSON("jwks")), other.Get("kid"), o.Get("kid"))))
		},
		"wrong-type": func(o *rotator.Object) {
			o.SetJSON("jwks", json.RawMessage(strings.ReplaceAll(string(ed.JSON("jwks")), ed.Get("kid"), o.Get("kid"))))
		},
	} {
		o := object(t, good)
		alter(o)
		err := jwt.Kind().New(rotator.Env{}).Test(t.Context(), rotator.Job{Pending: o.Value()})
		if class, msg := rotator.Why(err); class != rotator.Unsuitable && class != rotator.Rejected || strings.Contains(msg, "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func first(t *testing.T, o *rotator.Object) json.RawMessage {
	t.Helper()
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(o.JSON("jwks"), &set); err != nil {
		t.Fatal(err)
	}
	return set.Keys[0]
}

// Whatever stands in the set of the current value, what is written has public members
// only, and no more keys than were asked for.
func FuzzSet(f *testing.F) {
	for _, typ := range []string{"ec-p256", "ed25519"} {
		key, err := keys.Generate(f.Context(), typ)
		if err != nil {
			f.Fatal(err)
		}
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "k"}, {Key: key.Public()}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(set)
	}
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("_", 342) + `","e":"AQAB","d":"AQAB","oth":[]},{"kty":"oct","k":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"X25519","x":"AA","D":"AA"},{"KTY":"EC"},7,null]}`))
	f.Add([]byte(`{"keys":null,"d":"x"}`))
	f.Fuzz(func(t *testing.T, set []byte) {
		if !json.Valid(set) {
			return
		}
		o := rotator.NewObject()
		o.SetJSON("jwks", set)
		if pub, err := jwt.PublicSet(o.Value()); err == nil {
			structure(t, pub, 16)
		}
		v, err := rotate(t, map[string]string{"keep": "3"}, o.Value())
		if err != nil {
			if class, _ := rotator.Why(err); class != rotator.Unsuitable {
				t.Fatal(err)
			}
			return
		}
		structure(t, object(t, v).JSON("jwks"), 4)
		if err := jwt.Kind().New(rotator.Env{}).Test(t.Context(), rotator.Job{Pending: v}); err != nil {
			t.Fatal(err)
		}
	})
}
