package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"countersign/internal/config"
)

// certificates serves a certificate from files and reads them again when they
// changed. A pair that cannot be read leaves the old one in use.
type certificates struct {
	cfg    config.TLS
	logger *slog.Logger

	mu     sync.Mutex
	cert   *tls.Certificate
	stamp  stamp
	looked time.Time
}

// stamp tells versions of the two files apart.
type stamp struct {
	cert, key         time.Time
	certSize, keySize int64
}

const lookEvery = 5 * time.Second

func loadCertificates(cfg config.TLS, logger *slog.Logger) (*certificates, error) {
	c := &certificates{cfg: cfg, logger: logger}
	if err := c.reload(time.Now()); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificates) reload(now time.Time) error {
	c.looked = now
	crt, err := os.Stat(c.cfg.Cert)
	if err != nil {
		return fmt.Errorf("tls.cert: %w", err)
	}
	key, err := os.Stat(c.cfg.Key)
	if err != nil {
		return fmt.Errorf("tls.key: %w", err)
	}
	s := stamp{crt.ModTime(), key.ModTime(), crt.Size(), key.Size()}
	if c.cert != nil && s == c.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cfg.Cert, c.cfg.Key)
	if err != nil {
		return fmt.Errorf("tls: reading the certificate and its key: %w", err)
	}
	if c.cert != nil {
		c.logger.Info("the certificate was read again")
	}
	c.cert, c.stamp = &pair, s
	return nil
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		if err := c.reload(now); err != nil {
			c.logger.Error("the certificate could not be read again; the old one stays", "error", err)
		}
	}
	return c.cert, nil
}

// config is that of the listener. Where a login can be by a client's certificate,
// one is asked for: who has none goes on without, and who shows one has proved to
// hold its key. Whom it is trusted as is decided where it is used.
func (c *certificates) config(askClients bool) *tls.Config {
	ask := tls.NoClientCert
	if askClients {
		ask = tls.RequestClientCert
	}
	return &tls.Config{ClientAuth: ask, MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}
}
