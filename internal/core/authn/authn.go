// Package authn knows who may call and what they may do: users, machines,
// groups, access keys, stored policies and where they are attached, accounts.
// It also knows the SSH public keys by which users' approvals are proved.
//
// A principal is a user or a machine; both share one namespace within their
// account. It may say which person is behind it, over all of whose identities a
// review counts one vote and takes none on that person's own changes. An access key proves a principal in two spellings: as an AWS pair
// that signs requests, and as a bearer token made of the same id and secret. It
// may expire, and may carry policies of its own that narrow what its owner is
// allowed. The id is looked up by a keyed hash; the secret is kept encrypted,
// because checking a signature needs it.
//
// Every change here raises the account's generation in the same transaction.
// What authentication and authorization keep in memory is valid for one
// generation, which they read anew for each request: a revoked key, a changed
// policy or a lost membership counts from the next request on.
//
// A group has named members, or is external: then those are in it whom the last
// login by a method showed to be, for as long as the group has the alias under which
// it did. Nobody is named into such a group, and no other method, by whatever name,
// puts anybody into it.
//
// As everywhere in the core, the exported methods authorize and audit; only
// Authenticate and Authorize, which the others rest on, do not.
package authn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Codes of errors.
const (
	CodeUnknownKey = "unknown-key" // Unauthenticated: no such key, or it was revoked
	CodeExpiredKey = "expired-key" // Unauthenticated: the key's time is over
	CodeBadSecret  = "bad-secret"  // Unauthenticated: the token's secret is not the key's
	CodeInUse      = "in-use"      // Precondition: something still refers to it
	CodeReserved   = "reserved"    // Precondition: a built-in policy
	CodeNotHome    = "not-home"    // Denied: only the first account manages the server
)

// Limits on what one principal or group can hold.
const (
	MaxKeys     = 20
	MaxGroups   = 20 // with MaxKeys, what one transaction can delete with a principal, after a review too
	MaxSSHKeys  = 10
	MaxPolicies = 20
	MaxPolicy   = 20480 // bytes of one policy
)

// Vault is what the keyring does for this package.
type Vault interface {
	LookupHash(kind, id string) [32]byte
	EnsureAccount(ctx context.Context, account string) error
}

// Config configures New.
type Config struct {
	Gate    *gate.Gate
	Changes *change.Service
	Vault   Vault
	Home    string // the account that manages the server
}

// Service is the operations on identities. It is safe for concurrent use.
type Service struct {
	*Authorizer
	gate    *gate.Gate
	changes *change.Service
	vault   Vault
	home    string
	keys    cache[string, *credential]
}

// New returns a Service. The Authorizer is the one in the gate: they share
// what they keep in memory.
func New(c Config, a *Authorizer) *Service {
	return &Service{Authorizer: a, gate: c.Gate, changes: c.Changes, vault: c.Vault, home: c.Home}
}

// Home is the account that manages the server.
func (s *Service) Home() string { return s.home }

// principal is a user or machine.
type principal struct {
	Kind     caller.Kind       `cbor:"1,keyasint"`
	Groups   []string          `cbor:"2,keyasint,omitempty"` // sorted; see groupsOf for those that logins prove
	Policies []string          `cbor:"3,keyasint,omitempty"` // sorted
	Tags     map[string]string `cbor:"4,keyasint,omitempty"`
	Created  int64             `cbor:"5,keyasint"`
	Disabled bool              `cbor:"6,keyasint,omitempty"`
	Person   string            `cbor:"7,keyasint,omitempty"` // the human behind, as checkPerson has it
}

// group is a set of principals that share policies. Those of an external one are
// not named: a login method with which it has an alias says who they are.
type group struct {
	Policies []string    `cbor:"1,keyasint,omitempty"`
	Created  int64       `cbor:"2,keyasint"`
	External bool        `cbor:"3,keyasint,omitempty"`
	Alias    *groupAlias `cbor:"4,keyasint,omitempty"`
}

// storedPolicy is a policy under a name.
type storedPolicy struct {
	Text        string `cbor:"1,keyasint"`
	Created     int64  `cbor:"2,keyasint"`
	Changed     int64  `cbor:"3,keyasint"`
	Description string `cbor:"4,keyasint,omitempty"`
	// Dialect is that of Text; empty stands for policy.IAM.
	Dialect policy.Dialect `cbor:"5,keyasint,omitempty"`
}

// accessKey is a credential.
type accessKey struct {
	Principal   string   `cbor:"1,keyasint"`
	Secret      []byte   `cbor:"2,keyasint"` // encrypted like every record
	Created     int64    `cbor:"3,keyasint"`
	Expires     int64    `cbor:"4,keyasint,omitempty"`
	Policies    []string `cbor:"5,keyasint,omitempty"` // narrow what the owner may do
	Description string   `cbor:"6,keyasint,omitempty"`
}

// keyPlace says where the key with a hashed id is.
type keyPlace struct {
	Account string `cbor:"1,keyasint"`
}

// account is a tenant.
type account struct {
	Name    string `cbor:"1,keyasint,omitempty"`
	Created int64  `cbor:"2,keyasint"`
}

func principalKey(acct, n string) kv.Key { return kv.K(acct, "principal", n) }
func groupKey(acct, n string) kv.Key     { return kv.K(acct, "group", n) }
func memberKey(acct, g, p string) kv.Key { return kv.K(acct, "member", g, p) }
func policyKey(acct, n string) kv.Key    { return kv.K(acct, "policy", n) }
func keyKey(acct, id string) kv.Key      { return kv.K(acct, "key", id) }
func keyOfKey(acct, p, id string) kv.Key { return kv.K(acct, "key-of", p, id) }
func keyUsedKey(acct, id string) kv.Key  { return kv.K(acct, "key-used", id) }
func accountKey(acct string) kv.Key      { return kv.K("sys", "account", acct) }
func (s *Service) placeKey(id string) kv.Key {
	h := s.vault.LookupHash("access-key", id)
	return kv.K("sys", "key-place", string(h[:]))
}

// view runs a read on the caller's own account.
func (s *Service) view(ctx context.Context, who caller.Caller, op policy.Op, resource, arn string, f func(r kv.Reader) error) error {
	return s.gate.View(ctx, who, op, resource, func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: op, Resource: arn, Account: who.Account}, nil); err != nil {
			return err
		}
		return f(a)
	})
}

func missing(what string) error { return errs.New(errs.NotFound, "there is no such %s", what) }

// must reads a record that has to be there.
func must[T any](r kv.Reader, key kv.Key, what string) (T, error) {
	v, ok, err := record.Get[T](r, key)
	if err == nil && !ok {
		err = missing(what)
	}
	return v, err
}

// absent fails with Exists when there is a record.
func absent(r kv.Reader, key kv.Key, what string) error {
	switch _, err := r.Get(key); {
	case errors.Is(err, kv.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("looking for a %s: %w", what, err)
	}
	return errs.New(errs.Exists, "the %s exists already", what)
}

// random returns n characters out of an alphabet whose length divides 256 or is
// drawn without bias.
func random(n int, alphabet string) string {
	out := make([]byte, 0, n)
	limit := byte(256 - 256%len(alphabet) - 1)
	for len(out) < n {
		var b [64]byte
		_, _ = rand.Read(b[:])
		for _, c := range b {
			if c <= limit && len(out) < n {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// Access keys and tokens.
const (
	keyPrefix   = "AKIA"
	keyAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	keyLen      = 20
	secretLen   = 40
	base62      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	tokenPrefix = "cst_"
)

// Token spells an access key as a bearer token.
func Token(id, secret string) string { return tokenPrefix + id + "_" + secret }

// ParseToken splits a bearer token into the key's id and secret.
func ParseToken(token string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(rest) != keyLen+1+secretLen || rest[keyLen] != '_' {
		return "", "", false
	}
	return rest[:keyLen], rest[keyLen+1:], validKeyID(rest[:keyLen])
}

func validKeyID(id string) bool {
	if len(id) != keyLen {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// cache is a small bounded map; when full it is emptied, since what it holds
// is cheap to read again.
type cache[K comparable, V any] struct {
	mu sync.RWMutex
	m  map[K]V
}

const maxCached = 8192

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.m[k]
	return v, ok
}

func (c *cache[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxCached {
		c.m = map[K]V{}
	}
	c.m[k] = v
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
