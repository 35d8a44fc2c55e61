// Package mysql rotates the passwords of accounts of MariaDB and MySQL. Package
// database says in which modes and in which order.
//
// An account is user@host. The value names the user; the host is the option
// host_pattern.
//
// # What is never sent
//
// An account keeps the plugin by which it logs in. For mysql_native_password and
// MariaDB's ed25519 the server is given what it stores of the password, computed
// here, so that the password is in no statement and no log. MySQL's SHA-2 plugins
// are given the password itself, which MySQL leaves out of its logs; so that is done
// only with tls verify-full. An account that logs in otherwise (unix_socket, PAM,
// LDAP) has no password to rotate, and is refused.
//
// A login never sends the password in clear, nor a file of this machine that a server
// asks for. Without TLS (tls disable) it also does not send it encrypted by a key
// that the server names. With tls require it does, if the server says that the
// account has a SHA-2 plugin: whoever can answer in the server's place can have it.
//
// # What a second account of a pair is
//
// It is made with what SHOW CREATE USER and SHOW GRANTS say of the first: the plugin,
// REQUIRE, limits, expiry, privileges, roles and default roles. Grants that are made
// later are to be made to both. MariaDB cannot do that in one transaction; one that
// was begun is completed by the same Set or dropped by Undo, and known by its
// password (MariaDB) or its attribute (MySQL, from 8.0.21).
package mysql

import (
	"context"
	digest "crypto/sha256"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	client "github.com/go-sql-driver/mysql"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/database"
)

// Kind is the row of the list of rotators.
func Kind() rotator.Kind {
	return database.Kind(
		rotator.Kind{Name: "mysql", Help: "the password of an account of MariaDB or MySQL", Check: check, Options: []rotator.Option{
			{Name: "host_pattern", Help: "the host part of the account user@host; default: %"},
		}},
		database.Dialect{Engines: []string{"mysql", "mariadb", "aurora-mysql"}, Port: 3306},
		func(env rotator.Env) database.Engine { return engine{env} },
	)
}

// The longest names, in characters.
const (
	maxName      = 128 // MariaDB
	maxNameMySQL = 32
	maxHost      = 255
)

func check(options map[string]string) error {
	if h := options["host_pattern"]; len(h) > maxHost || strings.ContainsFunc(h, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("`'\"\\@", r) }) {
		return errs.InvalidField("host_pattern", "host_pattern is a host name, an address or a pattern with %% and _, of at most %d characters", maxHost)
	}
	return nil
}

type engine struct{ env rotator.Env }

// CheckUser refuses names that are too long.
func (engine) CheckUser(name string) error { return long(name, maxName, "MariaDB") }

func long(name string, most int, server string) error {
	if n := utf8.RuneCountInString(name); n > most {
		return rotator.Fail(rotator.Unsuitable, nil, "the name of an account would have %d characters; %s has %d at most", n, server, most)
	}
	return nil
}

// tries is how often a login is tried whose packets the client does not understand. It
// takes a NUL off the end of what ed25519 is to sign, also where it belongs there: once
// in 256 logins.
const tries = 4

// Open logs in.
func (e engine) Open(ctx context.Context, l database.Login) (database.Session, error) {
	var (
		s   *session
		err error
	)
	for range tries {
		if s, err = e.open(ctx, l); err == nil {
			return s, nil
		}
		if !errors.Is(err, client.ErrMalformPkt) {
			break
		}
	}
	return nil, err
}

func (e engine) open(ctx context.Context, l database.Login) (*session, error) {
	c := client.NewConfig()
	c.User, c.Passwd, c.DBName = l.User, l.Password, l.Database
	c.Net, c.Addr = "tcp", l.Address()
	c.TLS = l.TLS
	c.Logger = &client.NopLogger{}
	// Quoting here and in the server's answers is what it is without modes.
	c.Params = map[string]string{"sql_mode": "''"}
	g := &guard{bare: l.TLS == nil}
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var err error
		g.Conn, err = database.Dial(ctx, e.env, l)
		return g, err
	}
	connector, err := client.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("making a configuration: %w", err)
	}
	conn, err := connector.Connect(ctx)
	if g.stopped != nil {
		return nil, g.stopped
	}
	if err != nil {
		return nil, explainLogin(ctx, err)
	}
	s := &session{conn: conn, guard: g, login: l, host: l.Options["host_pattern"]}
	if s.host == "" {
		s.host = "%"
	}
	if err := s.look(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

type session struct {
	conn  driver.Conn
	guard *guard
	login database.Login
	host  string // of the accounts of the secret
	maria bool
}

// Close ends the session.
func (s *session) Close() { s.conn.Close() }

// look finds what server it is, and that it takes the login for what it is: one that
// lets everybody in, or knows somebody without a name, has proved nothing.
func (s *session) look(ctx context.Context) error {
	rows, err := s.query(ctx, "SELECT VERSION(), CURRENT_USER()")
	if err != nil {
		return err
	}
	if len(rows) != 1 || len(rows[0]) != 2 {
		return s.explain(ctx, errForm)
	}
	s.maria = strings.Contains(rows[0][0], "MariaDB")
	at := strings.LastIndexByte(rows[0][1], '@')
	if at < 0 || rows[0][1][:at] != s.login.User {
		return rotator.Fail(rotator.Unsuitable, nil, "the server takes the login for another account than its user's")
	}
	return nil
}

// explain is explain, which the client does not tell why the guard ended it.
func (s *session) explain(ctx context.Context, err error) error {
	if err != nil && s.guard.stopped != nil {
		return s.guard.stopped
	}
	return explain(ctx, err)
}

// deadline makes the server give up when the context does, so that nothing is done
// there after a step has ended.
func (s *session) deadline(ctx context.Context) error {
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(time.Minute)
	}
	left := time.Until(end)
	if left <= 0 {
		return s.explain(ctx, context.DeadlineExceeded)
	}
	sql := fmt.Sprintf("SET SESSION lock_wait_timeout = %d", max(1, int(left.Seconds())))
	if s.maria {
		sql += fmt.Sprintf(", SESSION max_statement_time = %.3f", left.Seconds())
	}
	_, err := s.conn.(driver.ExecerContext).ExecContext(ctx, sql, nil)
	return s.explain(ctx, err)
}

// Hold takes a user-level lock.
func (s *session) Hold(ctx context.Context, word string) {
	sum := digest.Sum256([]byte(word)) // a name has at most 64 characters
	_, _ = s.query(ctx, fmt.Sprintf("SELECT GET_LOCK('countersign %x', %d)", sum[:16], int(database.HoldFor.Seconds())))
}

// exec runs a statement, of which no part is a stranger's but quoted.
func (s *session) exec(ctx context.Context, sql string) error {
	if err := s.deadline(ctx); err != nil {
		return err
	}
	_, err := s.conn.(driver.ExecerContext).ExecContext(ctx, sql, nil)
	return s.explain(ctx, err)
}

// maxRows bounds an answer.
const maxRows = 10_000

func (s *session) query(ctx context.Context, sql string) ([][]string, error) {
	rows, err := s.conn.(driver.QueryerContext).QueryContext(ctx, sql, nil)
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	defer rows.Close()
	var out [][]string
	for len(out) < maxRows {
		values := make([]driver.Value, len(rows.Columns()))
		switch err := rows.Next(values); {
		case err == io.EOF:
			return out, nil
		case err != nil:
			return nil, s.explain(ctx, err)
		}
		row := make([]string, len(values))
		for i, v := range values {
			switch v := v.(type) {
			case []byte:
				row[i] = string(v)
			case string:
				row[i] = v
			}
		}
		out = append(out, row)
	}
	s.guard.Close() // or closing the rows would read the rest of them
	return nil, rotator.Fail(rotator.Rejected, nil, "the server answers with too many rows")
}

func (s *session) account(user string) account { return account{user, s.host} }

// definition reads what an account is: CURRENT_USER() or a quoted one. It is nil when
// there is none.
func (s *session) definition(ctx context.Context, who string) (*definition, error) {
	rows, err := s.query(ctx, "SHOW CREATE USER "+who)
	var server *client.MySQLError
	if errors.As(err, &server) && (server.Number == noRow || server.Number == cannotUser) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return nil, s.explain(ctx, errForm)
	}
	d, err := parseDefinition(rows[0][0])
	if err != nil {
		return nil, rotator.Fail(rotator.Unsuitable, err, "the server describes the account in a form that is not known")
	}
	return d, nil
}

var errPlugin = rotator.Fail(rotator.Unsuitable, nil, "the account logs in by a plugin for which no password can be set here; the plugins that can are mysql_native_password, ed25519, caching_sha2_password and sha256_password")

// identified is the clause that makes an account log in with a password: by the ways
// in which it does, each with the new one. Ways without a password stay.
func (s *session) identified(d *definition, password string) (string, error) {
	found := false
	var list []string
	for _, w := range d.ways {
		h, ok := stored(w.plugin, password)
		switch {
		case ok && s.maria:
			list = append(list, name(w.plugin)+" USING "+literal(h))
		case ok:
			list = append(list, literal(w.plugin)+" AS "+literal(h))
		case s.maria:
			if w.plugin != "unix_socket" && w.plugin != "gssapi" { // which ask for no password
				return "", errPlugin
			}
			text := name(w.plugin)
			if w.stored != "" {
				text += " USING " + literal(w.stored)
			}
			list = append(list, text)
		case w.plugin == sha2 || w.plugin == sha256:
			if !s.login.Proved {
				return "", errProof
			}
			list, ok = append(list, literal(w.plugin)+" BY "+literal(password)), true
		default:
			return "", errPlugin
		}
		found = found || ok
	}
	if !found {
		return "", errPlugin
	}
	if s.maria {
		return "IDENTIFIED VIA " + strings.Join(list, " OR "), nil
	}
	return "IDENTIFIED WITH " + list[0], nil
}

var errProof = rotator.Fail(rotator.Unsuitable, nil, "the account's plugin has to be given the password itself, which is done only with tls verify-full")

// SetOwn changes the password of the account that is logged in.
func (s *session) SetOwn(ctx context.Context, password string) error {
	d, err := s.definition(ctx, "CURRENT_USER()")
	if err != nil {
		return err
	}
	if d == nil {
		return s.explain(ctx, errForm)
	}
	if _, err := s.identified(d, password); err != nil {
		return err
	}
	var to []string
	for _, w := range d.ways {
		if h, ok := stored(w.plugin, password); ok {
			to = append(to, h)
		}
	}
	if s.maria && len(to) != 1 {
		return rotator.Fail(rotator.Unsuitable, nil, "the account has more than one password, which it cannot change itself; an admin login can")
	}
	if s.maria {
		return s.exec(ctx, "SET PASSWORD = "+literal(to[0]))
	}
	if !s.login.Proved {
		return errProof
	}
	return s.exec(ctx, "SET PASSWORD = "+literal(password))
}

var errAdministers = rotator.Fail(rotator.Unsuitable, nil,
	"the account administers the server, and the admin login changes no such password: such an account rotates its own, in mode single without the option admin")

// Set changes the password of another account.
func (s *session) Set(ctx context.Context, user, password string) error {
	who := s.account(user)
	d, err := s.definition(ctx, who.String())
	if err != nil {
		return err
	}
	if d == nil {
		return errNone
	}
	list, err := s.grants(ctx, who)
	if err != nil {
		return err
	}
	if err := s.mayBeGiven(ctx, list); err != nil {
		return err
	}
	clause, err := s.identified(d, password)
	if err != nil {
		return err
	}
	return s.exec(ctx, "ALTER USER "+who.String()+" "+clause)
}

var errNone = rotator.Fail(rotator.Unsuitable, nil, "the server has no account of that user with that host_pattern")

// maxRoles bounds the roles that one account has, by other roles too.
const maxRoles = 100

// mayBeGiven refuses an account with such grants if it administers the server, by itself or
// by a role that it has, whether by default or not.
func (s *session) mayBeGiven(ctx context.Context, list []*grant) error {
	var roles []account
	for looked := 0; ; looked++ {
		for _, g := range list {
			if g.administers() {
				return errAdministers
			}
			for _, r := range g.roles {
				if !slices.Contains(roles, r) {
					roles = append(roles, r)
				}
			}
		}
		if len(roles) > maxRoles {
			return rotator.Fail(rotator.Unsuitable, nil, "the account has more than %d roles", maxRoles)
		}
		if looked == len(roles) {
			return nil
		}
		var err error
		if list, err = s.grants(ctx, roles[looked]); err != nil {
			return err
		}
	}
}

// grants are those of an account or a role itself.
func (s *session) grants(ctx context.Context, who account) ([]*grant, error) {
	rows, err := s.query(ctx, "SHOW GRANTS FOR "+who.String())
	if err != nil {
		return nil, err
	}
	var out []*grant
	for _, r := range rows {
		if len(r) != 1 {
			return nil, s.explain(ctx, errForm)
		}
		g, err := parseGrant(r[0])
		switch {
		case err == nil && g.to == who:
			out = append(out, g)
		case err != nil || g.to.host != "": // others are of roles, and of PUBLIC
			return nil, rotator.Fail(rotator.Unsuitable, err, "the server describes a grant in a form that is not known")
		}
	}
	return out, nil
}

// Find looks for an account, and whether it has the password or the attribute with
// which Clone made it.
func (s *session) Find(ctx context.Context, p database.Pair) (database.Found, error) {
	if !s.maria {
		if err := long(p.Name, maxNameMySQL, "MySQL"); err != nil {
			return database.Absent, err
		}
	}
	who := s.account(p.Name)
	d, err := s.definition(ctx, who.String())
	if err != nil || d == nil {
		return database.Absent, err
	}
	if !s.maria {
		rows, err := s.query(ctx, "SELECT ATTRIBUTE FROM INFORMATION_SCHEMA.USER_ATTRIBUTES WHERE USER = "+literal(who.user)+" AND HOST = "+literal(who.host))
		if err != nil {
			return database.Absent, err
		}
		var a map[string]any
		if len(rows) == 1 && json.Unmarshal([]byte(rows[0][0]), &a) == nil && a["countersign"] == comment(p) {
			return database.Ours, nil
		}
		return database.Strange, nil
	}
	for _, w := range d.ways {
		if h, ok := stored(w.plugin, p.Password); ok && p.Password != "" && h == w.stored {
			return database.Ours, nil
		}
	}
	return database.Strange, nil
}

func comment(p database.Pair) string { return p.Mark + ", beside " + p.Like }

// Clone makes an account beside another, or completes one.
func (s *session) Clone(ctx context.Context, p database.Pair) error {
	from, to := s.account(p.Like), s.account(p.Name)
	d, err := s.definition(ctx, from.String())
	if err != nil {
		return err
	}
	if d == nil {
		return errNone
	}
	list, err := s.grants(ctx, from)
	if err != nil {
		return err
	}
	if err := s.mayBeGiven(ctx, list); err != nil {
		return err
	}
	there, err := s.definition(ctx, to.String())
	if err != nil {
		return err
	}
	if there == nil {
		sql, err := s.create(d, to, p)
		if err != nil {
			return err
		}
		if err := s.exec(ctx, sql); err != nil {
			return err
		}
	}
	for _, g := range list {
		if g.nothing() {
			continue
		}
		if err := s.exec(ctx, g.what+" "+to.String()+g.option); err != nil {
			return err
		}
	}
	if d.roles != "" {
		return s.exec(ctx, "SET DEFAULT ROLE "+d.roles+" TO "+to.String())
	}
	return nil
}

// create is the statement that makes an account beside another.
func (s *session) create(d *definition, to account, p database.Pair) (string, error) {
	own := *d
	own.ways = nil
	for _, w := range d.ways { // the others are of the one account's name
		if _, ok := stored(w.plugin, ""); ok || w.plugin == sha2 || w.plugin == sha256 {
			own.ways = append(own.ways, w)
		}
	}
	clause, err := s.identified(&own, p.Password)
	if err != nil {
		return "", err
	}
	rest := d.rest
	if !s.maria {
		mark, err := json.Marshal(map[string]string{"countersign": comment(p)})
		if err != nil {
			return "", fmt.Errorf("encoding an attribute: %w", err)
		}
		rest = strings.TrimSpace(without(without(rest, "ATTRIBUTE"), "COMMENT") + " ATTRIBUTE " + literal(string(mark)))
	}
	return strings.TrimSpace("CREATE USER " + to.String() + " " + clause + " " + rest), nil
}

// Drop removes an account.
func (s *session) Drop(ctx context.Context, p database.Pair) error {
	return s.exec(ctx, "DROP USER IF EXISTS "+s.account(p.Name).String())
}
