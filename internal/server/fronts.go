package server

import (
	"crypto/ed25519"
	"slices"
	"time"

	"countersign/internal/config"
	"countersign/internal/core/inspect"
	"countersign/internal/core/operate"
	"countersign/internal/core/secret"
	"countersign/internal/front/aws/secretsmanager"
	"countersign/internal/front/httpx"
	"countersign/internal/front/native"
	"countersign/internal/front/vault"
	"countersign/internal/keyring"
	"countersign/internal/kv/sealed"
)

// fronts builds the configured protocols, one after the other.
func (s *Server) fronts(o Options) (err error) {
	c, cfg := s.core, s.core.cfg
	if c.notify, err = c.notices(s.metrics.notices); err != nil {
		return err
	}
	c.spawn(c.notify.Run)
	c.spawn(c.devices.Run)
	proxies := httpx.Proxies(config.Prefixes(cfg.TrustedProxies))
	if slices.Contains(cfg.Fronts, config.FrontAWS) {
		s.aws, err = secretsmanager.New(secretsmanager.Config{Secrets: c.secrets, Authn: c.authn, Gate: c.gate,
			Regions: cfg.Regions, Proxies: proxies, Observer: s.metrics, Lenient: cfg.AWS.Lenient, Logger: s.logger})
		if err != nil {
			return err
		}
	}
	if slices.Contains(cfg.Fronts, config.FrontNative) {
		s.native, err = native.New(native.Config{Secrets: c.secrets, Devices: c.devices, Rotation: c.rotation, Projects: c.projects, Notify: c.notify, Changes: c.changes, Authn: c.authn, Inspect: s.inspect(), Operate: s.operate(o),
			Rate: native.Rate(cfg.Reviews), Gate: c.gate, SignIn: c.signin, Proxies: proxies, Observe: s.metrics, Region: cfg.Regions[0], Regions: cfg.Regions, Logger: s.logger, Draining: s.draining})
	}
	if err == nil && slices.Contains(cfg.Fronts, config.FrontVault) {
		s.vault, err = vault.New(vault.Config{
			Authn:     c.authn,
			Changes:   c.changes,
			Devices:   c.devices,
			Gate:      c.gate,
			IDTokens:  c.idTokens,
			Logins:    c.logins,
			Mounts:    c.mounts,
			Passwords: c.passwords,
			Secrets:   c.secrets,
			SignIn:    c.signin,
			Tokens:    c.tokens,
			Transit:   c.transit,
			Home:      cfg.Account, Region: cfg.Regions[0], Proxies: proxies, Observe: s.metrics, Logger: s.logger,
			Version: o.Version, Cluster: c.log.ID(), Draining: s.draining,
		})
	}
	return err
}

func (s *Server) inspect() *inspect.Service {
	c := s.core
	return inspect.New(inspect.Config{Gate: c.gate, Log: c.log, Relay: c.relay, Identities: c.authn, Secrets: c.secrets, Emergencies: c.changes,
		Vault: c.ring, Dir: c.cfg.Audit.Dir, Keys: []ed25519.PublicKey{c.log.PublicKey()}})
}

// operate builds the operator's questions, and begins their background work.
func (s *Server) operate(o Options) *operate.Service {
	c := s.core
	op := operate.New(operate.Config{Gate: c.gate, Home: c.authn, Log: c.log, Relay: c.relay, Keyring: c.ring,
		Walk:  keyring.Walk{DB: c.db, Ciphertext: sealed.Ciphertext, DataKeys: secret.DataKeys},
		Store: c.engine, AuditDir: c.cfg.Audit.Dir, Spool: c.cfg.Data,
		Version: o.Version, Started: time.Now(), Regions: c.cfg.Regions, Logger: s.logger})
	c.spawn(op.Run)
	return op
}
