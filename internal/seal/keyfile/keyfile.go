// Package keyfile is the seal whose secret is a file.
//
// The file is one line of text:
//
//	countersign-key-file-v1 <44 characters of base64: 32 random bytes>
//
// It is created with mode 0600 when a store is sealed with it for the first
// time, and never again: opening a store whose key file is gone is refused, for
// a new file could not open it and would only hide the loss. The file is
// refused when group or others may read or write it, when it does not belong to
// the user of the process, when it is no regular file (a symbolic link is judged
// by its target), and when its version is unknown.
//
// Whoever has the file and the store has every secret. Keep the file on another
// volume than the store and its backups, and keep a copy of it: without it the
// store is lost. The seal protects against a stolen disk, backup or database
// file, and not against root on the running machine.
package keyfile

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"countersign/internal/seal"
	"countersign/internal/sensitive"
)

// Kind is the seal's name in a store.
const Kind = "key-file"

const (
	header      = "countersign-key-file-"
	version     = "v1"
	maxFile     = 1024 // bytes; a good file has 69
	blobVersion = 1
)

// Config says where the key is.
type Config struct {
	// Path of the key file. Required. Its folder must exist when the file is
	// to be created, on a file system with hard links.
	Path string
}

// Seal wraps keys under the key in a file. It reads the file at each use, and
// keeps nothing of it.
type Seal struct{ path string }

var _ seal.Seal = (*Seal)(nil)

// New returns the seal over the key file. It touches nothing yet.
func New(cfg Config) (*Seal, error) {
	if cfg.Path == "" {
		return nil, errors.New("preparing key file seal: no path given")
	}
	return &Seal{path: cfg.Path}, nil
}

// Kind returns the seal's name.
func (s *Seal) Kind() string { return Kind }

// Wrap encrypts key under the key of the file, which it creates when there is
// none.
func (s *Seal) Wrap(_ context.Context, key sensitive.Bytes, aad []byte) ([]byte, error) {
	k, err := s.load()
	if seal.Missing(err) {
		if err = create(s.path); err == nil {
			k, err = s.load()
		}
	}
	if err != nil {
		return nil, err
	}
	return seal.Encrypt([]byte{blobVersion}, Kind, k.Reveal(), key, aad)
}

// Unwrap decrypts a blob that was made with the same file.
func (s *Seal) Unwrap(_ context.Context, blob, aad []byte) (sensitive.Bytes, error) {
	if len(blob) == 0 || blob[0] != blobVersion {
		return sensitive.Bytes{}, fmt.Errorf("reading blob of key file seal: %w", seal.ErrFormat)
	}
	k, err := s.load()
	if err != nil {
		return sensitive.Bytes{}, err
	}
	key, err := seal.Decrypt(Kind, k.Reveal(), blob[1:], aad)
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("opening with key file %q: %w", s.path, err)
	}
	return key, nil
}

func (s *Seal) load() (sensitive.Bytes, error) {
	b, err := seal.ReadPrivate(s.path, maxFile)
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("loading key file: %w", err)
	}
	k, err := parse(b.Reveal())
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("loading key file %q: %w", s.path, err)
	}
	return sensitive.New(k), nil
}

// parse reads the one line. Errors hold none of it, for a mistyped key is a key.
func parse(b []byte) ([]byte, error) {
	text, ok := strings.CutPrefix(string(b), header)
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with %q", seal.ErrFormat, header)
	}
	v, text, ok := strings.Cut(text, " ")
	if !ok || v != version {
		return nil, fmt.Errorf("%w: its version is not %s", seal.ErrFormat, version)
	}
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	// The decoder skips line breaks wherever they are; this format does not.
	k, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(k) != seal.KeySize || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: it does not hold %d bytes of base64", seal.ErrFormat, seal.KeySize)
	}
	return k, nil
}

func format(k []byte) []byte {
	return []byte(header + version + " " + base64.StdEncoding.EncodeToString(k) + "\n")
}

// create makes the file appear complete or not at all, and never over one that
// is there: it writes beside it, under a name of its own, and links that to the
// path. When another process was faster its file stands and create succeeds.
// A crash leaves at most a file beside it, whose key was never used.
func create(path string) (err error) {
	k := make([]byte, seal.KeySize)
	rand.Read(k) // never fails; the runtime ends the process instead
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new-"+rand.Text())
	if err := write(temp, format(k)); err != nil {
		return fmt.Errorf("creating key file: %w", err)
	}
	defer func() {
		if rerr := os.Remove(temp); err == nil && rerr != nil {
			err = fmt.Errorf("creating key file: %w", rerr)
		}
	}()
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating key file: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func write(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing folder of key file: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing folder of key file: %w", err)
	}
	return nil
}
