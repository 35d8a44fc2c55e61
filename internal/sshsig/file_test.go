package sshsig_test

import (
	"crypto"
	//lint:ignore SA1019 it makes what is refused
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
	"countersign/internal/sshsig"
)

func writeFile(t *testing.T, name string, data []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func privatePEM(t *testing.T, key crypto.PrivateKey, passphrase string) []byte {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "test only")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "test only", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func edKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func never(t *testing.T) func() ([]byte, error) {
	return func() ([]byte, error) {
		t.Error("asked for a passphrase")
		return nil, errors.New("nobody there")
	}
}

func says(passphrase string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(passphrase), nil }
}

func TestFromFile(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ed25519": edKey(t), "ecdsa": p256, "rsa": rsaKey()} {
		for _, x := range []struct {
			name, passphrase string
			mode             os.FileMode
			ask              func() ([]byte, error)
		}{
			{"plain", "", 0o600, never(t)},
			{"read-only", "", 0o400, nil},
			{"encrypted", "pass phrase", 0o600, says("pass phrase")},
		} {
			t.Run(name+"-"+x.name, func(t *testing.T) {
				s, err := sshsig.FromFile(writeFile(t, "id", privatePEM(t, key, x.passphrase), x.mode), x.ask)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				want, err := ssh.NewPublicKey(key.Public())
				if err != nil {
					t.Fatal(err)
				}
				if got := publicKey(t, s).Fingerprint(); got != ssh.FingerprintSHA256(want) {
					t.Errorf("key %s", got)
				}
				if err := sshsig.Verify(sign(t, s), publicKey(t, s), namespace, message); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestFilesOpenToOthers(t *testing.T) {
	key := privatePEM(t, edKey(t), "")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o610, 0o601, 0o620, 0o602, 0o644, 0o777} {
		_, err := sshsig.FromFile(writeFile(t, "id", key, mode), never(t))
		refuses(t, err, errs.Precondition, "open to others")
	}
}

func TestFilesThatAreNoKey(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	const canary = "canary-5e1f"
	sound := privatePEM(t, edKey(t), "")
	for _, x := range []struct {
		name string
		data []byte
		kind errs.Kind
		says string
	}{
		{"empty", nil, errs.Invalid, "no private key"},
		{"text", []byte(canary), errs.Invalid, "no private key"},
		{"cut", sound[:len(sound)/2], errs.Invalid, "no private key"},
		{"other-pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(canary)}), errs.Invalid, "no private key"},
		{"encrypted-pkcs8", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte(canary)}), errs.Invalid, "no private key"},
		{"garbage-in-pem", pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte(canary)}), errs.Invalid, "no private key"},
		{"putty", []byte("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n"), errs.Invalid, "no private key"},
		{"rsa-1024", privatePEM(t, small, ""), errs.Invalid, "at least 2048 bits"},
		{"dsa", dsaPEM(t), errs.Invalid, "DSA"},
		{"huge", make([]byte, 64<<10+1), errs.Limit, "larger than 65536"},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, err := sshsig.FromFile(writeFile(t, "id", x.data, 0o600), never(t))
			refuses(t, err, x.kind, x.says)
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error repeats what is in the file: %v", err)
			}
		})
	}
}

func dsaPEM(t *testing.T) []byte {
	t.Helper()
	var key dsa.PrivateKey
	if err := dsa.GenerateParameters(&key.Parameters, rand.Reader, dsa.L1024N160); err != nil {
		t.Fatal(err)
	}
	if err := dsa.GenerateKey(&key, rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Version       int
		P, Q, G, Y, X *big.Int
	}{0, key.P, key.Q, key.G, key.Y, key.X})
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "DSA PRIVATE KEY", Bytes: der})
}

func TestPassphrases(t *testing.T) {
	path := writeFile(t, "id", privatePEM(t, edKey(t), "right"), 0o600)
	_, err := sshsig.FromFile(path, nil)
	refuses(t, err, errs.Precondition, "nobody to ask")
	_, err = sshsig.FromFile(path, says("wrong-canary"))
	refuses(t, err, errs.Denied, "passphrase is wrong")
	if strings.Contains(err.Error(), "canary") {
		t.Error("the passphrase is repeated")
	}
	_, err = sshsig.FromFile(path, says(""))
	refuses(t, err, errs.Denied, "passphrase is wrong")
	_, err = sshsig.FromFile(path, func() ([]byte, error) { return nil, errors.New("no terminal") })
	refuses(t, err, errs.Canceled, "no terminal")
	_, err = sshsig.FromFile(path, func() ([]byte, error) { return nil, errs.New(errs.Precondition, "no terminal") })
	refuses(t, err, errs.Precondition, "no terminal")
}

func TestPathsThatAreNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sshsig.FromFile(fifo, never(t))
	refuses(t, err, errs.Invalid, "no regular file")
	_, err = sshsig.FromFile(dir, never(t))
	refuses(t, err, errs.Invalid, "no regular file")
	_, err = sshsig.FromFile(filepath.Join(dir, "absent"), never(t))
	refuses(t, err, errs.NotFound, "absent")
	_, err = sshsig.FromFile(filepath.Join(dir, "absent.pub"), never(t))
	refuses(t, err, errs.NotFound, "absent")
	_, err = sshsig.FromFile(filepath.Join(writeFile(t, "file", nil, 0o600), "below"), never(t))
	refuses(t, err, errs.Precondition, "cannot be opened")
	// A link to a private file is as good as the file.
	link := filepath.Join(dir, "link")
	if err := os.Symlink(writeFile(t, "id", privatePEM(t, edKey(t), ""), 0o600), link); err != nil {
		t.Fatal(err)
	}
	if _, err := sshsig.FromFile(link, never(t)); err != nil {
		t.Error(err)
	}
}

func TestPubFile(t *testing.T) {
	one, two := edKey(t), edKey(t)
	socket := startAgent(t, one, two)
	t.Setenv("SSH_AUTH_SOCK", socket)
	want, err := ssh.NewPublicKey(two.Public())
	if err != nil {
		t.Fatal(err)
	}
	// A public key may be read by anybody.
	s, err := sshsig.FromFile(writeFile(t, "id.pub", ssh.MarshalAuthorizedKey(want), 0o644), never(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := publicKey(t, s)
	if key.Fingerprint() != ssh.FingerprintSHA256(want) {
		t.Errorf("the agent's other key: %s", key)
	}
	if err := sshsig.Verify(sign(t, s), key, namespace, message); err != nil {
		t.Error(err)
	}

	other := newSigner(t, ssh.KeyAlgoED25519).PublicKey()
	_, err = sshsig.FromFile(writeFile(t, "id.pub", ssh.MarshalAuthorizedKey(other), 0o644), never(t))
	refuses(t, err, errs.NotFound, ssh.FingerprintSHA256(other))
	_, err = sshsig.FromFile(writeFile(t, "id.pub", privatePEM(t, one, ""), 0o600), never(t))
	refuses(t, err, errs.Invalid, "PEM file")
	t.Setenv("SSH_AUTH_SOCK", "")
	_, err = sshsig.FromFile(writeFile(t, "id.pub", ssh.MarshalAuthorizedKey(want), 0o644), never(t))
	refuses(t, err, errs.Unavailable, "SSH_AUTH_SOCK is not set")
}
