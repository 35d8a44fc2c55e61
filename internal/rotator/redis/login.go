package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"strconv"
	"strings"
	"unicode"

	"countersign/internal/rotator"
)

const (
	defaultPort = "6379"
	maxName     = 512 // bytes of a host or a user
)

// login is what a value says: where, who, and with which password.
type login struct {
	host, port, user, password string
	db                         string // "" for the one that a connection begins with
}

// readLogin reads a value that may have no password yet.
func readLogin(v rotator.Value) (login, error) {
	o, err := rotator.ParseObject(v)
	if err != nil {
		return login{}, err
	}
	return parseLogin(o, "")
}

// needLogin reads a value that somebody can log in with.
func needLogin(v rotator.Value) (login, error) {
	o, err := rotator.ParseObject(v)
	if err != nil {
		return login{}, err
	}
	if _, err := o.Need("password"); err != nil {
		return login{}, err
	}
	return parseLogin(o, "")
}

// parseLogin reads the members. Where no user is named it is fallback, if that is one.
func parseLogin(o *rotator.Object, fallback string) (l login, err error) {
	bad := func(member, why string) (login, error) {
		return login{}, rotator.Fail(rotator.Unsuitable, nil, "the value of the secret: its member %q %s", member, why)
	}
	if l.host, err = o.Need("host"); err != nil {
		return login{}, err
	}
	if len(l.host) > maxName || strings.ContainsFunc(l.host, odd) || strings.ContainsAny(l.host, "/[]@") {
		return bad("host", "is not a host")
	}
	l.port = defaultPort
	if o.JSON("port") != nil {
		l.port = o.Get("port")
	}
	if n, err := strconv.ParseUint(l.port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != l.port {
		return bad("port", "is not a number from 1 to 65535")
	}
	l.user = o.Get("username", "user")
	if l.user == "" {
		l.user = fallback
	}
	if l.user == "" {
		_, err = o.Need("username", "user")
		return login{}, err
	}
	if len(l.user) > maxName || strings.ContainsFunc(l.user, odd) {
		return bad(o.Has("username", "user"), "is not a name of a user")
	}
	l.password = o.Get("password")
	if db := o.Get("db"); db != "" {
		if _, err := strconv.ParseUint(db, 10, 16); err != nil {
			return bad("db", "is not the number of a database")
		}
		l.db = db
	}
	return l, nil
}

// odd are the characters that Redis takes in no name, and that no host has.
func odd(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

func (l login) address() string { return net.JoinHostPort(l.host, l.port) }

// at reports whether two logins are at one server.
func (l login) at(m login) bool { return strings.EqualFold(l.host, m.host) && l.port == m.port }

// same reports whether two logins are of one user.
func (l login) same(m login) bool { return l.at(m) && l.user == m.user }

// hash is the password as an access list has it.
func (l login) hash() string {
	sum := sha256.Sum256([]byte(l.password))
	return hex.EncodeToString(sum[:])
}
