package sshsig_test

import (
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
	"countersign/internal/sshsig"
)

// FuzzParse alters signatures: whatever comes out is refused as the caller's
// fault, or says what the sound ones say. None holds for another message, key
// or namespace, and none that is accepted says anything but what was signed.
func FuzzParse(f *testing.F) {
	m := []byte(read(f, "message"))
	keys := map[sshsig.PublicKey]bool{}
	for _, name := range []string{"ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa2048", "rsa3072"} {
		key, err := sshsig.ParsePublicKey(read(f, name+".pub"))
		if err != nil {
			f.Fatal(err)
		}
		keys[key] = true
		for _, hash := range []string{"sha256", "sha512"} {
			armored := read(f, name+"-"+hash+".sig")
			f.Add(armored)
			f.Add(wrap(unarmor(f, armored), 64, "\r\n"))
		}
	}
	sk := newSecurityKey(f, ssh.KeyAlgoSKED25519)
	armored, err := sshsig.Sign(sk, namespace, m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(armored)
	keys[publicKey(f, sk)] = true
	stranger := publicKey(f, newSigner(f, ssh.KeyAlgoED25519))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := sshsig.Parse(text)
		if err != nil {
			if !errs.Is(err, errs.Invalid) || errs.As(err).Field != sshsig.FieldSignature {
				t.Fatalf("refused as %s of field %q: %v", errs.KindOf(err), errs.As(err).Field, err)
			}
			if sshsig.Verify(text, stranger, namespace, m) == nil {
				t.Fatal("verifies what cannot be parsed")
			}
			return
		}
		if len(text) > sshsig.MaxArmored || !strings.HasPrefix(text, "-----BEGIN SSH SIGNATURE-----") {
			t.Fatal("parsed what has no armor")
		}
		if again, err := sshsig.ParsePublicKey(s.Key.String()); err != nil || again != s.Key {
			t.Fatalf("its key does not read back: %v", err)
		}
		for key := range keys {
			ok := s.Verify(key, s.Namespace, m) == nil
			if ok && (s.Namespace != namespace || s.Key != key) {
				t.Fatalf("an altered signature verifies: %+v", s)
			}
			if s.Verify(key, namespace, m[1:]) == nil || s.Verify(key, "file", m) == nil {
				t.Fatal("verifies another message or namespace")
			}
		}
		if s.Verify(stranger, s.Namespace, m) == nil && s.Key != stranger {
			t.Fatal("verifies for another key")
		}
	})
}

// FuzzParsePublicKey holds that what is accepted has one form, and that reading
// that form gives the key back.
func FuzzParsePublicKey(f *testing.F) {
	for _, name := range []string{"ed25519", "ecdsa256", "ecdsa521", "rsa2048", "rsa1024", "dsa", "ed25519-cert"} {
		f.Add(read(f, name+".pub"))
	}
	for _, keyType := range keyTypes() {
		f.Add(string(ssh.MarshalAuthorizedKey(newSigner(f, keyType).PublicKey())) + "comment")
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := sshsig.ParsePublicKey(text)
		if err != nil {
			if !errs.Is(err, errs.Invalid) || !key.IsZero() {
				t.Fatalf("refused as %s with key %q: %v", errs.KindOf(err), key, err)
			}
			return
		}
		again, err := sshsig.ParsePublicKey(key.String())
		if err != nil || again != key || strings.Count(key.String(), " ") != 1 {
			t.Fatalf("%q reads back as %q: %v", key, again, err)
		}
		pub, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
		if err != nil || ssh.FingerprintSHA256(pub) != key.Fingerprint() {
			t.Fatalf("the ssh package reads another key: %v", err)
		}
	})
}
