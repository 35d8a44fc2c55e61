package server

import (
	"context"
	"errors"
	"net"
	"time"

	"countersign/internal/config"
	"countersign/internal/core/rotation"
	"countersign/internal/egress"
	"countersign/internal/rotator"
	"countersign/internal/rotator/certificate"
	"countersign/internal/rotator/jwt"
	"countersign/internal/rotator/keypair"
	"countersign/internal/rotator/postgresql"
	"countersign/internal/rotator/random"
	"countersign/internal/rotator/redis"
	"countersign/internal/rotator/sshkey"
)

// rotators are what secrets can be rotated with.
func rotators(cfg config.Config) rotator.Kinds {
	return rotator.Kinds{
		certificate.Kind(),
		jwt.Kind(),
		keypair.Kind(),
		postgresql.Kind(),
		random.Kind(),
		redis.Kind(),
		sshkey.Kind(),
	}
}

// rotates builds the service that rotates secrets.
func (c *core) rotates() *rotation.Service {
	r := c.cfg.Rotation
	guard := egress.New(egress.Config{Allow: config.Prefixes(r.Allow), Timeout: time.Duration(r.Timeout)})
	return rotation.New(rotation.Config{
		Gate:    c.gate,
		Secrets: c.secrets,
		Lock:    c.lock,
		Kinds:   rotators(c.cfg),
		Env: rotator.Env{
			Dial: dialler(guard),
			HTTP: guard.Client(),
			Now:  time.Now,
		},
		Passwords:   c.passwords.Generate,
		Concurrency: r.Concurrency,
		Timeout:     time.Duration(r.Timeout),
		Attempts:    r.Attempts,
		Logger:      c.logger,
	})
}

// dialler reaches what the guard lets it, and says it where that is not so.
func dialler(guard *egress.Guard) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := guard.Dial(ctx, network, address)
		switch {
		case errors.Is(err, egress.ErrAddress):
			return nil, rotator.Fail(rotator.Unsuitable, err, "the target is at an address that is not public, and the server does not allow it (rotation.allow in its configuration)")
		case errors.Is(err, egress.ErrName):
			return nil, rotator.Fail(rotator.Unreachable, err, "the name of the target's host cannot be resolved")
		}
		return conn, err
	}
}
