package sshsig_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
	"countersign/internal/sshsig"
)

// sshKeygen finds the real one. The golden files prove the same without it.
func sshKeygen(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed: scripts/test-deps installs it")
	}
	return path
}

func run(t *testing.T, stdin []byte, env []string, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = bytes.NewReader(stdin)
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, stdin []byte, name string, args ...string) string {
	t.Helper()
	out, err := run(t, stdin, nil, name, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}

func realKey(t *testing.T, args ...string) (private string, public sshsig.PublicKey) {
	t.Helper()
	private = filepath.Join(t.TempDir(), "id")
	mustRun(t, nil, sshKeygen(t), append([]string{"-q", "-C", "test only", "-f", private}, args...)...)
	pub, err := os.ReadFile(private + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if public, err = sshsig.ParsePublicKey(string(pub)); err != nil {
		t.Fatal(err)
	}
	return private, public
}

// verifyWithSSHKeygen asks the real one about a signature of alice's.
func verifyWithSSHKeygen(t *testing.T, key sshsig.PublicKey, armored, namespace string, message []byte) (string, error) {
	t.Helper()
	signers := writeFile(t, "allowed_signers", []byte("alice namespaces=\""+namespace+"\" "+key.String()+"\n"), 0o600)
	sig := writeFile(t, "sig", []byte(armored), 0o600)
	return run(t, message, nil, sshKeygen(t), "-Y", "verify", "-f", signers, "-I", "alice", "-n", namespace, "-s", sig)
}

func realTypes() map[string][]string {
	return map[string][]string{
		"ed25519":   {"-t", "ed25519"},
		"ecdsa-256": {"-t", "ecdsa", "-b", "256"},
		"ecdsa-384": {"-t", "ecdsa", "-b", "384"},
		"ecdsa-521": {"-t", "ecdsa", "-b", "521"},
		"rsa-3072":  {"-t", "rsa", "-b", "3072"},
	}
}

func TestSSHKeygenBothWays(t *testing.T) {
	keygen := sshKeygen(t)
	for name, args := range realTypes() {
		t.Run(name, func(t *testing.T) {
			private, key := realKey(t, append(args, "-N", "")...)
			if out := mustRun(t, nil, keygen, "-l", "-f", private+".pub"); !strings.Contains(out, key.Fingerprint()) {
				t.Errorf("fingerprint %s, ssh-keygen says %s", key.Fingerprint(), out)
			}

			theirs := mustRun(t, message, keygen, "-Y", "sign", "-q", "-n", namespace, "-f", private)
			if err := sshsig.Verify(theirs, key, namespace, message); err != nil {
				t.Errorf("a signature by ssh-keygen: %v\n%s", err, theirs)
			}
			refuses(t, sshsig.Verify(theirs, key, namespace, append(message[:len(message):len(message)], '\n')), errs.Invalid, "does not verify")

			s, err := sshsig.FromFile(private, never(t))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			ours := sign(t, s)
			if out, err := verifyWithSSHKeygen(t, key, ours, namespace, message); err != nil || !strings.Contains(out, `Good "`+namespace+`" signature for alice`) {
				t.Errorf("ssh-keygen refuses ours: %v\n%s", err, out)
			}
			if out, err := verifyWithSSHKeygen(t, key, ours, "file", message); err == nil {
				t.Errorf("ssh-keygen takes ours for another namespace: the test does not test\n%s", out)
			}
			if out, err := verifyWithSSHKeygen(t, key, ours, namespace, message[1:]); err == nil {
				t.Errorf("ssh-keygen takes ours for another message: the test does not test\n%s", out)
			}
		})
	}
}

// TestSSHKeygenOnSecurityKeys has no token: it holds the software one of these
// tests, by which the rules about touch are tested, to what ssh-keygen accepts.
func TestSSHKeygenOnSecurityKeys(t *testing.T) {
	for _, keyType := range []string{ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256} {
		t.Run(keyType, func(t *testing.T) {
			s := newSecurityKey(t, keyType)
			if out, err := verifyWithSSHKeygen(t, publicKey(t, s), sign(t, s), namespace, message); err != nil {
				t.Errorf("ssh-keygen refuses it: %v\n%s", err, out)
			}
		})
	}
}

// TestSSHKeygenFileFormats opens the formats in which ssh-keygen writes keys.
func TestSSHKeygenFileFormats(t *testing.T) {
	for _, x := range []struct {
		name string
		args []string
		pass string
		says string // empty when the file opens
	}{
		{"openssh", []string{"-t", "ed25519"}, "", ""},
		{"openssh-encrypted", []string{"-t", "ed25519"}, "pass phrase", ""},
		{"rsa-pem", []string{"-t", "rsa", "-b", "2048", "-m", "PEM"}, "", ""},
		{"rsa-pem-encrypted", []string{"-t", "rsa", "-b", "2048", "-m", "PEM"}, "pass phrase", ""},
		{"ecdsa-pem", []string{"-t", "ecdsa", "-m", "PEM"}, "", ""},
		{"ecdsa-pem-encrypted", []string{"-t", "ecdsa", "-m", "PEM"}, "pass phrase", ""},
		{"rsa-pkcs8", []string{"-t", "rsa", "-b", "2048", "-m", "PKCS8"}, "", ""},
		{"ecdsa-pkcs8", []string{"-t", "ecdsa", "-m", "PKCS8"}, "", ""},
		{"rsa-pkcs8-encrypted", []string{"-t", "rsa", "-b", "2048", "-m", "PKCS8"}, "pass phrase", "no private key that can be used here"},
	} {
		t.Run(x.name, func(t *testing.T) {
			private, key := realKey(t, append(x.args, "-N", x.pass)...)
			ask := never(t)
			if x.pass != "" {
				ask = says(x.pass)
			}
			s, err := sshsig.FromFile(private, ask)
			if x.says != "" {
				refuses(t, err, errs.Invalid, x.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := sshsig.Verify(sign(t, s), key, namespace, message); err != nil {
				t.Error(err)
			}
			if x.pass != "" {
				_, err := sshsig.FromFile(private, says("another"))
				refuses(t, err, errs.Denied, "passphrase is wrong")
			}
		})
	}
}

// TestSSHAgent signs with the real agent.
func TestSSHAgent(t *testing.T) {
	sshKeygen(t)
	program, err := exec.LookPath("ssh-agent")
	if err != nil {
		t.Skip("ssh-agent is not installed: scripts/test-deps installs it")
	}
	dir, err := os.MkdirTemp("", "agent") // a short path: sockets have no room for more
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	c := exec.Command(program, "-D", "-a", socket)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	// It says where it listens once it does.
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, socket) {
		t.Fatalf("the agent says %q: %v", line, err)
	}
	for name, args := range realTypes() {
		private, key := realKey(t, append(args, "-N", "")...)
		if out, err := run(t, nil, []string{"SSH_AUTH_SOCK=" + socket}, "ssh-add", "-q", private); err != nil {
			t.Fatalf("ssh-add: %v\n%s", err, out)
		}
		t.Run(name, func(t *testing.T) {
			s, err := sshsig.FromAgent(socket, key.Fingerprint())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := sshsig.Verify(sign(t, s), key, namespace, message); err != nil {
				t.Error(err)
			}
		})
	}
	_, err = sshsig.FromAgent(socket, "")
	refuses(t, err, errs.Invalid, "several keys")
}
