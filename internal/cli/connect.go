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
	warned  map[string]bool
}

// files are what the project and the user configured.
type files struct {
	store  settings.Store
	placed bool // store has a place
	global settings.Global
	local  settings.Local
}

// connect makes a client with the token of the flags or the environment, or
// else with the session of the server in force.
func (c *connection) connect() (*client.Client, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	token := cfg.Token.Len() > 0 || cfg.TokenFile != ""
	if token && cfg.Address != "" { // nothing is left to find out
		return client.New(cfg)
	}
	in, session, err := c.stored(cfg)
	if err != nil || session == nil || token {
		return in.Client, err
	}
	return in.Client.As(held.New(in.Store, *session, in.Client, c.env.Time)), nil
}

// signIn makes a client that asks as nobody.
func (c *connection) signIn() (env.SignIn, error) {
	cfg, err := c.config()
	if err != nil {
		return env.SignIn{}, err
	}
	cfg.Token, cfg.TokenFile = sensitive.Bytes{}, ""
	in, _, err := c.stored(cfg)
	return in, err
}

// config is what the flags and the environment say.
func (c *connection) config() (client.Config, error) {
	cfg := *c.cfg
	if c.changed("token-file") {
		cfg.Token = sensitive.Bytes{} // what the command line says wins over the environment
	}
	if cfg.Timeout < time.Millisecond {
		return cfg, exit.Usagef("--timeout: %s is too short", cfg.Timeout)
	}
	return cfg, nil
}

// place is where the user's configuration is, whether or not there is one.
func (c *connection) place() (settings.Store, error) { return settings.Locate(c.getenv, c.home()) }

func (c *connection) home() string { return cmp.Or(c.getenv("HOME"), c.getenv("USERPROFILE")) }

// read reads what the project and the user configured.
func (c *connection) read() (*files, error) {
	f := &files{}
	var err error
	if f.store, err = c.place(); err == nil { // no place for a configuration: there is none
		var warning string
		if f.global, warning, err = f.store.Load(); err != nil {
			return nil, err
		}
		f.placed = true
		c.warn(warning)
	}
	var warnings []string
	f.local, warnings, err = settings.FindLocal(".", c.home())
	c.warn(warnings...)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// warn says each warning once, however often the files are read.
func (c *connection) warn(warnings ...string) {
	for _, w := range warnings {
		if w != "" && !c.warned[w] {
			c.env.Streams.Notef("warning: %s", w)
			c.warned[w] = true
		}
	}
}

// settings are those in force for a command with these flags of its own.
func (c *connection) settings(of settings.Flags) (settings.Resolved, error) {
	f, err := c.read()
	if err != nil {
		return settings.Resolved{}, err
	}
	for _, g := range []struct {
		flag     string
		from, to *string
	}{{"address", &c.cfg.Address, &of.Address}, {"ca-file", &c.cfg.CAFile, &of.CAFile}, {"region", &c.cfg.Region, &of.Region}} {
		if c.changed(g.flag) {
			*g.to = *g.from
		}
	}
	return settings.Resolve(settings.Inputs{Flags: of, Getenv: c.getenv, Local: f.local, Global: f.global})
}

// stored adds what the project's and the user's configuration say, and finds
// the session of the server that it then is.
func (c *connection) stored(cfg client.Config) (env.SignIn, *settings.Session, error) {
	in := env.SignIn{}
	f, err := c.read()
	if err != nil {
		return in, nil, err
	}
	if !f.placed && f.local.Path == "" {
		in.Client, err = client.New(cfg)
		return in, nil, err
	}
	r, err := c.settings(settings.Flags{})
	if err != nil {
		return in, nil, err
	}
	cfg.Address, cfg.CAFile, cfg.Region = r.Address.Value, r.CAFile.Value, r.Region.Value
	in.Store, in.Global = f.store, f.global
	if in.Client, err = client.New(cfg); err != nil {
		return in, nil, err
	}
	return in, r.Session(), nil
}
