package cli

import (
	"cmp"
	"time"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/session/held"
	"countersign/internal/cli/settings"
	"countersign/internal/client"
	"countersign/internal/sensitive"
)

// connection finds out which server to speak to, and as whom.
type connection struct {
	env     *env.Env
	cfg     *client.Config // of the flags and the environment
	getenv  func(string) string
	changed func(flag string) bool
}

// connect makes a client with the token of the flags or the environment, or
// else with the session of the server in force.
func (c connection) connect() (*client.Client, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	if cfg.Token.Len() > 0 || cfg.TokenFile != "" {
		return client.New(cfg)
	}
	in, session, err := c.stored(cfg)
	if err != nil || session == nil {
		return in.Client, err
	}
	return in.Client.As(held.New(in.Store, *session, in.Client, c.env.Time)), nil
}

// signIn makes a client that asks as nobody.
func (c connection) signIn() (env.SignIn, error) {
	cfg, err := c.config()
	if err != nil {
		return env.SignIn{}, err
	}
	cfg.Token, cfg.TokenFile = sensitive.Bytes{}, ""
	in, _, err := c.stored(cfg)
	return in, err
}

// config is what the flags and the environment say.
func (c connection) config() (client.Config, error) {
	cfg := *c.cfg
	if c.changed("token-file") {
		cfg.Token = sensitive.Bytes{} // what the command line says wins over the environment
	}
	if cfg.Timeout < time.Millisecond {
		return cfg, exit.Usagef("--timeout: %s is too short", cfg.Timeout)
	}
	return cfg, nil
}

// stored adds what the user's configuration says, and finds the session of the
// server that it then is.
func (c connection) stored(cfg client.Config) (env.SignIn, *settings.Session, error) {
	in := env.SignIn{}
	store, err := settings.Locate(c.getenv, cmp.Or(c.getenv("HOME"), c.getenv("USERPROFILE")))
	if err != nil { // no place for a configuration: there is none
		in.Client, err = client.New(cfg)
		return in, nil, err
	}
	var warning string
	if in.Global, warning, err = store.Load(); err != nil {
		return in, nil, err
	}
	if warning != "" {
		c.env.Streams.Notef("warning: %s", warning)
	}
	r, err := settings.Resolve(settings.Inputs{Getenv: c.getenv, Global: in.Global,
		Flags: settings.Flags{Address: cfg.Address, CAFile: cfg.CAFile, Region: cfg.Region}})
	if err != nil {
		return in, nil, err
	}
	cfg.Address, cfg.CAFile, cfg.Region = r.Address.Value, r.CAFile.Value, r.Region.Value
	in.Store = store
	if in.Client, err = client.New(cfg); err != nil {
		return in, nil, err
	}
	return in, r.Session(), nil
}
