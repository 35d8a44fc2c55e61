// Package coretest wires the core for tests: the whole of it, over a store in
// memory or in a file, with a real keyring and a real audit log in a temporary
// folder. Every test of the core and of the fronts gets its store here.
package coretest

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/auditdevice"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/identitytoken"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/password"
	"countersign/internal/core/project"
	"countersign/internal/core/rotation"
	"countersign/internal/core/secret"
	"countersign/internal/core/signin"
	"countersign/internal/core/token"
	"countersign/internal/core/transit"
	"countersign/internal/errs"
	"countersign/internal/keyring"
	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/memkv"
	"countersign/internal/kv/sealed"
	"countersign/internal/name"
	"countersign/internal/name/convention"
	"countersign/internal/rotator"
	"countersign/internal/rotator/jwt"
	"countersign/internal/rotator/random"
	"countersign/internal/seal/keyfile"
)

// Accounts and regions of the fixture.
const (
	Home   = "111111111111"
	Other  = "222222222222"
	Region = "us-east-1"
	Second = "eu-west-1"
	// IssuerURL is where others reach the server.
	IssuerURL = "https://countersign.example"
)

// Config changes the fixture. The zero value is a store in memory.
type Config struct {
	Bolt   bool                   // keep the store in a file
	Dir    string                 // of the files, where a core was before or not; default: a temporary folder
	Wrap   func(kv.DB) kv.DB      // between the engine and the encryption
	Keep   uint64                 // see secret.Config
	Names  *convention.Convention // see secret.Config
	Kinds  rotator.Kinds          // what rotates secrets; default: random and Functions
	Logger *slog.Logger           // default: discard
	// Passwords is how they are hashed; default: so that it takes no time.
	Passwords signin.Params
}

// Core is the wired core.
type Core struct {
	Dir       string
	Engine    kv.DB // below the encryption
	DB        kv.DB
	Ring      *keyring.Ring
	Log       *audit.Log
	Relay     *change.Relay
	Gate      *gate.Gate
	Changes   *change.Service
	Authn     *authn.Service
	Secrets   *secret.Service
	Rotation  *rotation.Service // its Run is the test's to call
	SignIn    *signin.Service
	Projects  *project.Service
	Mounts    *mount.Service
	Passwords *password.Service
	Devices   *auditdevice.Service // nothing is written before its Run
	Transit   *transit.Service
	Tokens    *token.Service
	Logins    *login.Service
	IDTokens  *identitytoken.Service
	Admin     caller.Caller // the administrator of Home, in Region
	Key       authn.NewKey  // the administrator's access key
}

// New wires a core that lives as long as the test. Its relay runs.
func New(t testing.TB, c Config) *Core {
	t.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Passwords == (signin.Params{}) {
		c.Passwords = signin.Params{Memory: 64, Time: 1, Threads: 1}
	}
	if c.Kinds == nil {
		c.Kinds = rotator.Kinds{random.Kind(), jwt.Kind(), Functions()}
	}
	core := &Core{Dir: c.Dir}
	if c.Dir == "" {
		core.Dir = t.TempDir()
	}
	core.Engine = engine(t, c, core.Dir)
	below := core.Engine
	if c.Wrap != nil {
		below = c.Wrap(below)
	}
	ctx := context.Background()
	key, err := keyfile.New(keyfile.Config{Path: filepath.Join(core.Dir, "root.key")})
	must(t, err)
	core.Ring, err = keyring.Open(ctx, below, key, keyring.Config{Settle: time.Nanosecond})
	must(t, err)
	for _, a := range []string{"sys", Home, Other} {
		must(t, core.Ring.EnsureAccount(ctx, a))
	}
	core.DB = sealed.New(below, core.Ring)
	logs := audit.Config{Dir: filepath.Join(core.Dir, "audit"), Key: core.Ring.AuditKey(),
		WarnFree: -1, MinFree: -1, Account: Home, Logger: c.Logger}
	if _, measured := t.(*testing.B); !measured {
		logs.SpaceEvery = time.Hour
		logs.CheckpointAfter = 5 * time.Millisecond // a stop waits for the log to be on stable storage
	}
	core.Log, err = audit.Open(logs)
	must(t, err)

	core.Relay = change.NewRelay(change.RelayConfig{DB: core.DB, Log: core.Log, Logger: c.Logger})
	must(t, core.Relay.Recover(ctx))
	auth := &authn.Authorizer{Mounts: mount.ForPolicy, Aliases: login.ForPolicy}
	core.Gate = &gate.Gate{DB: core.DB, Auth: auth, Log: core.Log}
	core.Changes = change.New(change.Config{Gate: core.Gate, Relay: core.Relay})
	core.Authn = authn.New(authn.Config{Gate: core.Gate, Changes: core.Changes, Vault: core.Ring, Home: Home}, auth)
	core.Secrets = secret.New(secret.Config{Gate: core.Gate, Changes: core.Changes, Vault: core.Ring,
		Regions: []string{Region, Second}, Keep: c.Keep, KeepFor: time.Nanosecond, Kinds: c.Kinds, Names: c.Names, Logger: c.Logger})
	core.SignIn = signin.New(signin.Config{Gate: core.Gate, Changes: core.Changes, Vault: core.Ring, Home: Home,
		Params: c.Passwords, Burst: 1000, AllowLoopback: true, Logger: c.Logger})

	core.Projects = project.New(project.Config{Gate: core.Gate, Changes: core.Changes})
	core.Transit = transit.New(transit.Config{Gate: core.Gate, Changes: core.Changes, Region: Region, Logger: c.Logger})
	core.Mounts = mount.New(core.Gate, core.Changes, map[string]mount.Holds{
		mount.KV: func(r kv.Reader, account string, t *mount.Table, m *mount.Mount) (bool, error) {
			return secret.AnyUnder(r, account, m.Prefix, func(n string) (string, bool) { return t.Hide(m, n) })
		},
		mount.Transit: func(r kv.Reader, account string, t *mount.Table, m *mount.Mount) (bool, error) {
			return transit.AnyUnder(r, account, m.Prefix, func(n string) bool { of, _ := t.OfKey(n); return of == m })
		},
	})
	core.Passwords = password.New(core.Gate, core.Changes)
	core.Rotation = core.Rotator(rotation.Config{Kinds: c.Kinds, Logger: c.Logger})
	core.Tokens = token.New(token.Config{Gate: core.Gate, Changes: core.Changes, Vault: core.Ring, Linked: login.Linked})
	core.Devices = auditdevice.New(auditdevice.Config{Gate: core.Gate, Changes: core.Changes, Log: core.Log, Mounts: core.Mounts, Home: Home,
		Dir: filepath.Join(core.Dir, "audit-devices"), Syslog: []string{filepath.Join(core.Dir, "syslog")}, Logger: c.Logger})
	core.IDTokens = identitytoken.New(identitytoken.Config{Gate: core.Gate, Changes: core.Changes, Home: Home, URL: IssuerURL, Aliases: login.ForPolicy, Logger: c.Logger}) // its job does not run
	core.Logins = login.New(login.Config{Gate: core.Gate, Changes: core.Changes, Vault: core.Ring, Tokens: core.Tokens, SignIn: core.SignIn,
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Burst: 1000, Logger: c.Logger})
	decoders := core.Authn.Decoders()
	decoders[login.NounUser] = core.Logins.DecodeUser(decoders[login.NounUser])
	maps.Copy(decoders, core.Logins.Decoders())
	maps.Copy(decoders, core.IDTokens.Decoders())
	decoders["secret"] = core.Secrets.DecodeEdit
	decoders[project.Noun] = core.Projects.DecodeEdit
	decoders[mount.Noun] = core.Mounts.DecodeEdit
	decoders[password.Noun] = core.Passwords.DecodeEdit
	decoders[auditdevice.Noun] = core.Devices.DecodeEdit
	decoders[transit.Noun] = core.Transit.DecodeEdit
	maps.Copy(decoders, core.Tokens.Decoders())
	core.Changes.Connect(core.Authn, core.Secrets, decoders)

	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); core.Relay.Run(running) }()
	t.Cleanup(func() {
		stop()
		<-done
		if err := core.Log.Close(); err != nil {
			t.Errorf("closing the audit log: %v", err)
		}
		if err := core.DB.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	core.Key, err = core.Authn.Bootstrap(ctx)
	if c.Dir != "" && errs.Is(err, errs.Exists) {
		core.Admin = Circumstances(caller.Caller{Account: Home, Kind: caller.User, Name: authn.Admin})
		return core
	}
	must(t, err)
	must(t, core.Relay.Flush(ctx)) // so that no record of the set-up comes after those of the test
	core.Admin = core.As(t, core.Key)
	return core
}

// FunctionARN is the rotation function that the fixture's server knows.
const FunctionARN = "arn:aws:lambda:us-east-1:" + Home + ":function:f"

// Functions is a rotator in the place of the one that calls functions. It makes
// random values.
func Functions() rotator.Kind {
	k := random.Kind()
	k.Name, k.Options = secret.KindFunction, []rotator.Option{{Name: secret.OptionFunction, Require: true}}
	k.Check = func(o map[string]string) error {
		if o[secret.OptionFunction] != FunctionARN {
			return errs.InvalidField(secret.OptionFunction, "the server's configuration does not have the function")
		}
		return nil
	}
	return k
}

// Leads is a rotation.Lock of a node that is alone.
type Leads struct{}

// Fence implements rotation.Lock.
func (Leads) Fence() (uint64, bool) { return 1, true }

// Check implements rotation.Lock.
func (Leads) Check(kv.Txn, uint64) error { return nil }

// Rotator makes a service that rotates what the core holds, as a server does after
// its start.
func (c *Core) Rotator(conf rotation.Config) *rotation.Service {
	conf.Gate, conf.Secrets, conf.Lock = c.Gate, c.Secrets, Leads{}
	if conf.Env.Now == nil {
		conf.Env.Now = time.Now
	}
	conf.Passwords = c.Passwords.Draw
	if conf.Readers == nil {
		conf.Readers = func(ctx context.Context, n name.Secret, regions []string, since time.Time) (map[string]uint64, error) {
			return c.Log.Readers(ctx, n.Account, n.Name, regions, since)
		}
	}
	return rotation.New(conf)
}

func engine(t testing.TB, c Config, dir string) kv.DB {
	t.Helper()
	if !c.Bolt {
		return memkv.New(memkv.Config{Seed: 7})
	}
	db, err := boltkv.Open(boltkv.Config{Path: filepath.Join(dir, "store.db")})
	must(t, err)
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// As is the caller that a key proves, on the native front in Region, from
// loopback over TLS.
func (c *Core) As(t testing.TB, key authn.NewKey) caller.Caller {
	t.Helper()
	cred, err := c.Authn.Lookup(context.Background(), key.ID, time.Now())
	must(t, err)
	return Circumstances(cred.Caller)
}

// Circumstances fills in what a front would.
func Circumstances(who caller.Caller) caller.Caller {
	who.Proof, who.Front, who.Region, who.RequestID = caller.ProofToken, "native", Region, "request-1"
	who.Source, who.Agent, who.Secure, who.Time = netip.MustParseAddr("127.0.0.1"), "test", true, time.Now()
	return who
}

// User makes a user of Home with a key and one policy of its own with that
// document; an empty document gives it none.
func (c *Core) User(t testing.TB, n, document string) (caller.Caller, authn.NewKey) {
	t.Helper()
	return c.userOf(t, c.Admin, n, document)
}

func (c *Core) userOf(t testing.TB, admin caller.Caller, n, document string) (caller.Caller, authn.NewKey) {
	t.Helper()
	ctx := context.Background()
	_, err := c.Authn.CreateUser(ctx, admin, authn.CreateUserRequest{Name: n})
	must(t, err)
	if document != "" {
		_, err = c.Authn.PutPolicy(ctx, admin, n+"-policy", document, "")
		must(t, err)
		_, err = c.Authn.Attach(ctx, admin, authn.Attachment{Policy: n + "-policy", User: n})
		must(t, err)
	}
	key, err := c.Authn.CreateKey(ctx, admin, authn.CreateKeyRequest{Owner: n})
	must(t, err)
	must(t, c.Relay.Flush(ctx))
	return c.As(t, key), key
}

// Stranger makes account Other and returns its administrator.
func (c *Core) Stranger(t testing.TB) (caller.Caller, authn.NewKey) {
	t.Helper()
	key, err := c.Authn.CreateAccount(context.Background(), c.Admin, Other, "other")
	must(t, err)
	must(t, c.Relay.Flush(context.Background()))
	return c.As(t, key), key
}

// ID parses a secret id that must be valid.
func ID(t testing.TB, s string) name.SecretID {
	t.Helper()
	id, err := name.ParseSecretID(s)
	must(t, err)
	return id
}

// Dump reads the whole store as the core sees it, but for what every request
// may leave behind whatever comes of it: the outbox and times of use.
func (c *Core) Dump(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	must(t, c.DB.View(context.Background(), func(r kv.Reader) error {
		for p, err := range r.Scan(kv.Range{}) {
			if err != nil {
				return err
			}
			if bytes.HasPrefix(p.Key, kv.K("sys", "outbox")) || bytes.Contains(p.Key, []byte("\x00\x01used\x00\x01")) ||
				bytes.Contains(p.Key, []byte("\x00\x01key-used\x00\x01")) {
				continue
			}
			out[string(p.Key)] = bytes.Clone(p.Value)
		}
		return nil
	}))
	return out
}

// Records flushes the relay and reads the whole audit log, oldest first.
func (c *Core) Records(t testing.TB) (out []audit.Record) {
	t.Helper()
	ctx := context.Background()
	must(t, c.Relay.Flush(ctx))
	for r, err := range c.Log.Query(ctx, audit.Filter{}) {
		must(t, err)
		out = append(out, r)
	}
	return out
}
