// Package mount knows where things are reached in the Vault protocol: under which
// path there is a secrets engine or a login method, and which names of secrets
// are below it.
//
// A mount holds nothing. That of a key-value engine is a prefix of names of
// secrets: what is at PATH/x is the secret PREFIX x, which every other front
// knows by that name. secret/ is there from the start, with the empty prefix. A
// name belongs to the mount with the longest prefix that it begins with, so that
// no secret has two paths. Moving a mount changes its path and not the names.
// Disabling one never takes a secret with it: a mount below which there is
// something cannot be disabled.
//
// The table of an account changes with its generation (package generation), on
// which compiled policies rest: what a path of a policy means is a question of
// mounts.
//
// So a mount over names that were reached elsewhere, and one that is moved, take
// things out of the reach of some rules and into that of others: that takes, beside
// the permission to manage the mount, one to write any policy.
//
// Every write is an edit of package change, which protection rules with the
// pattern "mount:PATH" can hold for review.
package mount

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/internal/core/generation"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Noun is the noun of changes to mounts.
const Noun = "mount"

// Auth begins the paths of login methods.
const Auth = "auth/"

// Types of mounts.
const (
	KV         = "kv"
	Transit    = "transit"
	AppRole    = "approle"
	Userpass   = "userpass"
	JWT        = "jwt"
	OIDC       = "oidc"
	Kubernetes = "kubernetes"
	Cert       = "cert"

	System    = "system"
	Identity  = "identity"
	Cubbyhole = "cubbyhole"
	Token     = "token"
)

// Codes of errors.
const (
	CodeMount = "mount"        // NotFound or Exists: the mount; Field is its path
	CodeType  = "mount-type"   // Invalid: there is no such engine or method
	CodeInUse = "mount-in-use" // Precondition: there is something below it
)

// Limits.
const (
	MaxMounts  = 500 // of an account
	maxPath    = 200
	maxAbout   = 1000
	maxOptions = 20
)

// Config is how a mount is tuned. Durations are seconds; 0 is the default.
type Config struct {
	DefaultTTL   int64  `cbor:"1,keyasint,omitempty"`
	MaxTTL       int64  `cbor:"2,keyasint,omitempty"`
	Listing      string `cbor:"3,keyasint,omitempty"` // listing_visibility: hidden or unauth
	TokenType    string `cbor:"4,keyasint,omitempty"` // of a login method
	ForceNoCache bool   `cbor:"5,keyasint,omitempty"`
	// Lists that are kept for their clients and mean nothing here.
	PassHeaders   []string `cbor:"6,keyasint,omitempty"`
	AllowHeaders  []string `cbor:"7,keyasint,omitempty"`
	PlainRequest  []string `cbor:"8,keyasint,omitempty"` // audit_non_hmac_request_keys
	PlainResponse []string `cbor:"9,keyasint,omitempty"`
}

// Values is what a key-value mount says of its secrets that say nothing else.
type Values struct {
	MaxVersions uint64 `cbor:"1,keyasint,omitempty"` // 0: as the server keeps them
	CASRequired bool   `cbor:"2,keyasint,omitempty"`
	DeleteAfter int64  `cbor:"3,keyasint,omitempty"` // seconds; 0: never
}

// Mount is one entry of the table. It is not to be changed.
type Mount struct {
	Path        string // without slashes at its ends: "secret", "auth/approle"
	Type        string
	Prefix      string // of names below it; empty, or ends in a slash
	Version     int    // of a key-value engine: 1 or 2
	Hybrid      bool   // a version 2 engine that answers requests shaped for version 1 too
	Options     map[string]string
	Description string
	UUID        string // of this mount: another when a path is mounted anew
	Accessor    string // type and eight letters
	Config      Config
	Values      Values
	Created     time.Time
}

// Login reports whether it is a login method.
func (m *Mount) Login() bool { return strings.HasPrefix(m.Path, Auth) }

// stored is a mount as it is kept, under its account and path.
type stored struct {
	Type        string            `cbor:"1,keyasint"`
	Prefix      string            `cbor:"2,keyasint,omitempty"`
	Options     map[string]string `cbor:"3,keyasint,omitempty"`
	Description string            `cbor:"4,keyasint,omitempty"`
	UUID        string            `cbor:"5,keyasint,omitempty"`
	Accessor    string            `cbor:"6,keyasint,omitempty"`
	Config      Config            `cbor:"7,keyasint,omitempty"`
	Values      Values            `cbor:"8,keyasint,omitempty"`
	Created     int64             `cbor:"9,keyasint,omitempty"`  // microseconds
	Gone        bool              `cbor:"10,keyasint,omitempty"` // of secret/: it was moved or disabled
	Revision    uint64            `cbor:"11,keyasint,omitempty"` // counts the changes
}

func mountKey(account, path string) kv.Key { return kv.K(account, "mount", path) }

// firstPath is the mount that is there from the start.
const firstPath = "secret"

// first is what every account begins with.
func first(account string) stored {
	return stored{Type: KV, Options: map[string]string{"version": "2"}, Description: "secrets, by their names",
		UUID: "00000000-0000-4000-8000-" + account, Accessor: "kv_00000000"}
}

func (s *stored) show(path string) Mount {
	m := Mount{Path: path, Type: s.Type, Prefix: s.Prefix, Options: s.Options, Description: s.Description,
		UUID: s.UUID, Accessor: s.Accessor, Config: s.Config, Values: s.Values}
	if s.Created != 0 {
		m.Created = time.UnixMicro(s.Created).UTC()
	}
	if s.Type == KV {
		m.Version = 1
		if s.Options["version"] == "2" {
			m.Version = 2
			m.Hybrid = s.Options["v1_reads"] == "true"
		}
	}
	return m
}

// Table is the mounts of an account in one generation. It does not change and
// may be shared between goroutines.
type Table struct {
	mounts []Mount // by path
	byPath map[string]*Mount
	values []*Mount // key-value engines, the longest prefix first
	keys   []*Mount // transit engines, the longest prefix first
}

// Load reads an account's table.
func Load(r kv.Reader, account string) (*Table, error) {
	all, err := load(r, account)
	if err != nil {
		return nil, err
	}
	return tableOf(all), nil
}

// load reads the mounts of an account by their paths.
func load(r kv.Reader, account string) (map[string]stored, error) {
	all := map[string]stored{firstPath: first(account)}
	prefix := kv.K(account, "mount")
	for e, err := range record.Scan[stored](r, kv.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		strs, _, err := e.Key[len(prefix):].Parts("s")
		if err != nil {
			return nil, err
		}
		all[strs[0]] = e.Value
	}
	maps.DeleteFunc(all, func(_ string, s stored) bool { return s.Gone })
	return all, nil
}

func tableOf(all map[string]stored) *Table {
	t := &Table{byPath: make(map[string]*Mount, len(all)), mounts: make([]Mount, 0, len(all))}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		s := all[path]
		t.mounts = append(t.mounts, s.show(path))
	}
	for i := range t.mounts {
		m := &t.mounts[i]
		t.byPath[m.Path] = m
		switch m.Type {
		case KV:
			t.values = append(t.values, m)
		case Transit:
			t.keys = append(t.keys, m)
		}
	}
	longest := func(a, b *Mount) int { return len(b.Prefix) - len(a.Prefix) }
	slices.SortStableFunc(t.values, longest)
	slices.SortStableFunc(t.keys, longest)
	return t
}

// All lists secrets engines, or login methods, by path.
func (t *Table) All(login bool) (out []*Mount) {
	for i := range t.mounts {
		if t.mounts[i].Login() == login {
			out = append(out, &t.mounts[i])
		}
	}
	return out
}

// Find returns the mount at a path, nil for none.
func (t *Table) Find(path string) *Mount { return t.byPath[path] }

// At returns the mount that a path leads into, and what of the path is below it;
// nil for none. No mount lies below another.
func (t *Table) At(path string) (m *Mount, rest string) {
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if m := t.byPath[path[:i]]; m != nil {
			return m, strings.TrimPrefix(path[i:], "/")
		}
	}
	return nil, ""
}

// Of returns the key-value mount that a secret's name belongs to, and the name
// below it; nil for none.
func (t *Table) Of(secret string) (m *Mount, rest string) { return belongs(t.values, secret) }

// OfKey is Of for the name of a transit key.
func (t *Table) OfKey(key string) (m *Mount, rest string) { return belongs(t.keys, key) }

func belongs(mounts []*Mount, name string) (*Mount, string) {
	for _, m := range mounts {
		if rest, ok := strings.CutPrefix(name, m.Prefix); ok && rest != "" {
			return m, rest
		}
	}
	return nil, ""
}

// Hide tells, of a name in a listing below m, whether it belongs to another mount,
// and then the end of the names that do: the first name after them.
func (t *Table) Hide(m *Mount, name string) (end string, hidden bool) {
	if m.Prefix == "" && name[0] == '/' { // no path leads to it: see optionPrefix
		return "0", true
	}
	for _, other := range t.values {
		if len(other.Prefix) <= len(m.Prefix) {
			return "", false
		}
		if strings.HasPrefix(name, other.Prefix) {
			return other.Prefix[:len(other.Prefix)-1] + "0", true // "0" follows "/"
		}
	}
	return "", false
}

// NewID draws a UUID, and eight letters for an accessor.
func newID() (uuid, letters string) {
	var b [20]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, section 5.4
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:32]}, "-"), h[32:]
}

// CleanPath checks the path of a mount and takes the slashes off its ends.
func CleanPath(path string) (string, error) {
	path = strings.Trim(path, "/")
	if path == "" || len(path) > maxPath {
		return "", errs.InvalidField("path", "the path of a mount has 1 to %d characters", maxPath)
	}
	for seg := range strings.SplitSeq(path, "/") {
		if seg == "" || seg == "." || seg == ".." || strings.ContainsFunc(seg, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_+=.@-!", c)
		}) {
			return "", errs.InvalidField("path", "the path of a mount holds letters, digits and _+=.@-! between single slashes")
		}
	}
	return path, nil
}

// raise is what every edit of the table does.
func raise(tx kv.Txn, account string) error { return generation.Raise(tx, account) }
