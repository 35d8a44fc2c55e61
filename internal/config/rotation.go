package config

import (
	"fmt"
	"time"
)

// Rotation configures how secrets are rotated.
type Rotation struct {
	// Concurrency is how many secrets are rotated at once, 1 to 64. Default 4.
	Concurrency int `yaml:"concurrency"`
	// Timeout is that of one step, 1s to 15m. Default 30s.
	Timeout Duration `yaml:"timeout"`
	// Attempts is how often a step is done before the rotation is undone, 1 to 20.
	// Default 5.
	Attempts int `yaml:"attempts"`
	// Allow are addresses or CIDR blocks that targets may be at although they are not
	// public ones, and by connections that are not encrypted. Default none.
	Allow []Prefix `yaml:"allow"`
}

func (r *Rotation) setDefaults() {
	if r.Concurrency == 0 {
		r.Concurrency = 4
	}
	if r.Timeout == 0 {
		r.Timeout = Duration(30 * time.Second)
	}
	if r.Attempts == 0 {
		r.Attempts = 5
	}
}

func (r *Rotation) check() error {
	switch d := time.Duration(r.Timeout); {
	case r.Concurrency < 1 || r.Concurrency > 64:
		return fmt.Errorf("rotation.concurrency: it is 1 to 64")
	case d < time.Second || d > 15*time.Minute:
		return fmt.Errorf("rotation.timeout: it is 1s to 15m")
	case r.Attempts < 1 || r.Attempts > 20:
		return fmt.Errorf("rotation.attempts: it is 1 to 20")
	}
	return nil
}
