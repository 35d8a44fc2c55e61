package transit_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"countersign/internal/core/transit"
	"countersign/internal/errs"
)

func TestTexts(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "invalid ciphertext: no prefix",
		"vault:1:YQ==":             "invalid ciphertext: no prefix",
		"vault:v1":                 "invalid ciphertext: wrong number of fields",
		"vault:v:YQ==":             "invalid ciphertext: version number could not be decoded",
		"vault:v-1:YQ==":           "invalid ciphertext: version number could not be decoded",
		"vault:v+1:YQ==":           "invalid ciphertext: version number could not be decoded",
		"vault:v99999999999:YQ==":  "invalid ciphertext: version number could not be decoded",
		"vault:v1:%":               "invalid ciphertext: could not decode base64",
		"vault:v1:YQ":              "invalid ciphertext: could not decode base64",
		"vault:v1:YQ==:YQ==":       "invalid ciphertext: could not decode base64",
		"vault:v1:" + "YWJj\x00==": "invalid ciphertext: could not decode base64",
	} {
		if _, _, err := transit.ParseCiphertext(text); !says(err, errs.Invalid, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if v, data, err := transit.ParseCiphertext("vault:v0:YQ=="); v != 1 || string(data) != "a" || err != nil {
		t.Errorf("version 0: %d %q %v", v, data, err)
	}
	if _, _, err := transit.ParseSignature("vault:v1:YQ", false); !says(err, errs.Invalid, "invalid base64 signature value") {
		t.Errorf("a signature of the other alphabet: %v", err)
	}
	if v, data, err := transit.ParseSignature("vault:v7:YQ", true); v != 7 || string(data) != "a" || err != nil {
		t.Errorf("a signature: %d %q %v", v, data, err)
	}
	if _, _, err := transit.ParseMAC("x"); !says(err, errs.Invalid, "invalid HMAC to verify: no prefix") {
		t.Errorf("a code: %v", err)
	}
}

// FuzzTexts: what is read is written the same, and what is written is read the
// same, of ciphertexts, signatures and codes.
func FuzzTexts(f *testing.F) {
	f.Add("vault:v1:YWJj")
	f.Add("vault:v0:")
	f.Add("vault:v4294967295:YQ==")
	f.Add("vault:v18446744073709551615:YQ==")
	f.Add("vault:v1:YQ\n==")
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range []struct {
			parse  func(string) (uint64, []byte, error)
			format func(uint64, []byte) string
		}{
			{transit.ParseCiphertext, transit.FormatText},
			{transit.ParseMAC, transit.FormatText},
			{func(s string) (uint64, []byte, error) { return transit.ParseSignature(s, false) }, transit.FormatText},
			{func(s string) (uint64, []byte, error) { return transit.ParseSignature(s, true) }, transit.FormatJWS},
		} {
			version, data, err := p.parse(text)
			if err != nil {
				if errs.KindOf(err) != errs.Invalid {
					t.Fatalf("%q: %v", text, err)
				}
				continue
			}
			again, same, err := p.parse(p.format(version, data))
			if err != nil || again != version || !bytes.Equal(same, data) {
				t.Errorf("%q: %d %x, and then %d %x %v", text, version, data, again, same, err)
			}
		}
	})
}

// FuzzParseBackup: what a stranger sends is a key that there can be, or it is
// refused.
func FuzzParseBackup(f *testing.F) {
	raw, err := base64.StdEncoding.DecodeString(vaultBackup)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(strings.Replace(string(raw), `"type":0`, `"type":5`, 1)))
	f.Add([]byte(`{"policy":{"type":1,"latest_version":1,"keys":{"1":{"ec_x":1,"ec_y":2,"ec_d":3}}}}`))
	f.Add([]byte(`{"policy":{"type":3,"latest_version":1,"keys":{"1":{"rsa_key":{"N":15,"E":3,"D":3,"Primes":[3,5]}}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := transit.ParseBackup(base64.StdEncoding.EncodeToString(raw))
		if err != nil {
			if errs.KindOf(err) == errs.Internal {
				t.Fatal(err)
			}
			return
		}
		text, err := transit.EncodeBackup(b)
		if err != nil {
			return // of a key that Restore would refuse
		}
		if _, err := transit.ParseBackup(string(text.Reveal())); err != nil {
			t.Errorf("what was written is not read: %v", err)
		}
	})
}
