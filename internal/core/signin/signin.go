package signin

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Codes of errors.
const (
	CodeBadCredentials = "bad-credentials" // Unauthenticated: name, password or code; it is not told which
	CodeNeedCode       = "totp-required"   // Unauthenticated: the password is right, a code is needed beside it
	CodeBadSession     = "bad-session"     // Unauthenticated: no such session, or it is over
	CodeExpired        = "session-expired" // Unauthenticated: the access token's time is over; refresh
	CodeBadInvitation  = "bad-invitation"  // Unauthenticated: unknown, used or expired
	CodeNeedMFA        = "mfa-required"    // Denied: the account asks for a second factor first
	CodeWait           = "wait"            // Throttled: too many attempts
	CodeBusy           = "busy"            // Throttled: too many passwords are being checked
	CodeWeak           = "weak-password"   // Invalid: see CheckPassword
	CodeHasPassword    = "has-password"    // Precondition: an invitation would end a password
)

// Vault is what the keyring does for this package.
type Vault interface {
	LookupHash(kind, id string) [32]byte
}

// Config configures New.
type Config struct {
	Gate    *gate.Gate
	Changes *change.Service
	Vault   Vault
	Home    string        // the account of a login that names none
	Params  Params        // of new password hashes; default DefaultParams
	Hashes  int           // passwords checked at one time; default 4
	Burst   int           // attempts of one source address at once; default 30
	Every   time.Duration // and then one each; default 2s
	Logger  *slog.Logger  // default slog.Default()
	// AllowLoopback lets an identity provider be at http:// on this machine.
	AllowLoopback bool
	// Transport reaches identity providers; default the network.
	Transport http.RoundTripper
}

// Service is the operations of signing in. It is safe for concurrent use.
type Service struct {
	gate      *gate.Gate
	changes   *change.Service
	vault     Vault
	home      string
	hasher    *hasher
	sources   *Sources
	strangers *strangers
	logger    *slog.Logger

	providers *providers
}

// New returns a Service.
func New(c Config) *Service {
	if c.Params == (Params{}) {
		c.Params = DefaultParams
	}
	if c.Hashes == 0 {
		c.Hashes = 4
	}
	if c.Burst == 0 {
		c.Burst = 30
	}
	if c.Every == 0 {
		c.Every = 2 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Service{gate: c.Gate, changes: c.Changes, vault: c.Vault, home: c.Home, logger: c.Logger,
		hasher: newHasher(c.Params, c.Hashes), sources: NewSources(c.Burst, c.Every), strangers: &strangers{},
		providers: newProviders(c.AllowLoopback, c.Transport)}
}

// profile is how a user signs in.
type profile struct {
	Of       int64     `cbor:"1,keyasint"` // when the user was made
	Password *password `cbor:"2,keyasint,omitempty"`
	Changed  int64     `cbor:"3,keyasint,omitempty"` // the password

	Invitation []byte `cbor:"4,keyasint,omitempty"` // hash
	InvitedTo  int64  `cbor:"5,keyasint,omitempty"` // when it ends

	TOTP     []byte   `cbor:"6,keyasint,omitempty"` // secret in use
	Pending  []byte   `cbor:"7,keyasint,omitempty"` // secret not yet confirmed
	Step     uint64   `cbor:"8,keyasint,omitempty"` // of the last code taken
	Recovery [][]byte `cbor:"9,keyasint,omitempty"` // hashes of codes not yet used
}

// session is one signed-in client.
type session struct {
	Account string `cbor:"1,keyasint"`
	User    string `cbor:"2,keyasint"`
	Of      int64  `cbor:"3,keyasint"` // when the user was made
	Created int64  `cbor:"4,keyasint"`
	Used    int64  `cbor:"5,keyasint"` // last refresh
	MFA     int64  `cbor:"6,keyasint,omitempty"`

	Access        []byte `cbor:"7,keyasint"` // hashes
	AccessEnds    int64  `cbor:"8,keyasint"`
	OldAccess     []byte `cbor:"9,keyasint,omitempty"`
	OldAccessEnds int64  `cbor:"10,keyasint,omitempty"`
	Family        []byte `cbor:"11,keyasint"`
	Refresh       []byte `cbor:"12,keyasint"`
	OldRefresh    []byte `cbor:"13,keyasint,omitempty"`

	Method   string `cbor:"14,keyasint"` // password, oidc
	Source   string `cbor:"15,keyasint,omitempty"`
	Agent    string `cbor:"16,keyasint,omitempty"`
	Failures int    `cbor:"17,keyasint,omitempty"` // wrong passwords and codes
}

// settings are an account's.
type settings struct {
	MFARequired bool `cbor:"1,keyasint,omitempty"`
}

func profileKey(acct, user string) kv.Key       { return kv.K(acct, "login", user) }
func sessionKey(id string) kv.Key               { return kv.K("sys", "session", id) }
func sessionOfKey(acct, user, id string) kv.Key { return kv.K(acct, "session-of", user, id) }
func settingsKey(acct string) kv.Key            { return kv.K(acct, "signin-settings") }

// hash is the keyed hash under which a token or code is kept.
func (s *Service) hash(kind string, token []byte) []byte {
	h := s.vault.LookupHash("signin-"+kind, string(token))
	return h[:]
}

// edit is one write. do may run twice.
type edit struct {
	op     policy.Op
	target change.Target
	arn    string
	own    bool // about the caller: allowed unless denied
	quiet  bool // about sessions, of which no change is kept
	do     func(tx *change.Tx) error
}

func (e *edit) Target() change.Target { return e.target }
func (e *edit) Operation() policy.Op  { return e.op }

func (e *edit) Allow(a *gate.Access) error {
	req := &policy.Request{Op: e.op, Resource: e.arn, Account: e.target.Account}
	if e.own && a.Who.Kind != caller.System {
		return a.AllowOwn(req)
	}
	return a.Allow(req, nil)
}

func (e *edit) Apply(tx *change.Tx) error {
	if e.quiet {
		tx.NothingToDo() // the record of it is the audit log's
	}
	return e.do(tx)
}

// nounLogin is that of writes which cannot wait for anybody: one's own way to
// sign in, and sessions. Protection rules over users are not about them, or nobody
// could sign in any more; what an administrator does to somebody's way to sign in
// is a change of the user.
const nounLogin = "login"

// own is an edit of the caller's own way to sign in.
func own(who caller.Caller, op policy.Op, do func(tx *change.Tx) error) *edit {
	return &edit{op: op, own: true, arn: who.ARN(), do: do,
		target: change.Target{Account: who.Account, Noun: nounLogin, Name: who.Name}}
}

// others is an edit of somebody's, which needs a permission.
func others(who caller.Caller, op policy.Op, user string, do func(tx *change.Tx) error) *edit {
	return &edit{op: op, arn: caller.UserARN(who.Account, user), do: do,
		target: change.Target{Account: who.Account, Noun: "user", Name: user}}
}

func (e *edit) quietly() *edit {
	e.quiet, e.target.Noun = true, nounLogin
	return e
}

// submit checks the name and runs an edit.
func (s *Service) submit(ctx context.Context, who caller.Caller, e *edit) error {
	if e.target.Noun != "account" {
		if err := name.Principal("User", e.target.Name); err != nil {
			e.target.Name = ""
			rec := gate.NewRecord(who, e.op, "")
			return s.gate.Finish(ctx, &rec, err)
		}
	}
	_, err := s.changes.Submit(ctx, who, change.Request{Edit: e})
	return err
}

// mayOwn asks policy before something is looked at that the answer could tell
// of. A refusal is recorded.
func (s *Service) mayOwn(ctx context.Context, who caller.Caller, op policy.Op) error {
	rec := gate.NewRecord(who, op, who.Name)
	err := s.gate.DB.View(ctx, func(r kv.Reader) error {
		a := gate.NewAccess(r, s.gate.Auth, who, &rec)
		return a.AllowOwn(&policy.Request{Op: op, Resource: who.ARN(), Account: who.Account})
	})
	if err == nil {
		return nil
	}
	return s.gate.Finish(ctx, &rec, err)
}

// refuse records an attempt of somebody who proved nothing, in the log of the
// account that was named when there is one.
func (s *Service) refuse(ctx context.Context, who caller.Caller, op policy.Op, acct, user string, err error) error {
	rec := gate.NewRecord(who, op, "")
	if name.Principal("User", user) == nil {
		rec.Resource = user
	}
	if name.Account(acct) == nil {
		_ = s.gate.DB.View(ctx, func(r kv.Reader) error { // a store that cannot be read makes the record less precise
			ok, err := authn.AccountExists(r, acct)
			if err == nil && ok {
				rec.Account = acct
			}
			return err
		})
	}
	return s.gate.Finish(ctx, &rec, err)
}

// find reads a user and how it signs in. A profile of an earlier user of the
// same name is none; it comes back empty, made out to this one.
func find(r kv.Reader, acct, user string) (id authn.Identity, p profile, ok bool, err error) {
	if id, ok, err = authn.FindIdentity(r, acct, user); err != nil || !ok {
		return id, p, false, err
	}
	if p, _, err = record.Get[profile](r, profileKey(acct, user)); err != nil {
		return id, p, false, err
	}
	if p.Of != id.Created {
		p = profile{Of: id.Created}
	}
	return id, p, true, nil
}

// mustFind is find of a user that has to be there and be a person.
func mustFind(r kv.Reader, acct, user string) (authn.Identity, profile, error) {
	id, p, ok, err := find(r, acct, user)
	switch {
	case err != nil:
		return id, p, err
	case !ok:
		return id, p, errs.New(errs.NotFound, "there is no such user")
	case id.Caller.Kind != caller.User:
		return id, p, errs.New(errs.Precondition, "a machine does not sign in: give it an access key")
	}
	return id, p, nil
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
