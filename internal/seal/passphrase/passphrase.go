// Package passphrase is the seal whose secret is something a person knows.
//
// The passphrase goes through Argon2id (RFC 9106) with a random salt of 16
// bytes for each blob; the result encrypts the key with AES-256-GCM. Salt and
// costs stand in the blob, so that they can be raised for new blobs while old
// ones still open. The blob:
//
//	version 1 | time u32 | memory in KiB u32 | threads u8 | salt 16 | nonce 12, ciphertext, tag 16
//
// Numbers are big-endian. The first 26 bytes are authenticated too.
//
// The costs are by default the second recommended option of RFC 9106, section
// 4: three passes over 64 MiB with four lanes. The first option, one pass over 2
// GiB, and anything of its size ends the server in a container of usual size,
// at the moment when it is restarted in a hurry. A guess costs an attacker with
// the stolen store tens of milliseconds of a core and 64 MiB of memory traffic;
// a passphrase of six random words (77 bits) is out of reach at that price, and
// a weak one is not saved by four times of it. Who wants more sets more: the
// costs are in Config.
//
// A blob comes from a disk that may be hostile. Costs outside the limits of this
// package are refused before anything is spent, so that an edited store cannot
// exhaust memory or time at start.
//
// The passphrase comes from a file (private, as package seal has it), an
// environment variable (visible to the user's other processes: a file is
// better), or a function that asks for it. One that has been proved right is
// kept in memory, so that a rotation of the root key does not ask again.
package passphrase

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"

	"golang.org/x/crypto/argon2"

	"countersign/internal/seal"
	"countersign/internal/sensitive"
)

// Kind is the seal's name in a store.
const Kind = "passphrase"

// Limits on costs, in Config and in a blob. The lower ones are what OWASP gives
// as the least for Argon2id; together with MaxWork the upper ones keep a hostile
// blob under 1 GiB of memory and a few seconds.
const (
	MinTime, MaxTime       = 2, 64
	MinMemory, MaxMemory   = 19 << 10, 1 << 20 // KiB
	MinThreads, MaxThreads = 1, 16
	MaxWork                = 4 << 20 // KiB written in all: time x memory
)

// MaxLength is the largest passphrase, in bytes.
const MaxLength = 1024

const (
	blobVersion = 1
	saltSize    = 16
	headerSize  = 1 + 4 + 4 + 1 + saltSize
)

// Costs are the parameters of Argon2id. The zero value stands for the default.
type Costs struct {
	Time    uint32 // passes; default 3
	Memory  uint32 // KiB; default 65536
	Threads uint8  // lanes; default 4
}

// Config says where the passphrase comes from: exactly one of File, Env and
// Prompt.
type Config struct {
	File   string // path of a private file; one line end at its end is cut
	Env    string // name of an environment variable
	Prompt func(context.Context) (sensitive.Bytes, error)

	Costs Costs // for new blobs; zero means the default
}

// Seal wraps keys under a passphrase.
type Seal struct {
	cfg Config

	mu    sync.Mutex // held while deriving: one derivation's memory at a time
	known sensitive.Bytes
}

var _ seal.Seal = (*Seal)(nil)

// New checks the configuration and returns the seal. It asks for nothing yet.
func New(cfg Config) (*Seal, error) {
	sources := 0
	for _, given := range []bool{cfg.File != "", cfg.Env != "", cfg.Prompt != nil} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		return nil, fmt.Errorf("preparing passphrase seal: %d sources given, want one of file, environment variable and prompt", sources)
	}
	if cfg.Costs == (Costs{}) {
		cfg.Costs = Costs{Time: 3, Memory: 64 << 10, Threads: 4}
	}
	if err := cfg.Costs.check(); err != nil {
		return nil, fmt.Errorf("preparing passphrase seal: %w", err)
	}
	return &Seal{cfg: cfg}, nil
}

func (c Costs) check() error {
	switch {
	case c.Time < MinTime || c.Time > MaxTime:
		return fmt.Errorf("time of %d passes, not %d to %d", c.Time, MinTime, MaxTime)
	case c.Memory < MinMemory || c.Memory > MaxMemory:
		return fmt.Errorf("memory of %d KiB, not %d to %d", c.Memory, MinMemory, MaxMemory)
	case c.Threads < MinThreads || c.Threads > MaxThreads:
		return fmt.Errorf("%d threads, not %d to %d", c.Threads, MinThreads, MaxThreads)
	case uint64(c.Time)*uint64(c.Memory) > MaxWork:
		return fmt.Errorf("%d passes over %d KiB, more than %d KiB in all", c.Time, c.Memory, MaxWork)
	}
	return nil
}

// Kind returns the seal's name.
func (s *Seal) Kind() string { return Kind }

// Wrap encrypts key under the passphrase with a fresh salt.
func (s *Seal) Wrap(ctx context.Context, key sensitive.Bytes, aad []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	phrase, err := s.phrase(ctx)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails; the runtime ends the process instead
	head := header(s.cfg.Costs, salt)
	blob, err := seal.Encrypt(head, Kind, derive(phrase, s.cfg.Costs, salt), key, bind(head, aad))
	if err != nil {
		return nil, err
	}
	s.known = phrase
	return blob, nil
}

// Unwrap decrypts a blob that was made with the same passphrase.
func (s *Seal) Unwrap(ctx context.Context, blob, aad []byte) (sensitive.Bytes, error) {
	costs, salt, err := parse(blob)
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("reading blob of passphrase seal: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	phrase, err := s.phrase(ctx)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	key, err := seal.Decrypt(Kind, derive(phrase, costs, salt), blob[headerSize:], bind(blob[:headerSize], aad))
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("the passphrase is wrong or the sealed key was changed: %w", err)
	}
	s.known = phrase
	return key, nil
}

// parse reads and bounds the head of a blob. Every blob that it accepts is long
// enough to be cut at headerSize.
func parse(blob []byte) (Costs, []byte, error) {
	if len(blob) == 0 || blob[0] != blobVersion {
		return Costs{}, nil, seal.ErrFormat
	}
	if len(blob) < headerSize || len(blob) > seal.MaxBlob {
		return Costs{}, nil, fmt.Errorf("%w: blob of %d bytes", seal.ErrFormat, len(blob))
	}
	c := Costs{
		Time:    binary.BigEndian.Uint32(blob[1:]),
		Memory:  binary.BigEndian.Uint32(blob[5:]),
		Threads: blob[9],
	}
	if err := c.check(); err != nil {
		return Costs{}, nil, fmt.Errorf("%w: %w", seal.ErrFormat, err)
	}
	return c, blob[10:headerSize], nil
}

func header(c Costs, salt []byte) []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, blobVersion)
	b = binary.BigEndian.AppendUint32(b, c.Time)
	b = binary.BigEndian.AppendUint32(b, c.Memory)
	b = append(b, c.Threads)
	return append(b, salt...)
}

// bind is injective: the head has one length.
func bind(head, aad []byte) []byte { return append(bytes.Clone(head), aad...) }

// derive returns the memory it took to the system, for a server that needs 64
// MiB once should not hold them for ever.
func derive(phrase sensitive.Bytes, c Costs, salt []byte) []byte {
	k := argon2.IDKey(phrase.Reveal(), salt, c.Time, c.Memory, c.Threads, seal.KeySize)
	debug.FreeOSMemory()
	return k
}

// phrase returns the passphrase, asking for it when none has been proved yet.
func (s *Seal) phrase(ctx context.Context) (sensitive.Bytes, error) {
	if s.known.Len() > 0 {
		return s.known, nil
	}
	p, err := s.ask(ctx)
	switch {
	case err != nil:
		return sensitive.Bytes{}, fmt.Errorf("asking for passphrase: %w", err)
	case p.Len() == 0:
		return sensitive.Bytes{}, fmt.Errorf("asking for passphrase: %w: it is empty", seal.ErrSecret)
	case p.Len() > MaxLength:
		return sensitive.Bytes{}, fmt.Errorf("asking for passphrase: %w: it is longer than %d bytes", seal.ErrSecret, MaxLength)
	}
	return p, nil
}

func (s *Seal) ask(ctx context.Context) (sensitive.Bytes, error) {
	if err := ctx.Err(); err != nil {
		return sensitive.Bytes{}, err
	}
	switch {
	case s.cfg.Prompt != nil:
		return s.cfg.Prompt(ctx)
	case s.cfg.Env != "":
		v, ok := os.LookupEnv(s.cfg.Env)
		if !ok {
			return sensitive.Bytes{}, errors.Join(seal.ErrSecret, fmt.Errorf("environment variable %q is not set", s.cfg.Env))
		}
		return sensitive.FromString(v), nil
	}
	b, err := seal.ReadPrivate(s.cfg.File, MaxLength+2)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	p, _ := bytes.CutSuffix(b.Reveal(), []byte("\n"))
	p, _ = bytes.CutSuffix(p, []byte("\r"))
	return sensitive.New(p), nil
}
