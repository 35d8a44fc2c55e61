package token

import (
	"time"

	"countersign/internal/core/change"
	"countersign/internal/core/due"
	"countersign/internal/core/gate"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Codes of errors.
const (
	CodeBadToken = "bad-token"      // Unauthenticated: not a token, or not one any more
	CodeNoToken  = "no-token"       // NotFound: there is no such token, of those that were asked about
	CodeNoRole   = "no-token-role"  // NotFound, or Invalid when a token was to be made with it
	CodeWrapping = "wrapping-token" // Invalid: not a wrapping token, or not one any more
	CodeNoPlace  = "no-cubbyhole"   // Invalid: the caller has no cubbyhole
	CodeNoEntry  = "no-entry"       // NotFound: there is nothing at that path
)

// Limits.
const (
	MaxDepth    = 32 // of a tree of tokens
	MaxPolicies = 64 // named in one token or role
	MaxMeta     = 64
	MaxCIDRs    = 64
	MaxText     = 512  // characters of a name, path or piece of metadata
	MaxPath     = 2048 // of what a wrapped answer is the answer of

	MaxEntries = 256      // in a cubbyhole
	MaxEntry   = 64 << 10 // bytes of one
	MaxWrapped = 1 << 20  // bytes of a wrapped answer
)

// SystemTTL is how long a token lasts at most, and when nothing else is said.
const SystemTTL = 768 * time.Hour

// Names of policies that mean something here.
const (
	policyDefault = "default"
	policyRoot    = "root"
	policyAdmin   = "AdministratorAccess"
	policyWrap    = "response-wrapping"
)

// Vault is what the keyring does for this package.
type Vault interface {
	LookupHash(kind, id string) [32]byte
	Seal(dst, plaintext, aad []byte, account string) ([]byte, error)
	Open(dst, ciphertext, aad []byte, account string) ([]byte, error)
}

// Config configures New.
type Config struct {
	Gate       *gate.Gate
	Changes    *change.Service
	Vault      Vault
	MaxTTL     time.Duration // default SystemTTL
	DefaultTTL time.Duration // default SystemTTL, or MaxTTL where that is less
	// Linked reports whether the link by which a login found a principal is still
	// there; see Spec.Link. It changes together with the account's generation.
	// Default: none is.
	Linked func(r kv.Reader, account, link, principal string) (bool, error)
}

// Service is the operations on tokens. It is safe for concurrent use.
type Service struct {
	gate       *gate.Gate
	changes    *change.Service
	vault      Vault
	maxTTL     time.Duration
	defaultTTL time.Duration
	linked     func(r kv.Reader, account, link, principal string) (bool, error)
	known      cache
	woken      due.Bell // wakes the job over the due index
	tidying    due.Bell // and has it look for what is left of what is gone
}

// New returns a Service.
func New(c Config) *Service {
	if c.MaxTTL <= 0 {
		c.MaxTTL = SystemTTL
	}
	if c.DefaultTTL <= 0 {
		c.DefaultTTL = SystemTTL
	}
	if c.Linked == nil {
		c.Linked = func(kv.Reader, string, string, string) (bool, error) { return false, nil }
	}
	return &Service{gate: c.Gate, changes: c.Changes, vault: c.Vault, maxTTL: c.MaxTTL, defaultTTL: min(c.DefaultTTL, c.MaxTTL), linked: c.Linked,
		woken: due.NewBell(), tidying: due.NewBell()}
}

// Kind is the type of a token.
type Kind uint8

// The kinds of tokens that can be asked for, and wrapping tokens.
const (
	KindService Kind = iota
	KindBatch
	kindWrapping
)

// String is the kind in the words of the protocol, in which wrapping tokens are
// service tokens.
func (k Kind) String() string {
	if k == KindBatch {
		return "batch"
	}
	return "service"
}

func badToken() error {
	return errs.Coded(errs.Unauthenticated, CodeBadToken, "the token is not valid")
}

func noToken() error { return errs.Coded(errs.NotFound, CodeNoToken, "bad token") }

// hash is the keyed hash by which a token is found, as a part of keys.
func (s *Service) hash(token string) string {
	h := s.vault.LookupHash("vault-token", token)
	return string(h[:])
}

// Hash is the hash of a token, for Spec.Parent.
func (s *Service) Hash(token string) []byte { return []byte(s.hash(token)) }

func tokenKey(acct, hash string) kv.Key        { return kv.K(acct, "token", hash) }
func accessorKey(acct, accessor string) kv.Key { return kv.K(acct, "token-accessor", accessor) }
func roleKey(acct, n string) kv.Key            { return kv.K(acct, "token-role", n) }
func wrappedKey(acct, hash string) kv.Key      { return kv.K(acct, "token-wrapped", hash) }
func epochKey(acct string) kv.Key              { return kv.K(acct, "token-batch-epoch") }
func entryKey(acct, hash, path string) kv.Key  { return kv.K(acct, "cubbyhole", hash, path) }

// underKey is the index from what tokens hang on to them.
func underKey(acct, on, id, hash string) kv.Key { return kv.K(acct, "token-under", on, id, hash) }

// place says which token has an accessor.
type place struct {
	Hash []byte `cbor:"1,keyasint"`
}

// find reads a token's record, nil when there is none. It may be over.
func find(r kv.Reader, acct, hash string) (*stored, error) {
	return record.Find[stored](r, tokenKey(acct, hash))
}

// named reads the token with an accessor and its hash, nil when there is none.
func named(r kv.Reader, acct, accessor string) (hash string, rec *stored, err error) {
	at, err := record.Find[place](r, accessorKey(acct, accessor))
	if err != nil || at == nil {
		return "", nil, err
	}
	rec, err = find(r, acct, string(at.Hash))
	return string(at.Hash), rec, err
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func span(us int64) time.Duration { return time.Duration(us) * time.Microsecond }
