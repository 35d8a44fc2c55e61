package login

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/due"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/record"
	"countersign/internal/core/signin"
	"countersign/internal/core/token"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Codes of errors.
const (
	// CodeRefused is of a login that did not prove what it has to. The message may
	// be shown; it never tells whether a role, a user or a secret exists.
	CodeRefused  = "login-refused"
	CodeRole     = "login-role"     // NotFound: the role
	CodeConfig   = "login-config"   // NotFound: the method is not configured; Precondition: it has to be
	CodeSecretID = "login-secret"   // NotFound or Exists: the secret id
	CodeMount    = "login-mount"    // NotFound: the method is not mounted any more
	CodeAlias    = "login-alias"    // NotFound or Exists: the alias
	CodeDisabled = "login-disabled" // Unauthenticated: the principal may not log in
	CodeProvider = "login-provider" // Unavailable: what vouches for others cannot be reached
)

// Nouns of changes. Rules name roles "login-role:MOUNT/NAME" and methods
// "login-method:MOUNT", both without "auth/".
const (
	NounRole   = "login-role"
	NounMethod = "login-method"
	nounLogin  = "login" // of what cannot wait: logins and secret ids
)

// Limits.
const (
	MaxRoles   = 10_000 // of a mount
	maxName    = 128
	maxAlias   = 512
	maxText    = 4096
	maxPEM     = 64 << 10
	maxMembers = 64 // of lists and maps
)

// Vault is what the keyring does for this package.
type Vault interface {
	LookupHash(kind, id string) [32]byte
	Seal(dst, plaintext, aad []byte, account string) ([]byte, error)
	Open(dst, ciphertext, aad []byte, account string) ([]byte, error)
}

// Config configures New.
type Config struct {
	Gate    *gate.Gate
	Changes *change.Service
	Vault   Vault
	Tokens  *token.Service
	SignIn  *signin.Service // whose passwords userpass takes
	// Allow are blocks of addresses that issuers and clusters may be at although
	// they are not public. Default none.
	Allow []netip.Prefix
	// Pod is the folder of the service account that this server runs as in a
	// Kubernetes cluster. Default where Kubernetes puts it.
	Pod    string
	Burst  int           // failed logins of one source address at once; default 100
	Every  time.Duration // and then one each; default 100ms
	Logger *slog.Logger  // default slog.Default()
}

// Service is the login methods. It is safe for concurrent use.
type Service struct {
	gate    *gate.Gate
	changes *change.Service
	vault   Vault
	tokens  *token.Service
	signin  *signin.Service
	failed  *signin.Sources
	keys    keySets // of issuers
	allow   []netip.Prefix
	pod     string
	logger  *slog.Logger
	woken   due.Bell // wakes the job over the due index

	decoyRole []byte            // a role as it is written down
	worked    func(step string) // told of the steps of a login; for tests
}

// New returns a Service.
func New(c Config) *Service {
	if c.Burst == 0 {
		c.Burst = 100
	}
	if c.Pod == "" {
		c.Pod = podFolder
	}
	if c.Every == 0 {
		c.Every = 100 * time.Millisecond
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Service{gate: c.Gate, changes: c.Changes, vault: c.Vault, tokens: c.Tokens, signin: c.SignIn, allow: c.Allow, pod: c.Pod,
		failed: signin.NewSources(c.Burst, c.Every), logger: c.Logger, woken: due.NewBell(), decoyRole: newDecoy(), worked: func(string) {}}
}

// role is a role of any method, under its account, the accessor of its mount and
// its name.
type role struct {
	// Instance tells a role from a later one of its name: secret ids are the
	// instance's.
	Instance string    `cbor:"1,keyasint"`
	Created  int64     `cbor:"2,keyasint"`
	Revision uint64    `cbor:"3,keyasint"`
	Terms    terms     `cbor:"4,keyasint"`
	AppRole  *appRole  `cbor:"5,keyasint,omitempty"`
	JWT      *jwtRole  `cbor:"6,keyasint,omitempty"`
	Kube     *kubeRole `cbor:"7,keyasint,omitempty"`
	Cert     *certRole `cbor:"8,keyasint,omitempty"`
	User     *userRole `cbor:"9,keyasint,omitempty"`
}

// kindOf is the method that a type of mount stands for: jwt and oidc are one.
func kindOf(mountType string) string {
	if mountType == mount.OIDC {
		return mount.JWT
	}
	return mountType
}

// newRole is a role of a method with its defaults.
func newRole(kind string) (*role, error) {
	r := &role{Terms: terms{Type: typeDefault}}
	switch kind {
	case mount.AppRole:
		r.AppRole = &appRole{BindSecretID: true}
	case mount.Cert:
		r.Cert = &certRole{}
	case mount.Userpass:
		r.User = &userRole{}
	case mount.Kubernetes:
		r.Kube = &kubeRole{Source: bySAUID}
	case mount.JWT:
		r.JWT = &jwtRole{Type: roleOIDC, ClaimsType: claimsText}
	default:
		return nil, errs.New(errs.Invalid, "a login method %s has no roles", kind)
	}
	return r, nil
}

func (r *role) fields() []Field {
	out := r.Terms.fields()
	switch {
	case r.AppRole != nil:
		out = append(out, r.AppRole.fields()...)
	case r.Cert != nil:
		out = append(out, r.Cert.fields()...)
	case r.Kube != nil:
		out = append(out, r.Kube.fields()...)
	case r.JWT != nil:
		out = append(out, r.JWT.fields()...)
	}
	return out
}

func (r *role) check() error {
	if err := r.Terms.check(); err != nil {
		return err
	}
	switch {
	case r.AppRole != nil:
		return r.AppRole.check(&r.Terms)
	case r.Cert != nil:
		return r.Cert.check()
	case r.Kube != nil:
		return r.Kube.check()
	case r.JWT != nil:
		return r.JWT.check(&r.Terms)
	}
	return nil
}

// RoleFields are the settings of a role by the type of the mount, for who reads
// requests.
func RoleFields(mountType string) []Field {
	r, err := newRole(kindOf(mountType))
	if err != nil {
		return nil
	}
	return r.fields()
}

func roleKey(acct, accessor, n string) kv.Key { return kv.K(acct, "login-role", accessor, n) }

// short is the path of a login method's mount without "auth/".
func short(m *mount.Mount) string { return strings.TrimPrefix(m.Path, mount.Auth) }

// checkName checks the name of a role.
func checkName(n string) error {
	if n == "" || len(n) > maxName || strings.ContainsFunc(n, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_+=,.@-", c)
	}) {
		return errs.InvalidField("name", "the name of a role is 1 to %d letters, digits and _+=,.@-", maxName)
	}
	return nil
}

// roleName is the one spelling of a role's name, which is in lower case; that of
// userpass is a user's, of which case is a part.
func roleName(m *mount.Mount, n string) string {
	if m.Type == mount.Userpass {
		return n
	}
	return strings.ToLower(n)
}

func findRole(r kv.Reader, acct, accessor, n string) (*role, error) {
	return record.Find[role](r, roleKey(acct, accessor, n))
}

func noRole() error { return errs.Coded(errs.NotFound, CodeRole, "there is no such role") }

// refused is the answer to a login that did not prove what it has to.
func refused(format string, args ...any) error {
	return errs.Coded(errs.Unauthenticated, CodeRefused, format, args...)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it does not fail
	return b
}

// newUUID draws a UUID (RFC 9562, section 5.4).
func newUUID() string { return spellUUID(random(16), 0x40) }

func spellUUID(b []byte, version byte) string {
	b[6], b[8] = b[6]&0x0f|version, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:16])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// hash is the keyed hash under which what a client shows is kept.
func (s *Service) hash(kind string, parts ...string) []byte {
	h := s.vault.LookupHash("login-"+kind, strings.Join(parts, "\x00"))
	s.worked("hash")
	return h[:]
}

// mustBeMounted refuses a write below a mount that was disabled meanwhile.
func mustBeMounted(r kv.Reader, acct, accessor string) (*mount.Mount, error) {
	m, err := mounted(r, acct, accessor)
	if err == nil && m == nil {
		err = errs.Coded(errs.NotFound, CodeMount, "the login method is not mounted any more")
	}
	return m, err
}

// mounted finds a login method by its accessor, nil when it is not mounted.
func mounted(r kv.Reader, acct, accessor string) (*mount.Mount, error) {
	t, err := mount.Load(r, acct)
	if err != nil {
		return nil, err
	}
	for _, m := range t.All(true) {
		if m.Accessor == accessor {
			return m, nil
		}
	}
	return nil, nil
}

// identity is a principal that logs in.
type identity = authn.Identity
