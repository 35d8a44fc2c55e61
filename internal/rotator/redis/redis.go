// Package redis rotates the password of a user of a Redis server, version 6 or later,
// or of one that speaks as it does.
//
// The value is an object with the members host, port (6379 when it is not there),
// username, password, and db if clients are to select one. Other members stay as they are.
//
// A user of Redis can have several passwords. Set adds the new one, Retire removes
// the previous one, so that between them clients log in with either. A user that is
// not there is not created, and one that takes any password (nopass) is refused:
// giving it one would shut out whoever relies on that.
//
// The server is told SHA-256 hashes: neither MONITOR nor the slow log nor the ACL file
// sees a password, but for those of logins, which Redis keeps out of them itself.
//
// # Whom the admin trusts
//
// Who may write the secret's value is not trusted with what the admin may do. So the
// admin's password goes only to the host and port that its own secret names, and both must name
// the same. And no user gets a password through it who could become an administrator
// of the server with that, unless the options name the user.
//
// # Limits
//
// Access lists are of one server: Redis neither replicates them nor shares them in a
// cluster. What is rotated is the server that the value names.
//
// The protocol (RESP2) is spoken by this package itself. A client library would allocate
// whatever length a server announces, keep connections, and introduce itself with
// commands that the user may lack; five commands without any of that are less than
// what keeps a library from it.
package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"countersign/internal/errs"
	"countersign/internal/rotator"
)

// Kind is the row of the list of rotators.
func Kind() rotator.Kind {
	return rotator.Kind{
		Name:      "redis",
		Help:      "the password of a Redis user (ACL, Redis 6 or later)",
		Fate:      rotator.Kept,
		Undoes:    true,
		Passwords: true,
		Options: []rotator.Option{
			{Name: "admin", Secret: true, Help: "the secret of a login that may use ACL GETUSER and ACL SETUSER; default: the user itself"},
			{Name: "username", Help: "the user that may be rotated; default: whichever the value names, by an admin none who administers the server"},
			{Name: "tls", Help: "disable, require (encrypted, to whomever) or verify-full; default verify-full"},
			{Name: "tls_ca", Secret: true, Help: "the secret of the certificates to trust, PEM; default: those that the system trusts"},
			{Name: "save", Help: "none, or file: ACL SAVE after each change; default none"},
		},
		Check: check,
		New: func(e rotator.Env) rotator.Rotator {
			if e.Now == nil {
				e.Now = time.Now
			}
			return &redis{e}
		},
	}
}

func check(o map[string]string) error {
	switch o["tls"] {
	case "", "verify-full":
	case "disable", "require":
		if o["tls_ca"] != "" {
			return errs.InvalidField("tls_ca", "tls_ca is only used with tls verify-full")
		}
	default:
		return errs.InvalidField("tls", "tls is disable, require or verify-full, not %q", o["tls"])
	}
	if len(o["username"]) > maxName || strings.ContainsFunc(o["username"], odd) {
		return errs.InvalidField("username", "a user of Redis has at most %d bytes, and no spaces", maxName)
	}
	switch o["save"] {
	case "", "none", "file":
		return nil
	}
	return errs.InvalidField("save", "save is none or file, not %q", o["save"])
}

type redis struct{ env rotator.Env }

// Create draws a password.
func (r *redis) Create(_ context.Context, j rotator.Job) (rotator.Created, error) {
	o, err := rotator.ParseObject(j.Current)
	if err != nil {
		return rotator.Created{}, err
	}
	cur, err := parseLogin(o, "")
	if err != nil {
		return rotator.Created{}, err
	}
	if _, err := actor(j, cur); err != nil {
		return rotator.Created{}, err
	}
	word, err := j.Password()
	if err != nil {
		return rotator.Created{}, err
	}
	o.Set("password", word)
	return o.Created()
}

// Set adds the new password.
func (r *redis) Set(ctx context.Context, j rotator.Job) error {
	pend, err := needLogin(j.Pending)
	if err != nil {
		return err
	}
	cur, err := readLogin(j.Current)
	if err != nil {
		return err
	}
	if !cur.same(pend) {
		return rotator.Fail(rotator.Unsuitable, nil, "the value of the secret names another host, port or user than when the rotation began")
	}
	who, err := actor(j, cur)
	if err != nil {
		return err
	}
	c, err := r.open(ctx, j, who)
	if err != nil {
		return err
	}
	defer c.close()
	u, err := c.user(pend.user)
	switch {
	case err != nil:
		return err
	case u.nopass:
		return rotator.Fail(rotator.Unsuitable, nil, "the user takes any password (nopass): give it one first")
	case u.off:
		return rotator.Fail(rotator.Unsuitable, nil, "the user is switched off")
	}
	if err := entrust(j, u); err != nil {
		return err
	}
	if err := c.edit(u, []string{pend.hash()}, nil); err != nil {
		return err
	}
	return c.save(j)
}

// Test logs in with the new password, and selects the database that the value names.
func (r *redis) Test(ctx context.Context, j rotator.Job) error {
	pend, err := needLogin(j.Pending)
	if err != nil {
		return err
	}
	return r.prove(ctx, j, pend)
}

func (r *redis) prove(ctx context.Context, j rotator.Job, l login) error {
	c, err := r.open(ctx, j, l)
	if err != nil {
		return err
	}
	defer c.close()
	return c.use(l.db)
}

// Finish does nothing.
func (r *redis) Finish(context.Context, rotator.Job) error { return nil }

// Undo adds the current password where it is missing and removes the pending one.
func (r *redis) Undo(ctx context.Context, j rotator.Job) error {
	cur, err := readLogin(j.Current)
	if err != nil {
		return err
	}
	pend, err := needLogin(j.Pending)
	pending := err == nil // of what is none Set left nothing
	together := pending && pend.same(cur)
	who, err := actor(j, cur)
	if err != nil {
		return err
	}
	logins := []login{who}
	if j.Options["admin"] == "" && together {
		// Somebody chose the current password meanwhile, and the server may not have it.
		logins = append(logins, pend)
		if prev, err := needLogin(j.Previous); err == nil && prev.same(cur) {
			logins = append(logins, prev)
		}
	}
	if err := r.restore(ctx, j, logins, cur, pend, together); err != nil {
		return err
	}
	if pending && !together {
		if err := r.takeBack(ctx, j, pend); err != nil {
			return err
		}
	}
	if cur.password == "" {
		return nil // there was none before, and the admin did all of it
	}
	return r.prove(ctx, j, cur)
}

// restore makes the user of the current value have its password, and not that of the
// pending one when they are one user.
func (r *redis) restore(ctx context.Context, j rotator.Job, logins []login, cur, pend login, together bool) error {
	c, err := r.open(ctx, j, logins...)
	if err != nil {
		return err
	}
	defer c.close()
	u, err := c.user(cur.user)
	if err != nil {
		return err
	}
	var add, remove []string
	if cur.password != "" && !u.nopass && !slices.Contains(u.hashes, cur.hash()) {
		if err := entrust(j, u); err != nil {
			return err
		}
		add = append(add, cur.hash())
	}
	if together && pend.password != cur.password {
		remove = append(remove, pend.hash())
	}
	if err := c.edit(u, add, remove); err != nil {
		return err
	}
	return c.saved(c.save(j))
}

// takeBack removes the pending password of a user whom the current value, which was
// written meanwhile, does not name any more.
func (r *redis) takeBack(ctx context.Context, j rotator.Job, pend login) error {
	who, err := actor(j, pend)
	if err != nil {
		return nil // then Set could not reach it either
	}
	c, err := r.open(ctx, j, who)
	if class, _ := rotator.Why(err); err != nil && class == rotator.Credentials && j.Options["admin"] == "" {
		return nil // the password is not there
	}
	if err != nil {
		return err
	}
	defer c.close()
	u, err := c.user(pend.user)
	if errors.Is(err, errNoUser) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.edit(u, nil, []string{pend.hash()}); err != nil {
		return err
	}
	return c.saved(c.save(j))
}

// Retire removes the previous password. It never removes the current one.
func (r *redis) Retire(ctx context.Context, j rotator.Job) error {
	if j.Previous.Empty() {
		return nil
	}
	cur, err := needLogin(j.Current)
	if err != nil {
		return err
	}
	prev, err := readLogin(j.Previous)
	if err != nil {
		return err
	}
	if prev.password == "" || prev.same(cur) && prev.password == cur.password {
		return nil
	}
	if !prev.same(cur) {
		return rotator.Fail(rotator.Unsuitable, nil, "the previous value of the secret names another host, port or user than the current one")
	}
	who, err := actor(j, cur)
	if err != nil {
		return err
	}
	c, err := r.open(ctx, j, who)
	if err != nil {
		return err
	}
	defer c.close()
	u, err := c.user(cur.user)
	if err != nil {
		return err
	}
	if err := c.edit(u, nil, []string{prev.hash()}); err != nil {
		return err
	}
	return c.save(j)
}

// entrust refuses to give a password, through the admin, to a user whom only the value
// names and who administers the server: who may write the value could so become that.
func entrust(j rotator.Job, u user) error {
	if j.Options["admin"] == "" || j.Options["username"] == u.name || !u.administers {
		return nil
	}
	return rotator.Fail(rotator.Unsuitable, nil, "the user that the value names administers the server: let it rotate itself, without admin, or name it in the option username")
}

// actor is who changes the user that a value names: the admin, if there is one on the
// same server, or the user itself.
func actor(j rotator.Job, l login) (login, error) {
	if only := j.Options["username"]; only != "" && only != l.user {
		return login{}, rotator.Fail(rotator.Unsuitable, nil, "the value names another user than the option username")
	}
	if j.Options["admin"] == "" {
		if l.password == "" {
			return login{}, rotator.Fail(rotator.Unsuitable, nil, "the value of the secret has no member %q, and no admin is named", "password")
		}
		return l, nil
	}
	bad := func(cause error, why string) (login, error) {
		return login{}, rotator.Fail(rotator.Unsuitable, cause, "the secret of the admin: %s", why)
	}
	v := j.Related["admin"]
	if v.Empty() {
		return bad(nil, "it has no value")
	}
	o, err := rotator.ParseObject(v)
	if err != nil {
		return bad(err, "its value is not a JSON object with each member once")
	}
	admin, err := parseLogin(o, "default")
	if err != nil {
		return bad(err, strings.Replace(err.Error(), "the value of the secret", "its value", 1))
	}
	if admin.password == "" {
		return bad(nil, "its value has no member \"password\"")
	}
	// Whoever may write the value of the secret must not have the admin's password
	// sent where they like.
	if !admin.at(l) {
		return bad(nil, "it names another host or port than the value that is rotated")
	}
	return admin, nil
}
