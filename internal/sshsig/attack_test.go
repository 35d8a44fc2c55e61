package sshsig_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1" // to make what is refused
	"crypto/sha512"
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
	"countersign/internal/sshsig"
)

// envelope is a signature taken apart, to be put together wrongly.
type envelope struct {
	Version                        uint32
	Key, Namespace, Reserved, Hash string
	Proper                         []byte
}

func (e envelope) armored() string { return rearmor(append([]byte("SSHSIG"), ssh.Marshal(e)...)) }

func open(t testing.TB, armored string) envelope {
	t.Helper()
	var e envelope
	if err := ssh.Unmarshal(unarmor(t, armored)[6:], &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// resign signs an envelope honestly with what stands in it, so that a test
// shows the one rule that refuses it and not the signature that no longer fits.
func (e envelope) resign(t testing.TB, s ssh.Signer, digest []byte) envelope {
	t.Helper()
	data := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Digest                    []byte
	}{e.Namespace, e.Reserved, e.Hash, digest})...)
	sig, err := s.Sign(rand.Reader, data)
	if err != nil {
		t.Fatal(err)
	}
	e.Proper = ssh.Marshal(sig)
	return e
}

func TestAlteredEnvelopes(t *testing.T) {
	s, other := newSigner(t, ssh.KeyAlgoED25519), newSigner(t, ssh.KeyAlgoED25519)
	key := publicKey(t, s)
	sum := sha512.Sum512(message)
	sha1sum := sha1.Sum(message)
	sound := open(t, sign(t, s))
	if err := sshsig.Verify(sound.resign(t, s, sum[:]).armored(), key, namespace, message); err != nil {
		t.Fatalf("the test's own envelope: %v", err)
	}
	for _, x := range []struct {
		name  string
		alter func(envelope) envelope
		says  string
	}{
		{"version-0", func(e envelope) envelope { e.Version = 0; return e }, "format version 0"},
		{"version-2", func(e envelope) envelope { e.Version = 2; return e }, "format version 2"},
		{"other-namespace", func(e envelope) envelope { e.Namespace = "file"; return e.resign(t, s, sum[:]) }, `namespace "file"`},
		{"namespace-renamed", func(e envelope) envelope { e.Namespace = "file"; return e }, `namespace "file"`},
		{"longer-namespace", func(e envelope) envelope { e.Namespace += "x"; return e.resign(t, s, sum[:]) }, "not for"},
		{"empty-namespace", func(e envelope) envelope { e.Namespace = ""; return e.resign(t, s, sum[:]) }, "the namespace is empty"},
		{"namespace-with-newline", func(e envelope) envelope { e.Namespace = "a\nb"; return e.resign(t, s, sum[:]) }, "not printable"},
		{"reserved", func(e envelope) envelope { e.Reserved = "x"; return e.resign(t, s, sum[:]) }, "reserved field"},
		{"reserved-added", func(e envelope) envelope { e.Reserved = "x"; return e }, "reserved field"},
		{"hash-sha1", func(e envelope) envelope { e.Hash = "sha1"; return e.resign(t, s, sha1sum[:]) }, "neither sha256 nor sha512"},
		{"hash-upper-case", func(e envelope) envelope { e.Hash = "SHA512"; return e.resign(t, s, sum[:]) }, "neither sha256 nor sha512"},
		{"hash-none", func(e envelope) envelope { e.Hash = ""; return e.resign(t, s, message) }, "neither sha256 nor sha512"},
		{"hash-swapped", func(e envelope) envelope { e.Hash = "sha256"; return e }, "does not verify"},
		{"by-another-key", func(e envelope) envelope { return e.resign(t, other, sum[:]) }, "does not verify"},
		{"of-another-key", func(e envelope) envelope {
			e.Key = string(other.PublicKey().Marshal())
			return e.resign(t, other, sum[:])
		}, "was made with key SHA256:"},
		{"key-altered", func(e envelope) envelope { e.Key = flip(e.Key, len(e.Key)-1); return e }, "was made with key"},
		{"key-cut", func(e envelope) envelope { e.Key = e.Key[:len(e.Key)-1]; return e }, "is damaged"},
		{"key-longer", func(e envelope) envelope { e.Key += "\x00"; return e }, "is damaged"},
		{"key-empty", func(e envelope) envelope { e.Key = ""; return e }, "the key is cut short"},
		{"key-of-unknown-type", func(e envelope) envelope { e.Key = flip(e.Key, 6); return e }, "type that is not accepted"},
		{"proper-empty", func(e envelope) envelope { e.Proper = nil; return e }, "cut short in its algorithm"},
		{"proper-cut", func(e envelope) envelope { e.Proper = e.Proper[:len(e.Proper)-1]; return e }, "signature proper is cut short"},
		{"proper-longer", func(e envelope) envelope { e.Proper = append(e.Proper[:len(e.Proper):len(e.Proper)], 0); return e }, "1 bytes after its end"},
		{"proper-altered", func(e envelope) envelope { e.Proper = []byte(flip(string(e.Proper), 30)); return e }, "does not verify"},
		{"other-algorithm", func(e envelope) envelope {
			e.Proper = ssh.Marshal(ssh.Signature{Format: ssh.KeyAlgoECDSA256, Blob: make([]byte, 64)})
			return e
		}, "does not fit its key"},
		{"short-ed25519", func(e envelope) envelope {
			e.Proper = ssh.Marshal(ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: make([]byte, 63)})
			return e
		}, "does not verify"},
	} {
		t.Run(x.name, func(t *testing.T) {
			refuses(t, sshsig.Verify(x.alter(sound).armored(), key, namespace, message), errs.Invalid, x.says)
		})
	}
}

func flip(s string, at int) string {
	b := []byte(s)
	b[at] ^= 1
	return string(b)
}

func TestTruncatedAndExtended(t *testing.T) {
	for _, keyType := range keyTypes() {
		t.Run(keyType, func(t *testing.T) {
			s := newSigner(t, keyType)
			key := publicKey(t, s)
			blob := unarmor(t, sign(t, s))
			for n := range blob {
				if err := sshsig.Verify(rearmor(blob[:n]), key, namespace, message); !errs.Is(err, errs.Invalid) {
					t.Fatalf("cut to %d of %d bytes: %v", n, len(blob), err)
				}
			}
			refuses(t, sshsig.Verify(rearmor(append(blob[:len(blob):len(blob)], 0)), key, namespace, message), errs.Invalid, "1 bytes after its end")
			for i := range blob {
				altered := flip(string(blob), i)
				if err := sshsig.Verify(rearmor([]byte(altered)), key, namespace, message); !errs.Is(err, errs.Invalid) {
					t.Fatalf("byte %d of %d altered: %v", i, len(blob), err)
				}
			}
		})
	}
}

// TestLengthsThatLie has every length field say that there is far more.
func TestLengthsThatLie(t *testing.T) {
	s := newSigner(t, ssh.KeyAlgoED25519)
	blob := unarmor(t, sign(t, s))
	for at := 10; at+4 <= len(blob); at++ {
		for _, n := range []uint32{0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffc} {
			b := bytes.Clone(blob)
			binary.BigEndian.PutUint32(b[at:], n)
			if err := sshsig.Verify(rearmor(b), publicKey(t, s), namespace, message); !errs.Is(err, errs.Invalid) {
				t.Fatalf("length %#x at %d: %v", n, at, err)
			}
		}
	}
}

func TestRSAAlgorithms(t *testing.T) {
	s := newSigner(t, ssh.KeyAlgoRSA).(ssh.AlgorithmSigner)
	key := publicKey(t, s)
	sum := sha512.Sum512(message)
	e := open(t, sign(t, s))
	for algorithm, says := range map[string]string{
		ssh.KeyAlgoRSA:       "RSA with SHA-1",
		ssh.KeyAlgoRSASHA256: "",
		ssh.KeyAlgoRSASHA512: "",
	} {
		with := wrong{s, func(data []byte) (*ssh.Signature, error) { return s.SignWithAlgorithm(rand.Reader, data, algorithm) }}
		err := sshsig.Verify(e.resign(t, with, sum[:]).armored(), key, namespace, message)
		if says != "" {
			refuses(t, err, errs.Invalid, says)
		} else if err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	// A SHA-1 signature under the name of a better one, and the reverse.
	mislabel := wrong{s, func(data []byte) (*ssh.Signature, error) {
		sig, err := s.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSA)
		sig.Format = ssh.KeyAlgoRSASHA512
		return sig, err
	}}
	refuses(t, sshsig.Verify(e.resign(t, mislabel, sum[:]).armored(), key, namespace, message), errs.Invalid, "does not verify")
}

func TestSecurityKeys(t *testing.T) {
	for _, keyType := range []string{ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256} {
		t.Run(keyType, func(t *testing.T) {
			s := newSecurityKey(t, keyType)
			key := publicKey(t, s)
			sum := sha512.Sum512(message)
			e := open(t, sign(t, s))
			for flags, says := range map[byte]string{0: "not touched", 4: "not touched", 1: "", 5: "", 0x85: ""} {
				s.flags = flags
				err := sshsig.Verify(e.resign(t, s, sum[:]).armored(), key, namespace, message)
				if says != "" {
					refuses(t, err, errs.Invalid, says)
				} else if err != nil {
					t.Errorf("flags %#x: %v", flags, err)
				}
			}
			// Flags are signed: a touch cannot be added afterwards.
			s.flags = 4
			e = e.resign(t, s, sum[:])
			e.Proper[len(e.Proper)-5] = 5
			refuses(t, sshsig.Verify(e.armored(), key, namespace, message), errs.Invalid, "does not verify")
			e.Proper = e.Proper[:len(e.Proper)-5]
			refuses(t, sshsig.Verify(e.armored(), key, namespace, message), errs.Invalid, "flags and counter")
		})
	}
}

func TestArmor(t *testing.T) {
	s := newSigner(t, ssh.KeyAlgoED25519)
	key := publicKey(t, s)
	armored := sign(t, s)
	blob := unarmor(t, armored)
	lines := strings.Split(armored, "\n")
	replaceLine := func(i int, f func(string) string) string {
		l := append([]string(nil), lines...)
		l[i] = f(l[i])
		return strings.Join(l, "\n")
	}
	for _, x := range []struct{ name, text, says string }{
		{"as-written", armored, ""},
		{"no-last-newline", strings.TrimSuffix(armored, "\n"), ""},
		{"crlf", wrap(blob, 70, "\r\n"), ""},
		{"crlf-no-last-newline", strings.TrimSuffix(wrap(blob, 70, "\r\n"), "\r\n"), ""},
		{"64-columns", wrap(blob, 64, "\n"), ""},
		{"76-columns", wrap(blob, 76, "\n"), ""},
		{"77-columns", wrap(blob, 77, "\n"), "longer than 76"},
		{"63-columns", wrap(blob, 63, "\n"), "shorter than 64"},
		{"one-line", wrap(blob, 1<<20, "\n"), "longer than 76"},
		{"mixed-endings", strings.Replace(armored, "\n", "\r\n", 1), "mixed"},
		{"mixed-at-the-end", strings.TrimSuffix(wrap(blob, 70, "\r\n"), "\r\n") + "\n", "mixed"},
		{"bare-cr", strings.ReplaceAll(armored, "\n", "\r"), "carriage return"},
		{"cr-cr-lf", strings.ReplaceAll(armored, "\n", "\r\r\n"), "carriage return"},
		{"other-widths", replaceLine(1, func(l string) string { return l[:66] + "\n" + l[66:] }), "shorter than"},
		{"widths-that-change", replaceLine(1, func(l string) string { return l[:66] + "\n" + l[66:] + lines[2][:60] }) + "", "of another width"},
		{"empty", "", "begin with"},
		{"only-begin", lines[0], "end with"},
		{"only-begin-and-end", lines[0] + "\n" + lines[len(lines)-2], "nothing between"},
		{"empty-line", replaceLine(1, func(l string) string { return "\n" + l }), "line 2 of the signature is empty"},
		{"space-before", " " + armored, "begin with"},
		{"newline-before", "\n" + armored, "begin with"},
		{"text-before", "hello\n" + armored, "begin with"},
		{"text-after", armored + "hello\n", "end with"},
		{"newline-after", armored + "\n", "end with"},
		{"twice", armored + armored, "shorter than 64 columns and not the last"},
		{"bom", "\ufeff" + armored, "begin with"},
		{"nul", armored + "\x00", "end with"},
		{"other-pem", strings.ReplaceAll(armored, "SSH SIGNATURE", "PGP SIGNATURE"), "begin with"},
		{"space-in-a-line", replaceLine(1, func(l string) string { return l[:10] + " " + l[11:] }), "not base64"},
		{"url-alphabet", replaceLine(1, func(l string) string { return l[:10] + "-_" + l[12:] }), "not base64"},
		{"padding-inside", replaceLine(1, func(l string) string { return l[:68] + "==" }), "not base64"},
		{"not-the-magic", rearmor(append([]byte("SSHSIH"), blob[6:]...)), "begin with SSHSIG"},
		{"empty-blob", lines[0] + "\n====\n" + lines[len(lines)-2], "not base64"},
		{"huge", lines[0] + "\n" + strings.Repeat(strings.Repeat("A", 70)+"\n", 1<<15) + lines[len(lines)-2], "longer than 16384"},
		{"just-over", armored + strings.Repeat("\n", 16<<10), "longer than 16384"},
	} {
		t.Run(x.name, func(t *testing.T) {
			err := sshsig.Verify(x.text, key, namespace, message)
			if x.says != "" {
				refuses(t, err, errs.Invalid, x.says)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStrictBase64 holds that the bits which padding leaves over are zero.
func TestStrictBase64(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	s := newSigner(t, ssh.KeyAlgoED25519)
	for _, ns := range []string{"a", "ab", "abc"} { // one of the lengths has no padding
		armored, err := sshsig.Sign(s, ns, message)
		if err != nil {
			t.Fatal(err)
		}
		end := strings.Index(armored, "=")
		if end < 0 {
			continue
		}
		b := []byte(armored)
		b[end-1] = alphabet[strings.IndexByte(alphabet, b[end-1])+1]
		refuses(t, sshsig.Verify(string(b), publicKey(t, s), ns, message), errs.Invalid, "not base64")
	}
}
