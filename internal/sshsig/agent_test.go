package sshsig_test

import (
	"crypto"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"countersign/internal/errs"
	"countersign/internal/sshsig"
)

// startAgent serves an agent with keys of the comments key-0, key-1, …
func startAgent(t *testing.T, keys ...crypto.PrivateKey) string {
	t.Helper()
	return serveAgent(t, keyring(t, keys...))
}

func keyring(t *testing.T, keys ...crypto.PrivateKey) agent.Agent {
	t.Helper()
	ring := agent.NewKeyring()
	for i, key := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: key, Comment: "key-" + string(rune('0'+i))}); err != nil {
			t.Fatal(err)
		}
	}
	return ring
}

func serveAgent(t *testing.T, a agent.Agent) string {
	t.Helper()
	return serve(t, func(c net.Conn) { _ = agent.ServeAgent(a, c) })
}

// serve runs a server at a unix socket until the test ends. The path of a
// socket is short; that of t.TempDir may not be.
func serve(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "a")
	if len(socket) > 100 {
		dir, err := os.MkdirTemp("", "a")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		socket = filepath.Join(dir, "a")
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return socket
}

func TestFromAgent(t *testing.T) {
	ed, other := edKey(t), edKey(t)
	socket := startAgent(t, ed, rsaKey())
	for name, key := range map[string]crypto.Signer{"ed25519": ed, "rsa": rsaKey()} {
		pub, err := ssh.NewPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		for how, pick := range map[string]string{"fingerprint": ssh.FingerprintSHA256(pub), "key": string(ssh.MarshalAuthorizedKey(pub))} {
			t.Run(name+"-by-"+how, func(t *testing.T) {
				s, err := sshsig.FromAgent(socket, pick)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				for range 2 { // the connection serves more than one signature
					armored := sign(t, s)
					want, err := sshsig.ParsePublicKey(string(ssh.MarshalAuthorizedKey(pub)))
					if err != nil {
						t.Fatal(err)
					}
					if err := sshsig.Verify(armored, want, namespace, message); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	t.Run("only-key", func(t *testing.T) {
		s, err := sshsig.FromAgent(startAgent(t, ed), "")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sign(t, s)
	})
	t.Run("several-without-a-choice", func(t *testing.T) {
		_, err := sshsig.FromAgent(socket, "")
		refuses(t, err, errs.Invalid, "several keys")
		for _, part := range []string{`"key-0"`, `"key-1"`, ssh.KeyAlgoRSA, fingerprint(t, ed), fingerprint(t, rsaKey())} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %s", err, part)
			}
		}
	})
	t.Run("key-not-there", func(t *testing.T) {
		_, err := sshsig.FromAgent(socket, fingerprint(t, other))
		refuses(t, err, errs.NotFound, "does not have the key "+fingerprint(t, other)+"; it has "+fingerprint(t, ed))
	})
}

func fingerprint(t *testing.T, key crypto.Signer) string {
	t.Helper()
	pub, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return ssh.FingerprintSHA256(pub)
}

func TestPicks(t *testing.T) {
	socket := startAgent(t, edKey(t))
	for pick, says := range map[string]string{
		"SHA256:short":               "this one 5",
		"SHA256:":                    "this one 0",
		"MD5:aa:bb":                  "MD5 fingerprints",
		"alice":                      "begins with SHA256:",
		"ssh-ed25519 AAAA":           "cut short",
		"ssh-dss AAAA":               "DSA",
		" ":                          "is empty",
		strings.Repeat("x ", 10_000): "longer than",
	} {
		_, err := sshsig.FromAgent(socket, pick)
		refuses(t, err, errs.Invalid, says)
	}
}

func TestNoAgent(t *testing.T) {
	_, err := sshsig.FromAgent("", "")
	refuses(t, err, errs.Unavailable, "SSH_AUTH_SOCK is not set")
	_, err = sshsig.FromAgent(filepath.Join(t.TempDir(), "absent"), "")
	refuses(t, err, errs.Unavailable, "no SSH agent at the socket")
	_, err = sshsig.FromAgent(writeFile(t, "file", nil, 0o600), "")
	refuses(t, err, errs.Unavailable, "no SSH agent at the socket")
}

func TestAgentWithoutKeys(t *testing.T) {
	_, err := sshsig.FromAgent(startAgent(t), "")
	refuses(t, err, errs.Precondition, "has no keys, or it is locked")
	_, err = sshsig.FromAgent(startAgent(t), fingerprint(t, edKey(t)))
	refuses(t, err, errs.Precondition, "has no keys, or it is locked")
}

func TestLockedAgent(t *testing.T) {
	ring := keyring(t, edKey(t))
	socket := serveAgent(t, ring)
	s, err := sshsig.FromAgent(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := ring.Lock([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_, err = sshsig.FromAgent(socket, "")
	refuses(t, err, errs.Precondition, "locked")
	_, err = sshsig.Sign(s, namespace, message)
	refuses(t, err, errs.Denied, "locked")
	if err := ring.Unlock([]byte("x")); err != nil {
		t.Fatal(err)
	}
	sign(t, s)
	if err := ring.RemoveAll(); err != nil {
		t.Fatal(err)
	}
	_, err = sshsig.Sign(s, namespace, message)
	refuses(t, err, errs.Denied, "the key is gone")
}

// TestUnusableKeysOfAnAgent has one key as it is, one with a certificate, and
// one that is too weak.
func TestUnusableKeysOfAnAgent(t *testing.T) {
	key := edKey(t)
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key, Certificate: cert}); err != nil {
		t.Fatal(err)
	}
	socket := serveAgent(t, ring)
	_, err = sshsig.FromAgent(socket, "")
	refuses(t, err, errs.Precondition, "has 1 keys, and none of a type that is accepted")
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	s, err := sshsig.FromAgent(socket, "") // the one that is left needs no choice
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sign(t, s)
}

// TestAgentsThatAreNone answers with something else, or hangs up.
func TestAgentsThatAreNone(t *testing.T) {
	for name, answer := range map[string]string{
		"hangs-up":       "",
		"http":           "HTTP/1.1 400 Bad Request\r\n\r\n",
		"failure":        "\x00\x00\x00\x01\x05",
		"empty":          "\x00\x00\x00\x00",
		"huge":           "\xff\xff\xff\xff",
		"too-many-keys":  "\x00\x00\x00\x05\x0c\xff\xff\xff\xff",
		"keys-cut-short": "\x00\x00\x00\x05\x0c\x00\x00\x00\x01",
	} {
		t.Run(name, func(t *testing.T) {
			socket := serve(t, func(c net.Conn) {
				_, _ = c.Read(make([]byte, 64))
				_, _ = c.Write([]byte(answer))
			})
			_, err := sshsig.FromAgent(socket, "")
			refuses(t, err, errs.Unavailable, "does not list its keys")
		})
	}
}

func TestManyKeysAreNotAllListed(t *testing.T) {
	var keys []crypto.PrivateKey
	for range 13 {
		keys = append(keys, edKey(t))
	}
	_, err := sshsig.FromAgent(startAgent(t, keys...), "")
	refuses(t, err, errs.Invalid, "and 3 more")
}

func TestAlgorithmsOfAnAgent(t *testing.T) {
	pub, err := ssh.NewPublicKey(rsaKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	s, err := sshsig.FromAgent(startAgent(t, rsaKey()), "")
	if err != nil {
		t.Fatal(err)
	}
	for algorithm, want := range map[string]string{"": ssh.KeyAlgoRSA, ssh.KeyAlgoRSA: ssh.KeyAlgoRSA,
		ssh.KeyAlgoRSASHA256: ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512: ssh.KeyAlgoRSASHA512} {
		sig, err := s.SignWithAlgorithm(rand.Reader, message, algorithm)
		if err != nil || sig.Format != want || pub.Verify(message, sig) != nil {
			t.Errorf("algorithm %q: %+v, %v", algorithm, sig, err)
		}
	}
	_, err = s.SignWithAlgorithm(rand.Reader, message, ssh.KeyAlgoED25519)
	refuses(t, err, errs.Invalid, "does not sign with algorithm")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = sshsig.Sign(s, namespace, message)
	refuses(t, err, errs.Unavailable, "connection to the SSH agent is gone")
}
