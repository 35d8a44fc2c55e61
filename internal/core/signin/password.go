package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Bounds of a password.
const (
	MinPassword = 12   // characters
	MaxPassword = 1024 // bytes
)

// Params are those of Argon2id.
type Params struct {
	Memory  uint32 // KiB
	Time    uint32
	Threads uint8
}

// DefaultParams are of OWASP's password storage guide, which has several that are
// worth the same: this one takes the least memory that is not small for
// guessing on graphics cards, so that four at once fit beside an idle server.
var DefaultParams = Params{Memory: 19 << 10, Time: 2, Threads: 1}

// collectFrom is the memory of a hash, in KiB, from which on it is collected at
// once. The server lets its heap grow several times over between collections,
// which is right for small requests, and would be hundreds of MiB after a few
// passwords.
const collectFrom = 8 << 10

const (
	saltLen = 16
	hashLen = 32
	// maxWaiting is how many may wait for their turn to hash. More would only
	// time out.
	maxWaiting = 64
)

// password is a hash with what it was made with.
type password struct {
	Memory  uint32 `cbor:"1,keyasint"`
	Time    uint32 `cbor:"2,keyasint"`
	Threads uint8  `cbor:"3,keyasint"`
	Salt    []byte `cbor:"4,keyasint"`
	Hash    []byte `cbor:"5,keyasint"`
}

// hasher makes and checks hashes, few at a time.
type hasher struct {
	params  Params
	turn    chan struct{}
	waiting chan struct{}
	dummy   password
	count   func() // told of each hash; for tests
}

func newHasher(p Params, atOnce int) *hasher {
	h := &hasher{params: p, turn: make(chan struct{}, atOnce), waiting: make(chan struct{}, maxWaiting), count: func() {}}
	h.dummy = password{Memory: p.Memory, Time: p.Time, Threads: p.Threads, Salt: random(saltLen), Hash: random(hashLen)}
	return h
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it does not fail
	return b
}

// derive waits for its turn.
func (h *hasher) derive(ctx context.Context, text sensitive.Bytes, p *password) ([]byte, error) {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return nil, errs.Coded(errs.Throttled, CodeBusy, "too many passwords are being checked: try again")
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.count()
	out := argon2.IDKey(text.Reveal(), p.Salt, p.Time, p.Memory, p.Threads, hashLen)
	if p.Memory >= collectFrom {
		runtime.GC()
	}
	return out, nil
}

// make hashes a new password.
func (h *hasher) make(ctx context.Context, text sensitive.Bytes) (*password, error) {
	p := &password{Memory: h.params.Memory, Time: h.params.Time, Threads: h.params.Threads, Salt: random(saltLen)}
	var err error
	p.Hash, err = h.derive(ctx, text, p)
	return p, err
}

// check compares. A nil password is that of nobody: it never fits, and takes as
// long as one that does.
func (h *hasher) check(ctx context.Context, text sensitive.Bytes, p *password) (bool, error) {
	real := p
	if p == nil {
		real = &h.dummy
	}
	if text.Len() > MaxPassword {
		text = sensitive.Bytes{}
	}
	got, err := h.derive(ctx, text, real)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, real.Hash) == 1 && p != nil && text.Len() > 0, nil
}

// outdated reports whether a hash was made with other parameters than those of
// new ones.
func (h *hasher) outdated(p *password) bool {
	return Params{p.Memory, p.Time, p.Threads} != h.params
}

// CheckPassword refuses a password that is too short, too long, that anybody
// would try first, or that is the user's name.
func CheckPassword(user string, text sensitive.Bytes) error {
	b := text.Reveal()
	weak := func(msg string) error {
		return &errs.Error{Kind: errs.Invalid, Code: CodeWeak, Field: "password", Msg: msg}
	}
	switch {
	case len(b) > MaxPassword:
		return weak("the password is longer than 1024 bytes")
	case !utf8.Valid(b):
		return weak("the password is not UTF-8")
	case utf8.RuneCount(b) < MinPassword:
		return weak("the password is shorter than 12 characters")
	}
	lower := strings.ToLower(string(b))
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r > 0x7f {
			return r
		}
		return -1
	}, lower)
	name := strings.ToLower(user)
	switch {
	case name != "" && strings.Trim(strings.ReplaceAll(lower, name, ""), "0123456789!@#$%^&*-_. ") == "":
		return weak("the password is the user's name with little added")
	case repeats(lower):
		return weak("the password repeats a few characters")
	case common[lower] || len(plain) > 0 && common[plain]:
		return weak("the password is among those that are tried first")
	}
	return nil
}

// repeats reports whether a text is one of at most four characters again and
// again.
func repeats(s string) bool {
	r := []rune(s)
	for n := 1; n <= 4 && n < len(r); n++ {
		same := true
		for i := n; i < len(r) && same; i++ {
			same = r[i] == r[i-n]
		}
		if same {
			return true
		}
	}
	return false
}
