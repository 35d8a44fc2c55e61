package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"countersign/internal/config"
	"countersign/internal/core/rotation"
	"countersign/internal/egress"
	"countersign/internal/name"
	"countersign/internal/rotator"
	"countersign/internal/rotator/call"
	"countersign/internal/rotator/certificate"
	"countersign/internal/rotator/command"
	"countersign/internal/rotator/function"
	"countersign/internal/rotator/jwt"
	"countersign/internal/rotator/keypair"
	"countersign/internal/rotator/mysql"
	"countersign/internal/rotator/postgresql"
	"countersign/internal/rotator/random"
	"countersign/internal/rotator/redis"
	"countersign/internal/rotator/sshkey"
	"countersign/internal/rotator/webhook"
)

// rotators are what secrets can be rotated with.
func rotators(cfg config.Config) rotator.Kinds {
	return rotator.Kinds{
		certificate.Kind(),
		command.Kind(commands(cfg.Rotation)),
		function.Kind(functions(cfg.Rotation)),
		jwt.Kind(),
		keypair.Kind(),
		mysql.Kind(),
		postgresql.Kind(),
		random.Kind(),
		redis.Kind(),
		sshkey.Kind(),
		webhook.Kind(webhooks(cfg.Rotation)),
	}
}

// rotates builds the service that rotates secrets.
func (c *core) rotates() *rotation.Service {
	r := c.cfg.Rotation
	guard := egress.New(egress.Config{Allow: config.Prefixes(r.Allow), Timeout: config.MaxRotationTimeout, MaxAnswer: call.MaxAnswer + 1})
	return rotation.New(rotation.Config{
		Gate:    c.gate,
		Secrets: c.secrets,
		Lock:    c.lock,
		Kinds:   rotators(c.cfg),
		Env: rotator.Env{
			Dial: dialler(guard),
			HTTP: requester(guard),
			Now:  time.Now,
		},
		Passwords: c.passwords.Draw,
		Readers: func(ctx context.Context, n name.Secret, regions []string, since time.Time) (map[string]uint64, error) {
			return c.log.Readers(ctx, n.Account, n.Name, regions, since)
		},
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
		return conn, unreached(err)
	}
}

// requester is dialler for requests.
func requester(guard *egress.Guard) *http.Client {
	c := guard.Client()
	c.Transport = telling{c.Transport}
	return c
}

type telling struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t telling) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.RoundTripper.RoundTrip(r)
	return res, unreached(err)
}

// unreached says it where the guard lets a target not be reached.
func unreached(err error) error {
	switch {
	case errors.Is(err, egress.ErrAddress):
		return rotator.Fail(rotator.Unsuitable, err, "the target is at an address that is not public, and the server does not allow it (rotation.allow in its configuration)")
	case errors.Is(err, egress.ErrPlain):
		return rotator.Fail(rotator.Unsuitable, err, "plain HTTP is only for addresses that the server allows (rotation.allow in its configuration)")
	case errors.Is(err, egress.ErrName):
		return rotator.Fail(rotator.Unreachable, err, "the name of the target's host cannot be resolved")
	}
	return err
}
