package settings

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"countersign/internal/dotenv"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// EnvConfig names the global file.
const EnvConfig = "COUNTERSIGN_CONFIG"

// maxGlobal bounds the global file, in bytes.
const maxGlobal = 256 << 10

// Global is the user's configuration. The zero Global is an empty one.
type Global struct {
	Path    string // where it was read, whether or not the file is there; set by Load
	Address string // of the server to use; default that of the session
	CAFile  string // relative to the folder of Path
	Region  string
	Project string
	Env     string
	Session *Session // nil: not signed in

	kept object // the file's fields, known or not
}

// Session proves who the user is to one server.
type Session struct {
	Address        string // of that server, which alone gets the tokens
	User           string
	AccessToken    sensitive.Bytes
	AccessExpires  time.Time // zero: unknown
	RefreshToken   sensitive.Bytes
	RefreshExpires time.Time // zero: unknown

	kept object
}

// Store is the place of the global file. It is safe for concurrent use, by
// processes too.
type Store struct {
	path string
	own  bool // the folder is for this program alone
}

// Locate finds the place, whether or not the file is there. home is the user's
// home folder, or empty.
func Locate(getenv func(string) string, home string) (Store, error) {
	if p := getenv(EnvConfig); p != "" {
		abs, err := filepath.Abs(p)
		if err != nil {
			return Store{}, fmt.Errorf("finding the file that %s names: %w", EnvConfig, err)
		}
		return Store{path: abs}, nil
	}
	dir := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) { // the XDG specification ignores such
		if home == "" {
			return Store{}, errs.New(errs.Invalid, "no place for the configuration: set HOME or %s", EnvConfig)
		}
		dir = filepath.Join(home, ".config")
	}
	return Store{path: filepath.Join(dir, "countersign", "config.json"), own: true}, nil
}

// Path is the global file's.
func (s Store) Path() string { return s.path }

// Load reads the file; an absent one is empty. The warning, if any, is for
// people: others can read the tokens.
func (s Store) Load() (g Global, warning string, err error) {
	text, info, err := readFile(s.path, maxGlobal)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Global{Path: s.path}, "", nil
	case err != nil:
		return Global{}, "", err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 && runtime.GOOS != "windows" {
		warning = fmt.Sprintf("%q is open to others (mode %04o): run chmod 600 on it, and sign in again if somebody may have read it", s.path, perm)
	}
	if g, err = parseGlobal(text); err != nil {
		return Global{}, warning, errs.New(errs.Invalid, "%q: %s", s.path, err)
	}
	g.Path = s.path
	return g, warning, nil
}

// Update changes the file: nobody else writes between reading it and writing
// it. When change returns an error nothing is written.
func (s Store) Update(ctx context.Context, change func(*Global) error) (err error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	g, _, err := s.Load()
	if err != nil {
		return err
	}
	if err := change(&g); err != nil {
		return err
	}
	return s.write(g)
}

// Refresh replaces a session that the server no longer takes. Of several
// processes that find out at once, one calls refresh and the others get its
// session, because a refresh token can be used only once. The new session is
// returned beside an error when it could not be written: it is valid, and the
// next run must sign in.
func (s Store) Refresh(ctx context.Context, stale Session, refresh func(context.Context, Session) (Session, error)) (fresh Session, err error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return Session{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	g, _, err := s.Load()
	if err != nil {
		return Session{}, err
	}
	now := g.Session
	switch {
	case now == nil:
		return Session{}, errs.New(errs.Unauthenticated, "you were signed out meanwhile; sign in again")
	case !sameServer(now.Address, stale.Address) || now.User != stale.User:
		return Session{}, errs.New(errs.Unauthenticated, "somebody else signed in meanwhile; repeat the command")
	case !now.AccessToken.Equal(stale.AccessToken):
		return *now, nil
	}
	fresh, err = refresh(ctx, *now)
	if err != nil {
		return Session{}, err
	}
	fresh.Address, fresh.User, fresh.kept = now.Address, now.User, now.kept
	g.Session = &fresh
	if err := s.write(g); err != nil {
		return fresh, fmt.Errorf("keeping the refreshed session: %w", err)
	}
	return fresh, nil
}

// makeFolder makes the file's folder for the user alone. One that was there
// stays as it is unless it is this program's.
func (s Store) makeFolder() error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the configuration's folder: %w", err)
	}
	if !s.own {
		return nil
	}
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = os.Chmod(dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("closing the configuration's folder to others: %w", err)
	}
	return nil
}

func (s Store) write(g Global) error {
	text, err := g.encode()
	if err != nil {
		return err
	}
	if text.Len() > maxGlobal {
		return errs.New(errs.Limit, "the configuration would be larger than %d bytes", maxGlobal)
	}
	if err := dotenv.WriteFile(s.path, text); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return nil
}

func parseGlobal(text []byte) (Global, error) {
	o, err := parseObject(text)
	if err != nil {
		return Global{}, err
	}
	g := Global{kept: o}
	for _, f := range g.texts() {
		if err := o.text(f.name, f.to); err != nil {
			return Global{}, err
		}
	}
	i := o.find("session")
	if i < 0 {
		return g, nil
	}
	if g.Session, err = parseSession(o[i].raw.Reveal()); err != nil {
		return Global{}, fmt.Errorf("session: %w", err)
	}
	return g, nil
}

type textField struct {
	name string
	to   *string
}

func (g *Global) texts() []textField {
	return []textField{{"address", &g.Address}, {"ca_file", &g.CAFile}, {"region", &g.Region}, {"project", &g.Project}, {"env", &g.Env}}
}

func parseSession(raw json.RawMessage) (*Session, error) {
	o, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	s := Session{kept: o}
	for _, err := range []error{
		o.text("address", &s.Address), o.text("user", &s.User),
		o.secret("access_token", &s.AccessToken), o.time("access_expires", &s.AccessExpires),
		o.secret("refresh_token", &s.RefreshToken), o.time("refresh_expires", &s.RefreshExpires),
	} {
		if err != nil {
			return nil, err
		}
	}
	if s.Address, err = canonical(s.Address); err != nil { // a token that is for nobody
		return nil, fmt.Errorf("address: %w", err)
	}
	return &s, nil
}

// encode changes the fields that this release knows and leaves the others.
func (g Global) encode() (sensitive.Bytes, error) {
	o := slices.Clone(g.kept)
	for _, f := range g.texts() {
		o.set(f.name, *f.to)
	}
	if s := g.Session; s == nil {
		o.setRaw("session", nil)
	} else {
		address, err := canonical(s.Address)
		if err != nil {
			return sensitive.Bytes{}, errs.New(errs.Invalid, "session: %s", err)
		}
		in := slices.Clone(s.kept)
		in.set("address", address)
		in.set("user", s.User)
		in.set("access_token", string(s.AccessToken.Reveal()))
		in.setTime("access_expires", s.AccessExpires)
		in.set("refresh_token", string(s.RefreshToken.Reveal()))
		in.setTime("refresh_expires", s.RefreshExpires)
		raw, err := in.encode()
		if err != nil {
			return sensitive.Bytes{}, errs.New(errs.Internal, "encoding the session")
		}
		o.setRaw("session", raw)
	}
	line, err := o.encode()
	if err != nil {
		return sensitive.Bytes{}, errs.New(errs.Internal, "encoding the configuration")
	}
	var out bytes.Buffer
	if err := json.Indent(&out, line, "", "  "); err != nil {
		return sensitive.Bytes{}, errs.New(errs.Internal, "encoding the configuration")
	}
	out.WriteByte('\n')
	return sensitive.New(out.Bytes()), nil
}
