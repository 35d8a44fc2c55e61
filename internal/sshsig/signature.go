package sshsig

import (
	"encoding/binary"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
)

const (
	magic   = "SSHSIG"
	version = 1

	hashSHA256 = "sha256"
	hashSHA512 = "sha512"
)

// Signature is a parsed signature: what it says of itself. None of it is proved
// before Verify; Key serves to find the registered key to verify with.
type Signature struct {
	Key       PublicKey
	Namespace string
	Hash      string // of the message: sha256 or sha512
	Algorithm string // of the signature, such as ssh-ed25519 or rsa-sha2-512

	blob string // the signature proper
	rest string // of a security key: flags and counter
}

// signature returns a copy, as the ssh package takes it.
func (s Signature) signature() *ssh.Signature {
	return &ssh.Signature{Format: s.Algorithm, Blob: []byte(s.blob), Rest: []byte(s.rest)}
}

// algorithmsOf are the signature algorithms that fit a type of key.
func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// Parse reads an armored signature and checks everything that can be without
// the message. An error is of kind errs.Invalid with Field [FieldSignature].
func Parse(armored string) (Signature, error) {
	blob, err := dearmor(armored)
	if err != nil {
		return Signature{}, err
	}
	rest, ok := strings.CutPrefix(string(blob), magic)
	if !ok {
		return Signature{}, badSignature("the signature does not begin with %s", magic)
	}
	if len(rest) < 4 {
		return Signature{}, badSignature("the signature is cut short in its version")
	}
	if v := binary.BigEndian.Uint32([]byte(rest[:4])); v != version {
		return Signature{}, badSignature("the signature has format version %d; only version %d is known", v, version)
	}
	rest = rest[4:]
	var key, namespace, reserved, hash, sig string
	for _, part := range []struct {
		name string
		to   *string
	}{{"public key", &key}, {"namespace", &namespace}, {"reserved field", &reserved}, {"hash algorithm", &hash}, {"signature proper", &sig}} {
		if *part.to, rest, ok = cutString(rest); !ok {
			return Signature{}, badSignature("the signature is cut short in its %s", part.name)
		}
	}
	switch {
	case rest != "":
		return Signature{}, badSignature("the signature has %d bytes after its end", len(rest))
	case reserved != "":
		return Signature{}, badSignature("the signature's reserved field is not empty")
	case hash != hashSHA256 && hash != hashSHA512:
		return Signature{}, badSignature("the signature's hash algorithm is neither %s nor %s", hashSHA256, hashSHA512)
	}
	s := Signature{Namespace: namespace, Hash: hash}
	if err := checkNamespace(namespace); err != nil {
		return Signature{}, badSignature("the signature is not for a usable namespace: %s", errs.As(err).Msg)
	}
	if s.Key, err = keyFromBlob(key); err != nil {
		return Signature{}, badSignature("the public key in the signature: %s", errs.As(err).Msg)
	}
	if err := s.parseProper(sig); err != nil {
		return Signature{}, err
	}
	return s, nil
}

// parseProper reads the innermost part: algorithm, signature, and what a
// security key adds.
func (s *Signature) parseProper(sig string) error {
	algorithm, rest, ok := cutString(sig)
	if !ok {
		return badSignature("the signature is cut short in its algorithm")
	}
	if fits := algorithmsOf(s.Key.algorithm); !slices.Contains(fits, algorithm) {
		if algorithm == ssh.KeyAlgoRSA {
			return badSignature("the signature is RSA with SHA-1, which is refused; %s is accepted", strings.Join(fits, " or "))
		}
		return badSignature("the signature's algorithm does not fit its key: %s makes %s", s.Key.algorithm, strings.Join(fits, " or "))
	}
	s.Algorithm = algorithm
	if s.blob, s.rest, ok = cutString(rest); !ok {
		return badSignature("the signature proper is cut short")
	}
	if !s.Key.onSecurityKey() {
		if s.rest != "" {
			return badSignature("the signature proper has %d bytes after its end", len(s.rest))
		}
		return nil
	}
	// PROTOCOL.u2f: one byte of flags and a counter.
	const userPresent = 0x01
	if len(s.rest) != 5 {
		return badSignature("the signature of a security key must end with its flags and counter")
	}
	if s.rest[0]&userPresent == 0 {
		return badSignature("the security key was not touched when it signed")
	}
	return nil
}

// encode is the inverse of Parse.
func encode(key PublicKey, namespace, hash string, sig *ssh.Signature) string {
	return armor(append([]byte(magic), ssh.Marshal(struct {
		Version                                uint32
		Key, Namespace, Reserved, Hash, Proper string
	}{version, key.blob, namespace, "", hash, string(ssh.Marshal(sig))})...))
}

// cutString takes one string off the front: four bytes of length, then itself.
func cutString(in string) (s, rest string, ok bool) {
	if len(in) < 4 {
		return "", "", false
	}
	n := binary.BigEndian.Uint32([]byte(in[:4]))
	if uint64(n) > uint64(len(in)-4) {
		return "", "", false
	}
	return in[4 : 4+n], in[4+n:], true
}
