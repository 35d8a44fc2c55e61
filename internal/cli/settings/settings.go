// Package settings is what commands know before anybody types a flag: the
// project's defaults, which a repository carries, and the user's configuration,
// which holds the session.
//
// # Where a setting comes from
//
// The first that has one: the flag, the environment (COUNTERSIGN_ADDR, …), the
// local file, the global file, the built-in default. Resolve says for each
// setting which it was.
//
// # The local file
//
// .countersign.json, or in its absence .sr.json, of the current folder or of
// the nearest parent that has either. The search ends at the user's home
// folder, which is looked at, and otherwise at the root of the file system.
//
//	{"project": "backend-api", "env": "dev", "file": ".env", "address": "https://secrets.example"}
//
// All fields are optional and no others are allowed; of a .sr.json, which
// another program owns, project and env are read and the rest is not. Whoever
// writes to a repository writes this file, so it is not trusted:
//
//   - its address is only ever the one that the user signed in to, or signed
//     out, the one in the global file. Any other is refused, unless a flag or
//     the environment says where to go;
//   - its file is a name in its own folder, so that "pull" overwrites nothing
//     elsewhere;
//   - it has no say in certificate authorities, regions and credentials;
//   - it belongs to the user, to root, or to who owns the current folder.
//     Otherwise it is passed over with a warning: anybody can put a file into
//     /tmp.
//
// # The global file
//
// $COUNTERSIGN_CONFIG, $XDG_CONFIG_HOME/countersign/config.json or
// ~/.config/countersign/config.json. It is written with mode 0600, whole or
// not at all (a symbolic link is not written through), in a folder of mode
// 0700, under a lock (beside it, with the suffix
// .lock) that every writer holds from reading to writing. Fields that this
// release does not know are kept.
//
// A session goes to the server that it was made with and to no other,
// whatever the address in force: ask Resolved.Session for it. No error and no
// warning holds a token.
package settings

import (
	"fmt"
	"path/filepath"
	"regexp"

	"countersign/internal/client"
	"countersign/internal/errs"
)

// Variables of the environment that Resolve reads, beside those of package
// client.
const (
	EnvProject = "COUNTERSIGN_PROJECT"
	EnvEnv     = "COUNTERSIGN_ENV"
)

// DefaultFile is the name of the file of variables.
const DefaultFile = ".env"

// Default is what Setting.From says of a built-in default.
const Default = "default"

// Flags are what the command line said. Empty is not given.
type Flags struct {
	Address, CAFile, Region, Project, Env, File string
}

// Inputs are where settings come from.
type Inputs struct {
	Flags  Flags
	Getenv func(string) string // default: an empty environment
	Local  Local
	Global Global
}

// Setting is a value and where it is from: a flag as it is typed, the name of a
// variable, the path of a file, or Default. Both are empty where nothing sets it.
type Setting struct {
	Value, From string
}

// Resolved are the settings in force.
type Resolved struct {
	Address Setting // scheme, host and port
	CAFile  Setting
	Region  Setting
	Project Setting
	Env     Setting
	File    Setting // path of the file of variables; never empty

	session *Session
}

// Resolve picks each setting by the order of the package comment.
func Resolve(in Inputs) (Resolved, error) {
	getenv := in.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	env := func(name string) Setting { return Setting{getenv(name), name} }
	local := func(v string) Setting { return Setting{v, in.Local.Path} }
	global := func(v string) Setting { return Setting{v, in.Global.Path} }

	r := Resolved{
		CAFile:  first(Setting{in.Flags.CAFile, "--ca-file"}, env(client.EnvCAFile), global(in.Global.caFile())),
		Region:  first(Setting{in.Flags.Region, "--region"}, env(client.EnvRegion), global(in.Global.Region)),
		Project: first(Setting{in.Flags.Project, "--project"}, env(EnvProject), local(in.Local.Project), global(in.Global.Project)),
		Env:     first(Setting{in.Flags.Env, "--env"}, env(EnvEnv), local(in.Local.Env), global(in.Global.Env)),
		File:    first(Setting{in.Flags.File, "--file"}, local(in.Local.file()), Setting{DefaultFile, Default}),
	}
	var err error
	if r.Address, err = resolveAddress(in, env(client.EnvAddr)); err != nil {
		return Resolved{}, err
	}
	for _, n := range []struct {
		what string
		Setting
	}{{"project", r.Project}, {"env", r.Env}} {
		if n.Value != "" && !validName(n.Value) {
			return Resolved{}, errs.InvalidField(n.what, "the %s that %q names is no name: %s", n.what, n.From, nameRule)
		}
	}
	if s := in.Global.Session; s != nil && sameServer(s.Address, r.Address.Value) {
		r.session = s
	}
	return r, nil
}

// first is the first setting that has a value.
func first(from ...Setting) Setting {
	for _, s := range from {
		if s.Value != "" {
			return s
		}
	}
	return Setting{}
}

// resolveAddress lets a local file choose nothing but the server that the user
// chose already: a repository must not send passwords, tokens or variables to
// a server of its author.
func resolveAddress(in Inputs, env Setting) (Setting, error) {
	given := first(Setting{in.Flags.Address, "--address"}, env)
	if given.Value == "" && in.Local.Address != "" {
		given = Setting{in.Local.Address, in.Local.Path}
		if err := in.Global.trusts(in.Local); err != nil {
			return Setting{}, err
		}
	}
	var session string
	if in.Global.Session != nil {
		session = in.Global.Session.Address
	}
	given = first(given, Setting{in.Global.Address, in.Global.Path}, Setting{session, in.Global.Path}, Setting{client.DefaultAddress, Default})
	address, err := canonical(given.Value)
	if err != nil {
		return Setting{}, errs.InvalidField("address", "%q: %s", given.From, err)
	}
	return Setting{address, given.From}, nil
}

// trusts refuses a local file's address that is not the user's own server.
func (g Global) trusts(l Local) error {
	if g.Session != nil && sameServer(g.Session.Address, l.Address) || g.Session == nil && sameServer(g.Address, l.Address) {
		return nil
	}
	address, err := canonical(l.Address)
	if err != nil {
		return errs.InvalidField("address", "%q: address: %s", l.Path, err)
	}
	now := "you are not signed in to any server"
	if g.Session != nil {
		now = fmt.Sprintf("you are signed in to %q", g.Session.Address)
	}
	return errs.InvalidField("address",
		"%q wants the server %q, but %s: a file in a project cannot choose where credentials go; if you trust that server, sign in with --address %s, or set %s",
		l.Path, address, now, address, client.EnvAddr)
}

// Session is the session of the server in force, or nil when the user is not
// signed in there. Where a session for another server exists it stays unused.
func (r Resolved) Session() *Session { return r.session }

// NeedProject is the project, or an error that says how to name one.
func (r Resolved) NeedProject() (string, error) {
	return need(r.Project, "project", "--project", EnvProject)
}

// NeedEnv is the environment, or an error that says how to name one.
func (r Resolved) NeedEnv() (string, error) { return need(r.Env, "env", "--env", EnvEnv) }

func need(s Setting, what, flag, variable string) (string, error) {
	if s.Value == "" {
		return "", errs.InvalidField(what, `no %s is named: give %s, set %s, or put {"%s": "NAME"} into %s`, what, flag, variable, what, LocalName)
	}
	return s.Value, nil
}

// Names of projects and environments become part of a secret's name.
const nameRule = "1 to 128 letters, digits, _ and -"

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func validName(s string) bool { return nameForm.MatchString(s) }

// caFile is the global file's, which stands relative to that file.
func (g Global) caFile() string {
	if g.CAFile == "" || filepath.IsAbs(g.CAFile) {
		return g.CAFile
	}
	return filepath.Join(filepath.Dir(g.Path), g.CAFile)
}
