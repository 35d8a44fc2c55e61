// Package server is the composition root: from a configuration it builds the
// seal, the keyring, the store, the core and the fronts, and runs them behind
// one listener. It is the one place that knows all of them, and holds no
// logic of theirs.
//
// It also holds what works on a store while no server runs: making the first
// account, checking the file, restoring a backup, verifying the audit log.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"countersign/internal/config"
	"countersign/internal/core/audit"
	"countersign/internal/core/auditdevice"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/identitytoken"
	"countersign/internal/core/leader"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/notify"
	"countersign/internal/core/password"
	"countersign/internal/core/project"
	"countersign/internal/core/record"
	"countersign/internal/core/rotation"
	"countersign/internal/core/secret"
	"countersign/internal/core/signin"
	"countersign/internal/core/token"
	"countersign/internal/core/transit"
	"countersign/internal/keyring"
	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/sealed"
	"countersign/internal/kv/traced"
	"countersign/internal/seal"
	"countersign/internal/seal/keyfile"
	"countersign/internal/seal/passphrase"
)

// system is the account of records that belong to no tenant.
const system = "sys"

// core is everything below the fronts.
type core struct {
	cfg       config.Config
	logger    *slog.Logger
	engine    *boltkv.DB
	ring      *keyring.Ring
	db        kv.DB
	log       *audit.Log
	relay     *change.Relay
	gate      *gate.Gate
	changes   *change.Service
	authn     *authn.Service
	secrets   *secret.Service
	lock      *leader.Lock
	rotation  *rotation.Service
	signin    *signin.Service
	projects  *project.Service
	mounts    *mount.Service
	passwords *password.Service
	devices   *auditdevice.Service
	stdout    *os.File // for audit devices; nil: there is none
	transit   *transit.Service
	tokens    *token.Service
	logins    *login.Service
	idTokens  *identitytoken.Service
	notify    *notify.Service // of a server, not of what works on a stopped one

	life context.Context // of the background work
	stop context.CancelFunc
	jobs sync.WaitGroup
}

// storePath is the store's file in a data folder.
func storePath(data string) string { return filepath.Join(data, "store.db") }

// openSeal makes the configured seal.
func openSeal(c config.Seal) (seal.Seal, error) {
	switch {
	case c.Passphrase.File != "" || c.Passphrase.Env != "":
		return passphrase.New(passphrase.Config{File: c.Passphrase.File, Env: c.Passphrase.Env})
	default:
		return keyfile.New(keyfile.Config{Path: c.Keyfile})
	}
}

// openCore opens the store and everything above it, and begins the background
// work. Nothing is served yet.
func openCore(ctx context.Context, cfg config.Config, logger *slog.Logger, obs traced.Observer) (_ *core, err error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	c := &core{cfg: cfg, logger: logger}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.engine, err = boltkv.Open(boltkv.Config{Path: storePath(cfg.Data)}); err != nil {
		return nil, err
	}
	s, err := openSeal(cfg.Seal)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if c.ring, err = keyring.Open(ctx, c.engine, s, keyring.Config{}); err != nil {
		return nil, err
	}
	for _, account := range []string{system, cfg.Account} {
		if err := c.ring.EnsureAccount(ctx, account); err != nil {
			return nil, err
		}
	}
	c.db = sealed.New(traced.New(c.engine, traced.Config{Observer: obs}), c.ring)
	if err := c.openLog(ctx); err != nil {
		return nil, err
	}
	c.relay = change.NewRelay(change.RelayConfig{DB: c.db, Log: c.log, Logger: logger})
	if err := c.relay.Recover(ctx); err != nil {
		return nil, err
	}
	auth := &authn.Authorizer{Mounts: mount.ForPolicy, Aliases: login.ForPolicy}
	c.gate = &gate.Gate{DB: c.db, Auth: auth, Log: c.log}
	c.changes = change.New(change.Config{Gate: c.gate, Relay: c.relay, Logger: logger})
	c.authn = authn.New(authn.Config{Gate: c.gate, Changes: c.changes, Vault: c.ring, Home: cfg.Account}, auth)
	names, err := cfg.Names.Parse()
	if err != nil {
		return nil, err
	}
	c.secrets = secret.New(secret.Config{Gate: c.gate, Changes: c.changes, Vault: c.ring, Regions: cfg.Regions,
		Keep: cfg.History.Keep, KeepFor: time.Duration(cfg.History.MinAge), Kinds: rotators(cfg), Names: names, Logger: logger})
	c.signin = signin.New(signin.Config{Gate: c.gate, Changes: c.changes, Vault: c.ring, Home: cfg.Account,
		AllowLoopback: cfg.SignIn.LoopbackIssuer, Logger: logger})
	c.projects = project.New(project.Config{Gate: c.gate, Changes: c.changes})
	c.transit = transit.New(transit.Config{Gate: c.gate, Changes: c.changes, Region: cfg.Regions[0], Logger: logger})
	c.mounts = mount.New(c.gate, c.changes, map[string]mount.Holds{mount.KV: holdsSecrets, mount.Transit: holdsKeys})
	c.passwords = password.New(c.gate, c.changes)
	c.lock = leader.New(leader.Config{DB: c.db, Alone: true, Logger: logger})
	c.rotation = c.rotates()
	c.tokens = token.New(token.Config{Gate: c.gate, Changes: c.changes, Vault: c.ring, Linked: login.Linked})
	c.devices = c.auditDevices()
	c.idTokens = identitytoken.New(identitytoken.Config{Gate: c.gate, Changes: c.changes, Home: cfg.Account, URL: publicURL(cfg), Aliases: login.ForPolicy, Logger: logger})
	c.logins = login.New(login.Config{Gate: c.gate, Changes: c.changes, Vault: c.ring, Tokens: c.tokens, SignIn: c.signin,
		Allow: config.Prefixes(cfg.Logins.Allow), Logger: logger})
	decoders := c.authn.Decoders()
	decoders[login.NounUser] = c.logins.DecodeUser(decoders[login.NounUser])
	maps.Copy(decoders, c.logins.Decoders())
	maps.Copy(decoders, c.idTokens.Decoders())
	decoders["secret"] = c.secrets.DecodeEdit
	decoders[project.Noun] = c.projects.DecodeEdit
	decoders[mount.Noun] = c.mounts.DecodeEdit
	decoders[auditdevice.Noun] = c.devices.DecodeEdit
	decoders[password.Noun] = c.passwords.DecodeEdit
	decoders[transit.Noun] = c.transit.DecodeEdit
	maps.Copy(decoders, c.tokens.Decoders())
	c.changes.Connect(c.authn, c.secrets, decoders)
	c.run()
	return c, nil
}

// publicURL is where others reach the server, as far as the configuration tells.
func publicURL(cfg config.Config) string {
	if cfg.PublicURL != "" {
		return cfg.PublicURL
	}
	scheme := "http://"
	if cfg.TLS.Cert != "" {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return scheme + net.JoinHostPort("127.0.0.1", port)
	}
	return scheme + cfg.Listen
}

// holdsSecrets reports whether there are secrets below a key-value mount.
func holdsSecrets(r kv.Reader, account string, t *mount.Table, m *mount.Mount) (bool, error) {
	return secret.AnyUnder(r, account, m.Prefix, func(n string) (string, bool) { return t.Hide(m, n) })
}

// holdsKeys reports whether there are keys below a transit mount.
func holdsKeys(r kv.Reader, account string, t *mount.Table, m *mount.Mount) (bool, error) {
	return transit.AnyUnder(r, account, m.Prefix, func(n string) bool {
		of, _ := t.OfKey(n)
		return of == m
	})
}

// anchorKey is where the store keeps the newest head of the audit log.
func anchorKey() kv.Key { return kv.K(system, "audit-head") }

func (c *core) openLog(ctx context.Context) error {
	head, err := c.anchor(ctx)
	if err != nil {
		return err
	}
	a := c.cfg.Audit
	c.log, err = audit.Open(audit.Config{
		Dir: a.Dir, Key: c.ring.AuditKey(), SegmentSize: int64(a.SegmentSize), SegmentAge: time.Duration(a.SegmentAge),
		WarnFree: int64(a.WarnFree), MinFree: int64(a.MinFree), AcceptLoss: a.AcceptLoss, ExpectHead: head,
		Account: c.cfg.Account, Logger: c.logger,
		Anchor: func(ctx context.Context, h audit.Head) error {
			_, err := c.db.Update(ctx, func(tx kv.Txn) error { return record.Put(tx, anchorKey(), h) })
			return err
		},
	})
	if errors.Is(err, audit.ErrBehind) || errors.Is(err, audit.ErrDamaged) {
		err = fmt.Errorf("%w (audit.accept_loss in the configuration, once)", err)
	}
	return err
}

// anchor reads the newest head that the store knows.
func (c *core) anchor(ctx context.Context) (head audit.Head, err error) {
	err = c.db.View(ctx, func(r kv.Reader) (err error) {
		head, _, err = record.Get[audit.Head](r, anchorKey())
		return err
	})
	if err != nil {
		return audit.Head{}, fmt.Errorf("reading the anchor of the audit log: %w", err)
	}
	return head, nil
}

// run begins the background work.
func (c *core) run() {
	c.life, c.stop = context.WithCancel(context.Background())
	for _, job := range []func(context.Context){
		c.relay.Run,
		c.lock.Run,
		c.rotation.Run,
		c.secrets.Run,
		c.changes.Run,
		c.logins.Run,
		c.transit.Run,
		c.idTokens.Run,
		c.retain,
		func(ctx context.Context) {
			c.authn.Run(ctx, func(err error) { c.logger.Error("storing when keys were used", "error", err) })
		},
		func(ctx context.Context) {
			c.tokens.Run(ctx, func(err error) { c.logger.Error("removing tokens that are over", "error", err) })
		},
		func(ctx context.Context) {
			c.signin.Run(ctx, func(err error) { c.logger.Error("dropping sessions that are over", "error", err) })
		},
	} {
		c.spawn(job)
	}
}

// spawn runs a job until the core is closed, which waits for it.
func (c *core) spawn(job func(context.Context)) { c.jobs.Go(func() { job(c.life) }) }

// retainEvery is how often old segments of the audit log are looked for.
const retainEvery = time.Hour

// retain moves old segments of the audit log to the configured folder: copied,
// verified there, and only then deleted here.
func (c *core) retain(ctx context.Context) {
	a := c.cfg.Audit
	if a.ExportDir == "" {
		return
	}
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		if err := c.exportLog(ctx, time.Now().Add(-time.Duration(a.RetainFor))); err != nil && ctx.Err() == nil {
			c.logger.Error("moving old audit segments; they stay where they are", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *core) exportLog(ctx context.Context, before time.Time) error {
	out, err := c.log.Export(ctx, before, c.cfg.Audit.ExportDir)
	if err != nil || out.Segments == 0 {
		return err
	}
	n, err := c.log.Prune(ctx, before, out.Proof)
	if n > 0 {
		c.logger.Info("moved audit segments", "segments", n, "to", c.cfg.Audit.ExportDir)
	}
	return err
}

// close ends the background work, then the log, then the store.
func (c *core) close() error {
	var errAll error
	if c.stop != nil {
		c.stop()
		c.jobs.Wait()
	}
	if c.log != nil {
		errAll = errors.Join(errAll, c.log.Close())
	}
	if c.engine != nil {
		errAll = errors.Join(errAll, c.engine.Close())
	}
	if c.stdout != nil {
		errAll = errors.Join(errAll, c.stdout.Close())
	}
	return errAll
}
