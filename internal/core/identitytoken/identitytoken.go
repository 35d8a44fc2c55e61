// Package identitytoken makes tokens that tell others who somebody is: JSON Web
// Tokens of OpenID Connect, signed by keys of the account, in the form of the
// identity tokens of the Vault protocol.
//
// A named key is a pair that signs and the pair that will sign next. Both are
// published, and a key that was replaced stays published as long as tokens that it
// signed may count: its verification time. So whoever caches the public keys knows
// the next one before it signs. Keys are replaced when their period is over, by a
// job over a due index, and by hand.
//
// A role says which key signs, for which client (the audience), for how long a
// token counts, and which claims it has beside those that every token has. These
// are reserved: no template says them, in whichever spelling.
//
// Private keys are in the records of the store, which are encrypted, and nowhere
// else: an edit that waits for review holds none. An edit only says what is to be,
// and the server makes the pairs afterwards, outside of any transaction, as a
// caller of its own. What the keys are published under asks nobody who reads it,
// and says nothing of who may use them.
//
// Every write is an edit of package change, which protection rules with the
// patterns "identity-key:NAME", "identity-role:NAME" and "identity-config:issuer"
// can hold for review.
package identitytoken

import (
	"log/slog"
	"time"

	"countersign/internal/core/change"
	"countersign/internal/core/due"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Nouns of changes.
const (
	NounKey    = "identity-key"
	NounRole   = "identity-role"
	NounConfig = "identity-config"
)

// configName is the name of what NounConfig alters.
const configName = "issuer"

// Codes of errors.
const (
	CodeKey    = "identity-key"    // NotFound: the key
	CodeRole   = "identity-role"   // NotFound: the role
	CodeInUse  = "in-use"          // Precondition: roles sign with the key
	CodeClient = "client-id"       // Precondition: the key does not sign for the role's client
	CodeMaking = "identity-making" // Unavailable: the pair is being made
)

// Limits.
const (
	MaxKeys     = 100 // of an account
	MaxRoles    = 1000
	MaxClients  = 200  // of a key
	maxClient   = 255  // characters of a client id
	maxTemplate = 8192 // bytes
	maxOld      = 50   // published keys of a name that sign no more
	maxTokenLen = 64 << 10
	maxSeconds  = 100 * 365 * 24 * 3600
)

// Defaults of the Vault protocol.
const (
	day              = int64(24 * time.Hour / time.Second)
	defaultAlgorithm = "RS256"
)

// Config configures New.
type Config struct {
	Gate    *gate.Gate
	Changes *change.Service
	Home    string // the account that is the namespace "root"
	// URL is where others reach this server, for accounts that set no issuer.
	URL string
	// Aliases are those of a principal, by the accessor of the mount; default nobody
	// has any.
	Aliases func(r kv.Reader, account, principal string) (map[string]policy.Alias, error)
	Logger  *slog.Logger // default slog.Default()
}

// Service is the operations on identity tokens. It is safe for concurrent use.
type Service struct {
	Config
	gate    *gate.Gate
	changes *change.Service
	woken   due.Bell
}

// New returns a Service. Its Run makes and replaces keys.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Service{Config: c, gate: c.Gate, changes: c.Changes, woken: due.NewBell()}
}

// settings is what is asked of a key. Durations are seconds.
type settings struct {
	Algorithm    string   `cbor:"1,keyasint"`
	Rotation     int64    `cbor:"2,keyasint"`
	Verification int64    `cbor:"3,keyasint"`
	Clients      []string `cbor:"4,keyasint,omitempty"` // "*" stands for every one
}

// key is a named key, under its account and name.
type key struct {
	settings
	Signing  *pair  `cbor:"5,keyasint,omitempty"` // nil until it is made
	Next     *pair  `cbor:"6,keyasint,omitempty"`
	Old      []old  `cbor:"7,keyasint,omitempty"`
	Rotates  int64  `cbor:"8,keyasint,omitempty"` // when Next begins to sign, in microseconds
	Due      int64  `cbor:"9,keyasint,omitempty"` // where it is in the due index
	Revision uint64 `cbor:"10,keyasint"`          // counts the writes
}

// pair is a private key with what is published of it.
type pair struct {
	ID        string `cbor:"1,keyasint"`
	Algorithm string `cbor:"2,keyasint"`
	Private   []byte `cbor:"3,keyasint"` // PKCS #8; encrypted like every record
	Public    []byte `cbor:"4,keyasint"` // SubjectPublicKeyInfo
}

// old is what is left of a pair that signs no more.
type old struct {
	ID        string `cbor:"1,keyasint"`
	Algorithm string `cbor:"2,keyasint"`
	Public    []byte `cbor:"3,keyasint"`
	Ends      int64  `cbor:"4,keyasint"` // until when it is published, in microseconds
}

// role is one, under its account and name.
type role struct {
	Key      string `cbor:"1,keyasint"`
	Client   string `cbor:"2,keyasint"`
	TTL      int64  `cbor:"3,keyasint"` // seconds
	Template string `cbor:"4,keyasint,omitempty"`
	Revision uint64 `cbor:"5,keyasint"`
}

// config is an account's.
type config struct {
	Issuer   string `cbor:"1,keyasint,omitempty"`
	Revision uint64 `cbor:"2,keyasint"`
}

func keyKey(account, n string) kv.Key  { return kv.K(account, "identity-key", n) }
func roleKey(account, n string) kv.Key { return kv.K(account, "identity-role", n) }
func configKey(account string) kv.Key  { return kv.K(account, "identity-config") }

// dueIndex has the account and the name of the key of each entry.
var dueIndex = due.Index{Prefix: kv.K("sys", "identity-due"), Parts: 2}

func dueKey(at int64, account, n string) kv.Key { return dueIndex.Key(time.UnixMicro(at), account, n) }

func missingKey() error {
	return errs.Coded(errs.NotFound, CodeKey, "there is no such key of identity tokens")
}

func missingRole() error {
	return errs.Coded(errs.NotFound, CodeRole, "there is no such role of identity tokens")
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
