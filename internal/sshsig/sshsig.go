// Package sshsig makes and verifies signatures over a message with SSH keys, in
// the format of `ssh-keygen -Y sign` (PROTOCOL.sshsig of OpenSSH).
//
//	key, err := sshsig.ParsePublicKey("ssh-ed25519 AAAA… alice@example.com")
//	signer, err := sshsig.FromAgent(os.Getenv("SSH_AUTH_SOCK"), key.Fingerprint())
//	defer signer.Close()
//	armored, err := sshsig.Sign(signer, "approval@countersign", digest)
//	err = sshsig.Verify(armored, key, "approval@countersign", digest)
//
// # What a signature says
//
// That the holder of one key signed one message for one purpose. The purpose is
// the namespace: a signature that somebody gave over a commit or a file never
// counts as an approval, because the signed bytes hold another namespace. Verify
// takes the key and the namespace from its caller, never from the signature.
// What this package does not say is whose the key is, and whether the person may
// do what was signed: that is the caller's, who keeps the registered keys.
//
// # What is accepted
//
// Keys: ed25519, ECDSA on P-256, P-384 and P-521, RSA of at least 2048 bits,
// and ed25519 and ECDSA P-256 on security keys (FIDO), whose signatures count
// only when the key was touched. RSA signs with SHA-2 alone: SHA-1 collides, and
// a signature over one message would be one over another. DSA keys and
// certificates are refused, and so are ed25519 keys of small order, whose
// "signatures" anybody can make.
//
// Verify is as strict as ssh-keygen or stricter. It refuses a signature with a
// reserved field that is not empty (ssh-keygen does not cover it by the signed
// bytes, so anyone could change it), with bytes after its end, with mixed line
// endings and with lines of no width that a tool writes. Two armored texts can
// still stand for one signature (line width, line endings), and an ECDSA
// signature can be turned into a second valid one by anyone: never use the
// text of a signature as an identity.
//
// Everything stays inside limits that are checked before anything is decoded. A
// message of an error never repeats what was given, other than names of
// algorithms and namespaces and fingerprints, which are public.
//
// Functions and values are safe for concurrent use; a [Signer] is not.
package sshsig

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
)

// Names of the members at fault, in errs.Error.Field.
const (
	FieldSignature = "signature"
	FieldPublicKey = "public_key"
	FieldNamespace = "namespace"
)

// The limits.
const (
	MaxArmored   = 16 << 10 // bytes of an armored signature; one by RSA of 16384 bits has 6 KiB
	MaxNamespace = 255      // bytes of a namespace
	MaxKeyLine   = 8 << 10  // bytes of a public key's line, comment included
)

// Verify holds an armored signature against a message. It returns nil only when
// the signature was made with that key, for exactly that namespace, over exactly
// these bytes. An error is of kind errs.Invalid and says what does not fit.
func Verify(armored string, key PublicKey, namespace string, message []byte) error {
	s, err := Parse(armored)
	if err != nil {
		return err
	}
	return s.Verify(key, namespace, message)
}

// Verify is the function of that name for a signature that is already parsed.
func (s Signature) Verify(key PublicKey, namespace string, message []byte) error {
	if err := checkNamespace(namespace); err != nil {
		return err
	}
	if key.IsZero() {
		return errs.InvalidField(FieldPublicKey, "there is no public key to hold the signature against")
	}
	if s.Key.IsZero() {
		return badSignature("there is no signature")
	}
	if s.Namespace != namespace {
		return badSignature("the signature is for namespace %q, not for %q", s.Namespace, namespace)
	}
	if s.Key != key {
		return badSignature("the signature was made with key %s, not with %s", s.Key.Fingerprint(), key.Fingerprint())
	}
	pub, err := ssh.ParsePublicKey([]byte(key.blob))
	if err != nil {
		return errs.Wrap(errs.Internal, err, "parsing a public key again")
	}
	if err := pub.Verify(signedBytes(namespace, s.Hash, message), s.signature()); err != nil {
		return &errs.Error{Kind: errs.Invalid, Field: FieldSignature, Err: err,
			Msg: "the signature does not verify: it is damaged, or it was made over something else"}
	}
	return nil
}

// Sign makes an armored signature over a message. An RSA key signs with
// rsa-sha2-512; it needs a signer that can be told so (ssh.AlgorithmSigner). What
// Sign returns has been verified: a signer that answers with something else, as
// an old agent does that knows SHA-1 only, is an error here and not at the
// verifier.
func Sign(signer ssh.Signer, namespace string, message []byte) (string, error) {
	if err := checkNamespace(namespace); err != nil {
		return "", err
	}
	key, err := keyOf(signer.PublicKey())
	if err != nil {
		return "", err
	}
	data := signedBytes(namespace, hashSHA512, message)
	var sig *ssh.Signature
	if key.algorithm == ssh.KeyAlgoRSA {
		as, ok := signer.(ssh.AlgorithmSigner)
		if !ok {
			return "", errs.New(errs.Precondition, "the signer of this RSA key signs with SHA-1 only, which is refused")
		}
		sig, err = as.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	} else {
		sig, err = signer.Sign(rand.Reader, data)
	}
	if err != nil {
		return "", errs.Wrap(kindOf(err, errs.Unavailable), err, "the key did not sign")
	}
	armored := encode(key, namespace, hashSHA512, sig)
	if err := Verify(armored, key, namespace, message); err != nil {
		return "", errs.Wrap(errs.Precondition, err, "the key's signature is of no use")
	}
	return armored, nil
}

// signedBytes is what a key signs: not the message itself but its digest beside
// the namespace, behind a preamble that no other use of an SSH key begins with.
func signedBytes(namespace, hash string, message []byte) []byte {
	var digest []byte
	switch hash {
	case hashSHA256:
		d := sha256.Sum256(message)
		digest = d[:]
	case hashSHA512:
		d := sha512.Sum512(message)
		digest = d[:]
	}
	return append([]byte(magic), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Digest                    []byte
	}{namespace, "", hash, digest})...)
}

// checkNamespace holds the caller's own namespace, and the one in a signature,
// to text that can be shown.
func checkNamespace(namespace string) error {
	if namespace == "" {
		return errs.InvalidField(FieldNamespace, "the namespace is empty")
	}
	if len(namespace) > MaxNamespace {
		return errs.InvalidField(FieldNamespace, "the namespace is longer than %d bytes", MaxNamespace)
	}
	for i := range len(namespace) {
		if c := namespace[i]; c <= ' ' || c > '~' {
			return errs.InvalidField(FieldNamespace, "the namespace has a character at byte %d that is not printable ASCII", i)
		}
	}
	return nil
}

// kindOf keeps the kind of an error that has one.
func kindOf(err error, otherwise errs.Kind) errs.Kind {
	if k := errs.KindOf(err); k != errs.Internal {
		return k
	}
	return otherwise
}

func badSignature(format string, args ...any) error {
	return errs.InvalidField(FieldSignature, format, args...)
}
