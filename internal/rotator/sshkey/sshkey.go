// Package sshkey rotates an SSH key pair.
//
// The value is an object with the members private_key (as OpenSSH writes it, without
// a passphrase), public_key (a line of authorized_keys), fingerprint (SHA256:…) and
// previous_public_key, the line that was public_key before, "" when there was none.
// Other members stay as they are.
//
// There is no target: who distributes authorized_keys takes public_key and, until
// every client has the new private key, previous_public_key. What is carried over as
// the latter is read as a key and written anew: options, as authorized_keys has them,
// and further lines do not get there.
package sshkey

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/keys"
)

const (
	defaultType = "ed25519"
	maxComment  = 256
)

// types are the kinds of keys as OpenSSH calls them, and as package keys does.
var types = map[string]string{
	"ed25519":    "ed25519",
	"ecdsa-p256": "ec-p256",
	"ecdsa-p384": "ec-p384",
	"rsa-3072":   "rsa-3072",
	"rsa-4096":   "rsa-4096",
}

// Kind is the row of the list of rotators.
func Kind() rotator.Kind {
	return rotator.Kind{
		Name:   "sshkey",
		Help:   "an SSH key pair",
		Fate:   rotator.Stored,
		Undoes: true,
		Options: []rotator.Option{
			{Name: "type", Help: "ed25519, ecdsa-p256, ecdsa-p384, rsa-3072 or rsa-4096; default ed25519"},
			{Name: "comment", Help: "what stands behind the public key, at most 256 bytes; default: the name of the secret"},
		},
		Check: check,
		New:   func(rotator.Env) rotator.Rotator { return sshkey{} },
	}
}

func check(options map[string]string) error {
	if err := keys.Check("type", options["type"], []string{"ed25519", "ecdsa-p256", "ecdsa-p384", "rsa-3072", "rsa-4096"}); err != nil {
		return err
	}
	if c := options["comment"]; !plain(c) || strings.TrimSpace(c) != c {
		return errs.InvalidField("comment", "comment is one line of printable text, at most %d bytes, without spaces around it", maxComment)
	}
	return nil
}

// plain reports whether a text can stand at the end of a line of authorized_keys.
func plain(s string) bool {
	return len(s) <= maxComment && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

type sshkey struct{ keys.Stored }

// Create makes a pair.
func (sshkey) Create(ctx context.Context, j rotator.Job) (rotator.Created, error) {
	o, err := keys.Object(j.Current)
	if err != nil {
		return rotator.Created{}, err
	}
	previous, err := previousLine(o)
	if err != nil {
		return rotator.Created{}, err
	}
	typ := j.Options["type"]
	if typ == "" {
		typ = defaultType
	}
	key, err := keys.Generate(ctx, types[typ])
	if err != nil {
		return rotator.Created{}, err
	}
	comment := j.Options["comment"]
	if comment == "" && plain(j.Name) {
		comment = j.Name
	}
	block, err := ssh.MarshalPrivateKey(key, comment)
	if err != nil {
		return rotator.Created{}, rotator.Fail(rotator.Broken, err, "writing a private key")
	}
	pub, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return rotator.Created{}, rotator.Fail(rotator.Broken, err, "writing a public key")
	}
	o.Set("private_key", string(pem.EncodeToMemory(block)))
	o.Set("public_key", line(pub, comment))
	o.Set("fingerprint", ssh.FingerprintSHA256(pub))
	o.Set("previous_public_key", previous)
	return o.Created()
}

func line(pub ssh.PublicKey, comment string) string {
	return strings.TrimRight(strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(pub)), "\n")+" "+comment, " ")
}

// previousLine is the public key of the current value, written anew. The private key
// counts for more than what stands beside it, for the clients have that.
func previousLine(o *rotator.Object) (string, error) {
	var pub ssh.PublicKey
	comment := ""
	if text := o.Get("public_key"); text != "" {
		p, c, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
		if err != nil || !plain(c) || len(p.Marshal()) > keys.MaxPEM {
			return "", rotator.Fail(rotator.Unsuitable, err, "the member public_key is no public key as authorized_keys has it")
		}
		pub, comment = p, c
	}
	if text := o.Get("private_key"); text != "" {
		key, err := parsePrivate(text)
		if err != nil {
			return "", err
		}
		pub = key.PublicKey()
	}
	if pub == nil {
		return "", nil
	}
	return line(pub, comment), nil
}

// parsePrivate reads a private key in the form of OpenSSH, or as PEM.
func parsePrivate(text string) (ssh.Signer, error) {
	bad := func(err error) (ssh.Signer, error) {
		return nil, rotator.Fail(rotator.Unsuitable, err, "the member private_key is no private key without a passphrase that is supported")
	}
	if len(text) > keys.MaxPEM {
		return bad(nil)
	}
	raw, err := ssh.ParseRawPrivateKey([]byte(text))
	if err != nil {
		return bad(err)
	}
	if p, ok := raw.(*ed25519.PrivateKey); ok {
		raw = *p
	}
	key, ok := raw.(crypto.Signer)
	if !ok || !keys.Supported(key.Public()) {
		return bad(nil)
	}
	s, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		return bad(err)
	}
	return s, nil
}

// Test signs as a login does, verifies with the public key, and holds the fingerprint
// against it.
func (sshkey) Test(_ context.Context, j rotator.Job) error {
	o, err := rotator.ParseObject(j.Pending)
	if err != nil {
		return err
	}
	private, err := o.Need("private_key")
	if err != nil {
		return err
	}
	public, err := o.Need("public_key")
	if err != nil {
		return err
	}
	key, err := parsePrivate(private)
	if err != nil {
		return err
	}
	pub, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(public))
	if err != nil || len(rest) > 0 {
		return rotator.Fail(rotator.Unsuitable, err, "the member public_key is no public key as authorized_keys has it")
	}
	if err := prove(key, pub); err != nil {
		return err
	}
	if o.Get("fingerprint") != ssh.FingerprintSHA256(pub) {
		return rotator.Fail(rotator.Rejected, nil, "the member fingerprint is not that of the key")
	}
	return nil
}

func prove(key ssh.Signer, pub ssh.PublicKey) error {
	text := []byte("a pair of keys is proved by a signature")
	var sig *ssh.Signature
	var err error
	if s, ok := key.(ssh.AlgorithmSigner); ok && pub.Type() == ssh.KeyAlgoRSA {
		sig, err = s.SignWithAlgorithm(rand.Reader, text, ssh.KeyAlgoRSASHA512) // SHA-1 no server takes
	} else {
		sig, err = key.Sign(rand.Reader, text)
	}
	if err != nil {
		return rotator.Fail(rotator.Rejected, err, "the private key cannot sign")
	}
	if err := pub.Verify(text, sig); err != nil {
		return rotator.Fail(rotator.Rejected, err, "the private and the public key do not belong together")
	}
	return nil
}
