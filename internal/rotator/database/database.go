// Package database is what the rotators of database logins have in common: which
// login is changed through which, in which order, and what is taken back. What a
// kind of server needs to be told for that is its Engine's.
//
// The value of the secret is a JSON object with host, port, username and password;
// dbname names the database to log in to, and engine, where it is there, the kind
// of server. Other members stay as they are.
//
// # Two modes
//
// In mode "single" there is one user, whose password is replaced. The user does
// that itself, logged in with the current password, or the admin login does. From
// that moment until a reader has the new value, its logins fail.
//
// In mode "alternating" there are two users who may do the same, and the secret
// names one after the other: app, then app_clone, then app. The one that is not
// current gets the new password, so what readers have goes on working until Retire
// gives it a password that nobody knows. The admin login makes the second user when
// it is not there. No user is dropped but one that the same rotation made.
//
// # Whom the admin login trusts
//
// Who may write the secret's value is not trusted with the admin login. So it goes
// only to the host and port that the admin secret names, and both secrets must name
// the same. A user of that name who is not known to be of this secret is not taken
// over as the second one. And no Engine changes the password of an administrator of
// the server through it.
package database

import (
	"context"
	"crypto/rand"
	"regexp"
	"strings"
	"time"

	"countersign/internal/errs"
	"countersign/internal/rotator"
)

// Engine is one kind of server. It is safe for concurrent use.
type Engine interface {
	// Open logs in and proves with a trivial query that the login is good. The
	// password goes only to a server that has proved who it is, or in a form from
	// which it cannot be had. A login that the server refuses is a Failure of class
	// Credentials.
	Open(ctx context.Context, l Login) (Session, error)
	// CheckUser refuses a name that no user there can have.
	CheckUser(name string) error
}

// Session is one login. It is used by one goroutine. Every statement ends with the
// deadline of its context, in the server too: nothing takes effect later.
type Session interface {
	// Hold waits for the sessions that hold the same word to end, for HoldFor at
	// most, and then holds it until this one ends. A server that was killed may have
	// left a statement under way, whose session ends with it.
	Hold(ctx context.Context, word string)
	// SetOwn changes the password of the user that is logged in.
	SetOwn(ctx context.Context, password string) error
	// Set changes the password of another user. It refuses to for one who
	// administers the server, and fails when there is none of that name.
	Set(ctx context.Context, user, password string) error
	// Find tells whether the user of a pair is there, and whether Clone made it.
	Find(ctx context.Context, p Pair) (Found, error)
	// Clone makes p.Name, who may do what p.Like may, or completes one that it began.
	// It refuses to for one who administers the server.
	Clone(ctx context.Context, p Pair) error
	// Drop removes p.Name. What it owns becomes p.Like's.
	Drop(ctx context.Context, p Pair) error
	// Close ends the session.
	Close()
}

// Pair is the second user of a pair.
type Pair struct {
	Name, Like string
	Password   string // that Name has or gets; may be empty in Find and Drop
	Mark       string // by which one that was made for this secret is known; ASCII
}

// Found is what Find found.
type Found int

// What Find finds.
const (
	Absent  Found = iota
	Strange       // there, and not known to be made by Clone
	Ours          // made by Clone, with that mark or that password
)

const (
	single      = "single"
	alternating = "alternating"
)

// The notes of Create about the user that is to become current.
const (
	noteAbsent = "the user is not there" // Set makes it, Undo drops it
	noteOpen   = "the previous value is accepted"
	noteShut   = "the user is there"
)

// HoldFor is how long a session waits for another one: anybody who can log in could
// hold the word.
const HoldFor = 5 * time.Second

// opening bounds one login where the context has no end sooner.
const opening = 30 * time.Second

// Kind fills in what is the same in every kind of database. k has a name, a help
// line and the options that are its own; engine makes its Engine.
func Kind(k rotator.Kind, dialect Dialect, engine func(rotator.Env) Engine) rotator.Kind {
	k.Undoes, k.Passwords = true, true
	k.Fate, k.FateOf = rotator.Replaced, fate
	k.Options = append([]rotator.Option{
		{Name: "mode", Help: "single: the password of one user is replaced; alternating: two users take turns; default: single", Form: true},
		{Name: "admin", Help: "the secret with the login that changes passwords; default: the user changes its own; alternating needs one", Secret: true},
		{Name: "username", Help: "the user that may be rotated, in mode alternating with the other of the pair; default: whichever the value names"},
		{Name: "clone_suffix", Help: "what the second user of a pair is called beyond the name of the first; default: _clone"},
		{Name: "tls", Help: "verify-full: encrypted, and the server proves its name; require: encrypted; disable: neither; default: verify-full"},
		{Name: "tls_ca", Help: "the secret with the PEM certificates that sign the server's; default: what the system trusts", Secret: true},
	}, k.Options...)
	own := k.Check
	k.Check = func(options map[string]string) error {
		if err := check(options); err != nil || own == nil {
			return err
		}
		return own(options)
	}
	k.New = func(env rotator.Env) rotator.Rotator { return &database{engine: engine(env), dialect: dialect} }
	return k
}

func fate(options map[string]string) rotator.Fate {
	if options["mode"] == alternating {
		return rotator.Kept
	}
	return rotator.Replaced
}

var suffix = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,20}$`)

func check(options map[string]string) error {
	switch options["mode"] {
	case "", single:
		if options["clone_suffix"] != "" {
			return errs.InvalidField("clone_suffix", "clone_suffix is for mode alternating")
		}
	case alternating:
		if options["admin"] == "" {
			return errs.InvalidField("admin", "mode alternating needs an admin login, because the other user is made and changed through it")
		}
	default:
		return errs.InvalidField("mode", "the mode is single or alternating")
	}
	if s := options["clone_suffix"]; s != "" && !suffix.MatchString(s) {
		return errs.InvalidField("clone_suffix", "clone_suffix is 1 to 20 letters, digits, _, . or -")
	}
	switch options["tls"] {
	case "", tlsVerify:
	case tlsRequire, tlsDisable:
		if options["tls_ca"] != "" {
			return errs.InvalidField("tls_ca", "tls_ca is for tls verify-full; with %s no certificate is verified", options["tls"])
		}
	default:
		return errs.InvalidField("tls", "tls is verify-full, require or disable")
	}
	return nil
}

type database struct {
	engine  Engine
	dialect Dialect
}

// open logs in. The clients are other people's code that reads what a stranger's
// server sends: a panic there is that server's doing, and ends nothing but the step.
func (d *database) open(ctx context.Context, l Login) (s Session, err error) {
	ctx, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, rotator.Fail(rotator.Rejected, nil, "the server does not keep to the protocol")
		}
	}()
	return d.engine.Open(ctx, l)
}

func (d *database) prove(ctx context.Context, l Login) error {
	s, err := d.open(ctx, l)
	if err != nil {
		return err
	}
	s.Close()
	return nil
}

func refused(err error) bool {
	if err == nil {
		return false
	}
	class, _ := rotator.Why(err)
	return class == rotator.Credentials
}

// admin logs in as the admin. A failure says that it was that login's.
func (d *database) admin(ctx context.Context, w *work) (Session, error) {
	s, err := d.open(ctx, *w.admin)
	if refused(err) {
		return nil, rotator.Fail(rotator.Credentials, err, "the server refused the admin login")
	}
	if err == nil {
		s.Hold(ctx, w.mark)
	}
	return s, err
}

// settle waits for what a server that was killed may have left under way.
func (d *database) settle(ctx context.Context, w *work) {
	l := w.current
	if w.admin != nil {
		l = w.admin
	}
	if s, err := d.open(ctx, *l); err == nil { // otherwise the undo finds out
		s.Hold(ctx, w.mark)
		s.Close()
	}
}

// Create makes the new value. In mode alternating it looks whether the other user
// is there, and whether it may be taken.
func (d *database) Create(ctx context.Context, j rotator.Job) (rotator.Created, error) {
	w, err := d.read(j)
	if err != nil {
		return rotator.Created{}, err
	}
	if w.current == nil {
		return rotator.Created{}, w.noCurrent
	}
	if err := d.engine.CheckUser(w.current.User); err != nil {
		return rotator.Created{}, err
	}
	o, err := rotator.ParseObject(j.Current)
	if err != nil {
		return rotator.Created{}, err
	}
	var note string
	if w.alternating {
		next := w.other(w.current.User)
		if err := d.engine.CheckUser(next); err != nil {
			return rotator.Created{}, err
		}
		if note, err = d.look(ctx, w, next); err != nil {
			return rotator.Created{}, err
		}
		o.Set(o.Has(userNames...), next)
	}
	word, err := j.Password()
	if err != nil {
		return rotator.Created{}, err
	}
	o.Set("password", word)
	return rotator.Created{Value: o.Value(), Note: note}, nil
}

// look finds the note about the other user.
func (d *database) look(ctx context.Context, w *work, next string) (string, error) {
	s, err := d.admin(ctx, w)
	if err != nil {
		return "", err
	}
	defer s.Close()
	found, err := s.Find(ctx, Pair{Name: next, Like: w.current.User, Mark: w.mark})
	if err != nil {
		return "", err
	}
	named := w.previous != nil && w.previous.User == next
	switch {
	case found == Absent:
		return noteAbsent, nil
	case found == Strange && !named:
		// The mark stands at the one of the pair that Clone made, which may be the
		// current one.
		back, err := s.Find(ctx, Pair{Name: w.current.User, Like: next, Mark: w.mark})
		if err != nil {
			return "", err
		}
		if back != Ours {
			return "", rotator.Fail(rotator.Unsuitable, nil,
				"a user with the name that the other of the pair would have is there already, and neither made by this secret nor named by its previous version")
		}
	}
	if !named {
		return noteShut, nil
	}
	switch err := d.prove(ctx, *w.previous); {
	case err == nil:
		return noteOpen, nil
	case refused(err):
		return noteShut, nil
	default:
		return "", err
	}
}

// Set makes the server accept the new value.
func (d *database) Set(ctx context.Context, j rotator.Job) error {
	w, err := d.read(j)
	if err != nil {
		return err
	}
	if w.pending == nil {
		return w.noPending
	}
	if !w.alternating {
		if err := d.prove(ctx, *w.pending); !refused(err) {
			return err // or nil: it was done before
		}
		return d.change(ctx, w, *w.pending, w.current, w.previous)
	}
	if w.current == nil {
		return w.noCurrent
	}
	if w.pending.User == w.current.User {
		return rotator.Fail(rotator.Unsuitable, nil, "the current value has become one of the user that was to be the next")
	}
	s, err := d.admin(ctx, w)
	if err != nil {
		return err
	}
	defer s.Close()
	p := Pair{Name: w.pending.User, Like: w.current.User, Password: w.pending.Password, Mark: w.mark}
	found, err := s.Find(ctx, p)
	switch {
	case err != nil:
		return err
	case w.note != noteAbsent && found == Absent:
		return rotator.Fail(rotator.Unsuitable, nil, "the other user of the pair has been dropped since the rotation began")
	case w.note != noteAbsent:
		return s.Set(ctx, p.Name, p.Password)
	case found == Strange:
		return rotator.Fail(rotator.Unsuitable, nil, "somebody has made a user with the name of the other of the pair since the rotation began")
	}
	return s.Clone(ctx, p)
}

// change makes to the login of its user: through the admin, or logged in as that user
// with the first of some logins that is accepted.
func (d *database) change(ctx context.Context, w *work, to Login, with ...*Login) error {
	if w.admin != nil {
		s, err := d.admin(ctx, w)
		if err != nil {
			return err
		}
		defer s.Close()
		return s.Set(ctx, to.User, to.Password)
	}
	var last error
	for _, l := range with {
		if l == nil || l.User != to.User || l.Address() != to.Address() {
			continue
		}
		s, err := d.open(ctx, *l)
		if refused(err) {
			last = err
			continue
		}
		if err != nil {
			return err
		}
		defer s.Close()
		s.Hold(ctx, w.mark)
		return s.SetOwn(ctx, to.Password)
	}
	return rotator.Fail(rotator.Credentials, last,
		"the server accepts no password that the secret has or had, and there is no admin login to set one")
}

// Test logs in with the new value.
func (d *database) Test(ctx context.Context, j rotator.Job) error {
	w, err := d.read(j)
	if err != nil {
		return err
	}
	if w.pending == nil {
		return w.noPending
	}
	return d.prove(ctx, *w.pending)
}

// Finish does nothing.
func (d *database) Finish(context.Context, rotator.Job) error { return nil }

// Undo makes the server accept what is current, and takes back what Set did to the
// user of the new value where that is another.
func (d *database) Undo(ctx context.Context, j rotator.Job) error {
	w, err := d.read(j)
	if err != nil {
		return err
	}
	if w.current == nil {
		return w.noCurrent
	}
	d.settle(ctx, w)
	err = d.prove(ctx, *w.current)
	if refused(err) {
		if err = d.change(ctx, w, *w.current, w.pending, w.previous); err == nil {
			err = d.prove(ctx, *w.current)
		}
	}
	if err != nil || w.pending == nil || w.pending.User == w.current.User {
		return err
	}
	if w.alternating {
		return d.takeBack(ctx, w)
	}
	// Somebody has made another user's login current. The new one was its user's.
	switch err := d.prove(ctx, *w.pending); {
	case refused(err):
		return nil
	case err != nil:
		return err
	}
	return d.change(ctx, w, w.before(), w.pending)
}

// takeBack undoes what Set did to the other user.
func (d *database) takeBack(ctx context.Context, w *work) error {
	s, err := d.admin(ctx, w)
	if err != nil {
		return err
	}
	defer s.Close()
	p := Pair{Name: w.pending.User, Like: w.current.User, Password: w.pending.Password, Mark: w.mark}
	found, err := s.Find(ctx, p)
	switch {
	case err != nil || found == Absent:
		return err
	case w.note != noteAbsent:
		return s.Set(ctx, p.Name, w.before().Password)
	case found == Ours:
		return s.Drop(ctx, p)
	}
	return nil // it was not there, and who is there now is somebody else's
}

// before is the login that the user of the new value had: the previous value's if that
// was accepted when the rotation began, otherwise one that nobody knows.
func (w *work) before() Login {
	l := *w.pending
	l.Password = rand.Text()
	if w.previous != nil && w.previous.User == l.User && (!w.alternating || w.note == noteOpen) {
		l.Password = w.previous.Password
	}
	return l
}

// Retire gives the user of the previous value a password that nobody knows.
func (d *database) Retire(ctx context.Context, j rotator.Job) error {
	w, err := d.read(j)
	if err != nil || !w.alternating || w.previous == nil {
		return err
	}
	if w.current == nil {
		return w.noCurrent
	}
	if w.previous.User == w.current.User { // what it was is replaced already
		return nil
	}
	if w.previous.User != w.other(w.current.User) {
		return rotator.Fail(rotator.Unsuitable, nil, "the previous value is of a user who is not the other of the pair")
	}
	// The user may have a newer password by now, which is not to end.
	if err := d.prove(ctx, *w.previous); refused(err) {
		return nil
	} else if err != nil {
		return err
	}
	s, err := d.admin(ctx, w)
	if err != nil {
		return err
	}
	defer s.Close()
	p := Pair{Name: w.previous.User, Like: w.current.User, Mark: w.mark}
	if found, err := s.Find(ctx, p); err != nil || found == Absent {
		return err
	}
	return s.Set(ctx, p.Name, rand.Text())
}

// other is the other name of the pair that a name belongs to.
func (w *work) other(name string) string {
	if base, ok := strings.CutSuffix(name, w.suffix); ok && base != "" {
		return base
	}
	return name + w.suffix
}
