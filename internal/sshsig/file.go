package sshsig

import (
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
)

// maxKeyFile is more than the largest key file that ssh-keygen writes, which
// has some 13 KiB.
const maxKeyFile = 64 << 10

// Signer is a key that signs, and where it comes from. It must be closed. It is
// not safe for concurrent use.
type Signer interface {
	ssh.AlgorithmSigner
	io.Closer
}

// FromFile opens a private key in a file, of OpenSSH's own format or PEM. A path
// that ends in .pub means the agent's key with that public key, as it does to
// ssh-keygen; the agent is that of SSH_AUTH_SOCK.
//
// A private key that others can read is refused (errs.Precondition), as ssh
// refuses it. The passphrase is asked for once, and only when the key is
// encrypted; nil means that nobody can be asked. A wrong passphrase is
// errs.Denied, so that a caller can ask again.
func FromFile(path string, passphrase func() ([]byte, error)) (Signer, error) {
	if strings.HasSuffix(path, ".pub") {
		line, err := readFile(path, false)
		if err != nil {
			return nil, err
		}
		key, err := ParsePublicKey(string(line))
		if err != nil {
			return nil, errs.Wrap(errs.Invalid, err, "the file of the public key")
		}
		return FromAgent(os.Getenv("SSH_AUTH_SOCK"), key.String())
	}
	pem, err := readFile(path, true)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		signer, err = decrypt(pem, path, passphrase)
	}
	if err != nil {
		return nil, explain(err, path)
	}
	if _, err := keyOf(signer.PublicKey()); err != nil {
		return nil, errs.New(errs.Invalid, "the key in file %q is of no use: %s", path, errs.As(err).Msg)
	}
	as, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errs.New(errs.Invalid, "the key in file %q cannot sign as is needed", path)
	}
	return fileSigner{as}, nil
}

func decrypt(pem []byte, path string, passphrase func() ([]byte, error)) (ssh.Signer, error) {
	if passphrase == nil {
		return nil, errs.New(errs.Precondition, "the key in file %q is encrypted, and there is nobody to ask for its passphrase: use the agent", path)
	}
	secret, err := passphrase()
	if err != nil {
		return nil, errs.Wrap(kindOf(err, errs.Canceled), err, "asking for the passphrase")
	}
	if len(secret) == 0 { // which the ssh package takes for a defect of the file
		return nil, x509.IncorrectPasswordError
	}
	return ssh.ParsePrivateKeyWithPassphrase(pem, secret)
}

// explain says what is wrong with a file that is no private key, or none that
// can be used. The texts of the ssh package hold nothing of the key.
func explain(err error, path string) error {
	var ours *errs.Error
	switch {
	case errors.As(err, &ours):
		return err
	case errors.Is(err, x509.IncorrectPasswordError):
		return errs.New(errs.Denied, "the passphrase is wrong for the key in file %q", path)
	}
	return errs.Wrap(errs.Invalid, err, "the file is no private key that can be used here; "+
		"keys of security keys and of other formats work through the agent")
}

// readFile reads a regular file of bounded size, which must be private if it
// holds a private key.
func readFile(path string, private bool) ([]byte, error) {
	// A named pipe would block when it is opened.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, errs.New(errs.Invalid, "key file %q is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		kind := errs.Precondition
		switch {
		case errors.Is(err, fs.ErrNotExist):
			kind = errs.NotFound
		case errors.Is(err, fs.ErrPermission):
			kind = errs.Denied
		}
		return nil, errs.Wrap(kind, err, "the key file cannot be opened")
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, errs.Wrap(errs.Precondition, err, "the key file cannot be examined")
	case !info.Mode().IsRegular():
		return nil, errs.New(errs.Invalid, "key file %q is no regular file", path)
	case private && info.Mode().Perm()&0o077 != 0:
		return nil, errs.New(errs.Precondition, "key file %q is open to others (mode %04o): make it 0600, and think about who may have read it",
			path, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, errs.Wrap(errs.Precondition, err, "the key file cannot be read")
	case len(b) > maxKeyFile:
		return nil, errs.New(errs.Limit, "key file %q is larger than %d bytes", path, maxKeyFile)
	}
	return b, nil
}

type fileSigner struct{ ssh.AlgorithmSigner }

// Close does nothing.
func (fileSigner) Close() error { return nil }
