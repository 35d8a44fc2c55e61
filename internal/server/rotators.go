package server

import (
	"time"

	"countersign/internal/config"
	"countersign/internal/core/rotation"
	"countersign/internal/rotator"
	"countersign/internal/rotator/random"
)

// rotators are what secrets can be rotated with.
func rotators(cfg config.Config) rotator.Kinds {
	return rotator.Kinds{
		random.Kind(),
	}
}

// rotates builds the service that rotates secrets.
func (c *core) rotates() *rotation.Service {
	return rotation.New(rotation.Config{
		Gate:      c.gate,
		Secrets:   c.secrets,
		Lock:      c.lock,
		Kinds:     rotators(c.cfg),
		Env:       rotator.Env{Now: time.Now},
		Passwords: c.passwords.Generate,
		Logger:    c.logger,
	})
}
