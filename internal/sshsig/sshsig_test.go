package sshsig_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
	"countersign/internal/sshsig"
)

const namespace = "approval@countersign"

var message = []byte("sha256:digest of a change")

// rsaKey is made once: it is slow.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newSigner(t testing.TB, keyType string) ssh.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch keyType {
	case ssh.KeyAlgoED25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case ssh.KeyAlgoECDSA256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ssh.KeyAlgoECDSA384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ssh.KeyAlgoECDSA521:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case ssh.KeyAlgoRSA:
		key = rsaKey()
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return newSecurityKey(t, keyType)
	default:
		t.Fatalf("no such type: %s", keyType)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keyTypes() []string {
	return []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSA, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256}
}

// securityKey is a FIDO token in software, after PROTOCOL.u2f of OpenSSH.
type securityKey struct {
	pub     ssh.PublicKey
	key     crypto.Signer
	flags   byte
	counter uint32
}

const application = "ssh:"

func newSecurityKey(t testing.TB, keyType string) *securityKey {
	t.Helper()
	s := &securityKey{flags: 1, counter: 7}
	var blob []byte
	if keyType == ssh.KeyAlgoSKED25519 {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s.key, blob = key, ssh.Marshal(struct {
			Type        string
			Key         []byte
			Application string
		}{keyType, pub, application})
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		s.key, blob = key, ssh.Marshal(struct {
			Type, Curve string
			Point       []byte
			Application string
		}{keyType, "nistp256", point, application})
	}
	var err error
	if s.pub, err = ssh.ParsePublicKey(blob); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *securityKey) PublicKey() ssh.PublicKey { return s.pub }

func (s *securityKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	app, digest := sha256.Sum256([]byte(application)), sha256.Sum256(data)
	tail := ssh.Marshal(struct {
		Flags   byte
		Counter uint32
	}{s.flags, s.counter})
	signed := bytes.Join([][]byte{app[:], tail, digest[:]}, nil)
	sig := &ssh.Signature{Format: s.pub.Type(), Rest: tail}
	switch key := s.key.(type) {
	case ed25519.PrivateKey:
		sig.Blob = ed25519.Sign(key, signed)
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256(signed)
		r, v, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			return nil, err
		}
		sig.Blob = ssh.Marshal(struct{ R, S *big.Int }{r, v})
	}
	return sig, nil
}

func publicKey(t testing.TB, s ssh.Signer) sshsig.PublicKey {
	t.Helper()
	key, err := sshsig.ParsePublicKey(string(ssh.MarshalAuthorizedKey(s.PublicKey())))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, s ssh.Signer) string {
	t.Helper()
	armored, err := sshsig.Sign(s, namespace, message)
	if err != nil {
		t.Fatal(err)
	}
	return armored
}

// refuses holds that an error is the caller's fault and says what it should.
func refuses(t *testing.T, err error, kind errs.Kind, says string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted; want an error that says %q", says)
	}
	if errs.KindOf(err) != kind || !strings.Contains(err.Error(), says) {
		t.Fatalf("error %q of kind %s, want %s that says %q", err, errs.KindOf(err), kind, says)
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSignAndVerify(t *testing.T) {
	for _, keyType := range keyTypes() {
		t.Run(keyType, func(t *testing.T) {
			s := newSigner(t, keyType)
			key := publicKey(t, s)
			for _, m := range [][]byte{message, {}, bytes.Repeat([]byte("x"), 1<<20)} {
				armored, err := sshsig.Sign(s, namespace, m)
				if err != nil {
					t.Fatal(err)
				}
				if err := sshsig.Verify(armored, key, namespace, m); err != nil {
					t.Errorf("message of %d bytes: %v", len(m), err)
				}
				err = sshsig.Verify(armored, key, namespace, append(m[:len(m):len(m)], 0))
				refuses(t, err, errs.Invalid, "does not verify")
			}
			got, err := sshsig.Parse(sign(t, s))
			if err != nil {
				t.Fatal(err)
			}
			want := keyType
			if keyType == ssh.KeyAlgoRSA {
				want = ssh.KeyAlgoRSASHA512
			}
			if got.Key != key || got.Namespace != namespace || got.Hash != "sha512" || got.Algorithm != want {
				t.Errorf("parsed %+v", got)
			}
		})
	}
}

// TestGolden verifies what ssh-keygen signed.
func TestGolden(t *testing.T) {
	m := []byte(read(t, "message"))
	for _, name := range []string{"ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa2048", "rsa3072"} {
		key, err := sshsig.ParsePublicKey(read(t, name+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		for _, hash := range []string{"sha256", "sha512"} {
			t.Run(name+"-"+hash, func(t *testing.T) {
				armored := read(t, name+"-"+hash+".sig")
				if err := sshsig.Verify(armored, key, namespace, m); err != nil {
					t.Error(err)
				}
				if s, err := sshsig.Parse(armored); err != nil || s.Hash != hash {
					t.Errorf("hash %q, %v", s.Hash, err)
				}
				refuses(t, sshsig.Verify(armored, key, namespace, m[1:]), errs.Invalid, "does not verify")
				refuses(t, sshsig.Verify(armored, key, "file", m), errs.Invalid, `for namespace "approval@countersign", not for "file"`)
			})
		}
	}
	key, err := sshsig.ParsePublicKey(read(t, "ed25519.pub"))
	if err != nil {
		t.Fatal(err)
	}
	armored := read(t, "ed25519-namespace-file.sig")
	if err := sshsig.Verify(armored, key, "file", m); err != nil {
		t.Error(err)
	}
	refuses(t, sshsig.Verify(armored, key, namespace, m), errs.Invalid, `for namespace "file"`)
}

func TestNamespaces(t *testing.T) {
	s := newSigner(t, ssh.KeyAlgoED25519)
	armored := sign(t, s)
	for name, says := range map[string]string{"": "is empty", "a b": "at byte 1", "ä": "at byte 0",
		"a\x00": "at byte 1", strings.Repeat("n", 256): "longer than 255"} {
		_, err := sshsig.Sign(s, name, message)
		refuses(t, err, errs.Invalid, says)
		refuses(t, sshsig.Verify(armored, publicKey(t, s), name, message), errs.Invalid, says)
	}
	long := strings.Repeat("n", 255)
	armored, err := sshsig.Sign(s, long, message)
	if err != nil || sshsig.Verify(armored, publicKey(t, s), long, message) != nil {
		t.Errorf("the longest namespace: %v", err)
	}
}

func TestZeroValues(t *testing.T) {
	s := newSigner(t, ssh.KeyAlgoED25519)
	refuses(t, sshsig.Verify(sign(t, s), sshsig.PublicKey{}, namespace, message), errs.Invalid, "no public key")
	refuses(t, sshsig.Signature{}.Verify(publicKey(t, s), namespace, message), errs.Invalid, "no signature")
	if k := (sshsig.PublicKey{}); !k.IsZero() || k.String() != "" || k.Fingerprint() != "" || k.Algorithm() != "" {
		t.Error("the zero key is something")
	}
}

// plain hides that a signer can be told an algorithm; wrong answers with some
// signature of its own choice.
type plain struct{ ssh.Signer }

type wrong struct {
	ssh.Signer
	answer func(data []byte) (*ssh.Signature, error)
}

func (w wrong) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) { return w.answer(data) }

func (w wrong) SignWithAlgorithm(_ io.Reader, data []byte, _ string) (*ssh.Signature, error) {
	return w.answer(data)
}

func TestSignersThatCannot(t *testing.T) {
	r := newSigner(t, ssh.KeyAlgoRSA).(ssh.AlgorithmSigner)
	_, err := sshsig.Sign(plain{r}, namespace, message)
	refuses(t, err, errs.Precondition, "SHA-1")

	_, err = sshsig.Sign(wrong{r, func(data []byte) (*ssh.Signature, error) {
		return r.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSA)
	}}, namespace, message)
	refuses(t, err, errs.Precondition, "RSA with SHA-1")

	e := newSigner(t, ssh.KeyAlgoED25519)
	_, err = sshsig.Sign(wrong{e, func(data []byte) (*ssh.Signature, error) { return e.Sign(nil, data[1:]) }}, namespace, message)
	refuses(t, err, errs.Precondition, "does not verify")

	_, err = sshsig.Sign(wrong{e, func([]byte) (*ssh.Signature, error) { return nil, errors.New("broken") }}, namespace, message)
	refuses(t, err, errs.Unavailable, "did not sign: broken")

	_, err = sshsig.Sign(wrong{e, func([]byte) (*ssh.Signature, error) { return nil, errs.New(errs.Denied, "no") }}, namespace, message)
	refuses(t, err, errs.Denied, "no")

	untouched := newSecurityKey(t, ssh.KeyAlgoSKED25519)
	untouched.flags = 4 // verified by PIN, not touched
	_, err = sshsig.Sign(untouched, namespace, message)
	refuses(t, err, errs.Precondition, "not touched")

	pub, _, _, _, err := ssh.ParseAuthorizedKey([]byte(read(t, "ed25519-cert.pub")))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ssh.NewCertSigner(pub.(*ssh.Certificate), fixedKey{e, pub.(*ssh.Certificate).Key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sshsig.Sign(cert, namespace, message)
	refuses(t, err, errs.Invalid, "certificates are refused")
}

type fixedKey struct {
	ssh.Signer
	pub ssh.PublicKey
}

func (f fixedKey) PublicKey() ssh.PublicKey { return f.pub }

// unarmor is the test's own way to the bytes.
func unarmor(t testing.TB, armored string) []byte {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(armored), "\n")
	b, err := base64.StdEncoding.DecodeString(strings.Join(lines[1:len(lines)-1], ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rearmor(b []byte) string { return wrap(b, 70, "\n") }

func wrap(b []byte, width int, end string) string {
	text := base64.StdEncoding.EncodeToString(b)
	out := "-----BEGIN SSH SIGNATURE-----" + end
	for len(text) > width {
		out += text[:width] + end
		text = text[width:]
	}
	return out + text + end + "-----END SSH SIGNATURE-----" + end
}

func TestArmorIsThatOfSSHKeygen(t *testing.T) {
	for _, name := range []string{"ed25519-sha512.sig", "rsa3072-sha512.sig", "ecdsa521-sha512.sig"} {
		golden := read(t, name)
		if got := rearmor(unarmor(t, golden)); got != golden {
			t.Errorf("%s: the test's armor is another:\n%s", name, got)
		}
	}
	armored := sign(t, newSigner(t, ssh.KeyAlgoED25519))
	if got := rearmor(unarmor(t, armored)); got != armored {
		t.Errorf("armor\n%s, want\n%s", armored, got)
	}
}
