package sshsig_test

import (
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
	"countersign/internal/sshsig"
)

func line(keyType string, blob []byte) string {
	return keyType + " " + base64.StdEncoding.EncodeToString(blob)
}

func TestParsePublicKey(t *testing.T) {
	for _, keyType := range keyTypes() {
		t.Run(keyType, func(t *testing.T) {
			pub := newSigner(t, keyType).PublicKey()
			canonical := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(pub)), "\n")
			for _, text := range []string{canonical, canonical + "\n", canonical + "\r\n", canonical + " alice@example.com",
				" " + strings.Replace(canonical, " ", "\t ", 1) + " two words \n"} {
				key, err := sshsig.ParsePublicKey(text)
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				if key.String() != canonical || key.Fingerprint() != ssh.FingerprintSHA256(pub) || key.Algorithm() != keyType || key.IsZero() {
					t.Errorf("%q: %s %s %s", text, key, key.Fingerprint(), key.Algorithm())
				}
				if again, err := sshsig.ParsePublicKey(key.String()); err != nil || again != key {
					t.Errorf("read back: %v, %v", again, err)
				}
			}
		})
	}
}

func TestRefusedPublicKeys(t *testing.T) {
	const ed = ssh.KeyAlgoED25519
	sound := strings.TrimSpace(read(t, "ed25519.pub"))
	encoded := strings.Fields(sound)[1]
	rsaSound := strings.Fields(read(t, "rsa2048.pub"))[1]
	edBlob := newSigner(t, ed).PublicKey().Marshal()
	rsaBlob := func(e int64, n *big.Int) []byte {
		return ssh.Marshal(struct {
			Type string
			E, N *big.Int
		}{ssh.KeyAlgoRSA, big.NewInt(e), n})
	}
	bits := func(n uint) *big.Int { return new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), n-1), 0, 1) }
	padded := ssh.Marshal(struct {
		Type string
		E    []byte
		N    []byte
	}{ssh.KeyAlgoRSA, []byte{0, 0, 1, 0, 1}, append([]byte{0}, bits(2048).Bytes()...)})
	for _, x := range []struct{ name, line, says string }{
		{"empty", "", "is empty"},
		{"spaces", " \t \n", "is empty"},
		{"dsa", read(t, "dsa.pub"), "DSA keys are too weak"},
		{"dsa-under-another-name", ed + " " + strings.Fields(read(t, "dsa.pub"))[1], "DSA keys are too weak"},
		{"certificate", read(t, "ed25519-cert.pub"), "certificates are refused"},
		{"certificate-under-another-name", ed + " " + strings.Fields(read(t, "ed25519-cert.pub"))[1], "certificates are refused"},
		{"rsa-1024", read(t, "rsa1024.pub"), "at least 2048 bits"},
		{"rsa-2047", line(ssh.KeyAlgoRSA, rsaBlob(65537, bits(2047))), "at least 2048 bits"},
		{"rsa-2048", line(ssh.KeyAlgoRSA, rsaBlob(65537, bits(2048))), ""},
		{"rsa-16384", line(ssh.KeyAlgoRSA, rsaBlob(65537, bits(16384))), ""},
		{"rsa-16385", line(ssh.KeyAlgoRSA, rsaBlob(65537, bits(16385))), "damaged"},
		{"rsa-exponent-1", line(ssh.KeyAlgoRSA, rsaBlob(1, bits(2048))), "damaged"},
		{"rsa-exponent-even", line(ssh.KeyAlgoRSA, rsaBlob(65536, bits(2048))), "damaged"},
		{"rsa-negative", line(ssh.KeyAlgoRSA, rsaBlob(65537, new(big.Int).Neg(bits(2048)))), "at least 2048 bits"},
		{"rsa-padded", line(ssh.KeyAlgoRSA, padded), "only right form"},
		{"rsa-sha2-type", "rsa-sha2-512 " + rsaSound, "is no type of key"},
		{"type-mismatch", "ssh-rsa " + encoded, "the line says ssh-rsa, and the key in it is ssh-ed25519"},
		{"options", `command="x" ` + sound, "options"},
		{"options-restrict", "restrict " + sound, "options"},
		{"principals-before-certificate", "cert-authority " + read(t, "ed25519-cert.pub"), "options"},
		{"two-lines", sound + "\n" + sound + "\n", "several"},
		{"two-newlines", sound + "\n\n", "several"},
		{"cr-inside", sound + "\rx", "several"},
		{"two-on-a-line", sound + " " + sound, "several keys in the line"},
		{"pem", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "PEM file"},
		{"no-type", encoded, "must begin with the type"},
		{"type-alone", ed, "after the type"},
		{"unknown-type", "ssh-ed448 AAAA", "must begin with the type"},
		{"not-base64", ed + " ***", "not base64"},
		{"base64-unpadded", ed + " " + base64.RawStdEncoding.EncodeToString(append(edBlob, 0)), "not base64"},
		{"cut", line(ed, edBlob[:len(edBlob)-1]), "damaged"},
		{"longer", line(ed, append(edBlob[:len(edBlob):len(edBlob)], 0)), "damaged"},
		{"empty-blob", ed + " ====", "not base64"},
		{"unknown-inside", line(ed, ssh.Marshal(struct{ T string }{"ssh-ed448"})), "type that is not accepted"},
		{"oversize", sound + " " + strings.Repeat("c", 8<<10), "longer than 8192"},
	} {
		t.Run(x.name, func(t *testing.T) {
			key, err := sshsig.ParsePublicKey(x.line)
			if x.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			refuses(t, err, errs.Invalid, x.says)
			if errs.As(err).Field != sshsig.FieldPublicKey || !key.IsZero() {
				t.Errorf("field %q, key %v", errs.As(err).Field, key)
			}
		})
	}
}

// TestNothingIsRepeated pastes something secret where a key should be.
func TestNothingIsRepeated(t *testing.T) {
	const canary = "canary-5e1f"
	for _, text := range []string{canary, canary + " " + canary, "ssh-ed25519 " + canary, "-----BEGIN " + canary + "\n" + canary,
		`command="` + canary + `" ` + read(t, "ed25519.pub"), "ssh-ed25519 " + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x0b"+canary))} {
		_, err := sshsig.ParsePublicKey(text)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{canary, rearmor([]byte(canary)), rearmor([]byte("SSHSIG" + canary))} {
		_, err := sshsig.Parse(text)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestKeysOfSmallOrder shows why they are refused: for the point of order one a
// signature that nobody made holds for every message.
func TestKeysOfSmallOrder(t *testing.T) {
	for _, y := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		for _, sign := range []byte{0, 0x80} {
			point, err := hex.DecodeString(y)
			if err != nil {
				t.Fatal(err)
			}
			point[31] |= sign
			blob := ssh.Marshal(struct{ Type, Key string }{ssh.KeyAlgoED25519, string(point)})
			_, err = sshsig.ParsePublicKey(line(ssh.KeyAlgoED25519, blob))
			refuses(t, err, errs.Invalid, "anybody can sign")
			blob = ssh.Marshal(struct{ Type, Key, Application string }{ssh.KeyAlgoSKED25519, string(point), application})
			_, err = sshsig.ParsePublicKey(line(ssh.KeyAlgoSKED25519, blob))
			refuses(t, err, errs.Invalid, "anybody can sign")
		}
	}
	one := make([]byte, 32)
	one[0] = 1
	pub, err := ssh.ParsePublicKey(ssh.Marshal(struct{ Type, Key string }{ssh.KeyAlgoED25519, string(one)}))
	if err != nil {
		t.Fatal(err)
	}
	forged := &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: append(one[:32:32], make([]byte, 32)...)} // R = 1, S = 0
	for _, m := range []string{"one", "two", "three"} {
		if pub.Verify([]byte(m), forged) != nil {
			t.Errorf("the forgery does not hold for %q: the refusal may not be needed any more", m)
		}
	}
}
