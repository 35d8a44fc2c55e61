// Package postgresql rotates the passwords of PostgreSQL roles, version 10 and up.
// Package database says in which modes and in which order.
//
// # What is never sent
//
// A new password is sent to no server. What ALTER ROLE gets is the SCRAM-SHA-256
// verifier that the server would have computed. A login shows the password itself
// only to a server that TLS has proved (tls verify-full) and that asks for it so;
// with require and disable only SCRAM is spoken, which a server that does not know
// the password cannot answer and from which it cannot have it. A server that lets
// everybody in proves nothing, and passes no test.
//
// Nothing but the value and the options has a say in the connection: no PG… variable
// of the environment, no password file, no service file, no resolver but Env.Dial's.
//
// # What a second role of a pair is
//
// It is a member of the first and becomes it when it logs in (its setting role), so
// that it may do what the first may, now and later, and what it makes is the
// first's. The settings of the first (ALTER ROLE … SET, also IN DATABASE), its
// connection limit, VALID UNTIL, INHERIT and REPLICATION are copied once. It is made
// in one transaction, with a comment by which it is known again.
package postgresql

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/internal/rotator"
	"countersign/internal/rotator/database"
)

// Kind is the row of the list of rotators.
func Kind() rotator.Kind {
	return database.Kind(
		rotator.Kind{Name: "postgresql", Help: "the password of a PostgreSQL role"},
		database.Dialect{Engines: []string{"postgres", "postgresql", "aurora-postgresql"}, Port: 5432, Database: "postgres"},
		func(env rotator.Env) database.Engine { return engine{env} },
	)
}

// maxName is NAMEDATALEN less one. PostgreSQL cuts off what is longer, and so would
// take two names for one.
const maxName = 63

// maxMessage bounds a message of the server, in bytes.
const maxMessage = 1 << 20

type engine struct{ env rotator.Env }

// CheckUser refuses names that are too long.
func (engine) CheckUser(name string) error {
	if len(name) > maxName {
		return rotator.Fail(rotator.Unsuitable, nil, "the name of a role would have %d bytes; PostgreSQL has %d at most", len(name), maxName)
	}
	return nil
}

// Open logs in.
func (e engine) Open(ctx context.Context, l database.Login) (database.Session, error) {
	forms := []string{prepare(l.Password)}
	if forms[0] != l.Password {
		forms = append(forms, l.Password) // one that was stored as MD5
	}
	var err error
	for _, password := range forms {
		var s *session
		if s, err = e.open(ctx, l, password); err == nil {
			return s, nil
		}
		if class, _ := rotator.Why(err); class != rotator.Credentials {
			break
		}
	}
	return nil, err
}

func (e engine) open(ctx context.Context, l database.Login, password string) (*session, error) {
	c, err := config()
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, c.Database, c.User, c.Password = l.Host, l.Port, l.Database, l.User, password
	c.TLSConfig = l.TLS
	c.RequireAuth = "scram-sha-256"
	if l.Proved {
		c.RequireAuth = "scram-sha-256,md5,password"
	}
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	c.DialFunc = database.DialTo(e.env, l)
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, explainLogin(ctx, err)
	}
	s := &session{conn: conn, user: l.User}
	// Names in statements of ours mean what they mean, whatever path the database or
	// the role sets; and a role that reads only may still change its password.
	if err := s.exec(ctx, "SET search_path = pg_catalog; SET default_transaction_read_only = off; SELECT 1"); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// given settles every setting for which pgconn would look into the environment or
// the home folder. The password is there so that no password file is read.
const given = "host=localhost port=5432 user=none password=none database=none passfile='' " +
	"sslmode=disable sslcertmode=disable sslnegotiation=postgres sslsni=1 sslrootcert='' sslcert='' sslkey='' sslpassword='' " +
	"connect_timeout=0 target_session_attrs=any min_protocol_version=3.0 max_protocol_version=3.0 " +
	"channel_binding=prefer require_auth=scram-sha-256"

// config is a configuration that owes nothing to the environment. One can only be
// had from ParseConfig, which reads a service file when PGSERVICE is set: it gets
// one with nothing in it.
func config() (*pgconn.Config, error) {
	text := given
	if _, ok := os.LookupEnv("PGSERVICE"); ok {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("making an empty service file: %w", err)
		}
		defer r.Close()
		_, err = w.WriteString("[none]\n")
		if closing := w.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return nil, fmt.Errorf("making an empty service file: %w", err)
		}
		text += fmt.Sprintf(" service=none servicefile=/dev/fd/%d", r.Fd())
	}
	c, err := pgconn.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("making a configuration: %w", err)
	}
	c.Fallbacks, c.ValidateConnect, c.ConnectTimeout = nil, nil, 0
	c.MaxProtocolMessageBodyLen = maxMessage
	c.RuntimeParams = map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on", "application_name": "countersign", "datestyle": "ISO"}
	return c, nil
}

type session struct {
	conn *pgconn.PgConn
	user string
}

// Close ends the session.
func (s *session) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.conn.Close(ctx)
}

// deadline makes the server give up when the context does, so that nothing is done
// there after a step has ended.
func (s *session) deadline(ctx context.Context) error {
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(time.Minute)
	}
	left := time.Until(end).Milliseconds()
	if left <= 0 {
		return explain(ctx, context.DeadlineExceeded)
	}
	_, err := s.conn.Exec(ctx, fmt.Sprintf("SET statement_timeout = %d", left)).ReadAll()
	return explain(ctx, err)
}

// Hold takes an advisory lock.
func (s *session) Hold(ctx context.Context, word string) {
	sum := sha256.Sum256([]byte("countersign " + word))
	_ = s.exec(ctx, fmt.Sprintf("SET lock_timeout = %d; SELECT pg_advisory_lock(%d)", database.HoldFor.Milliseconds(), int64(binary.BigEndian.Uint64(sum[:]))))
	_ = s.exec(ctx, "SET lock_timeout = 0")
}

// exec runs statements, of which no part is a stranger's but quoted.
func (s *session) exec(ctx context.Context, sql string) error {
	if err := s.deadline(ctx); err != nil {
		return err
	}
	_, err := s.conn.Exec(ctx, sql).ReadAll()
	return explain(ctx, err)
}

// query returns rows as text; NULL is nil.
func (s *session) query(ctx context.Context, sql string, params ...string) ([][][]byte, error) {
	if err := s.deadline(ctx); err != nil {
		return nil, err
	}
	raw := make([][]byte, len(params))
	for i, p := range params {
		raw[i] = []byte(p)
	}
	r := s.conn.ExecParams(ctx, sql, raw, nil, nil, nil).Read()
	return r.Rows, explain(ctx, r.Err)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes a text. It refuses to where the server reads quotes another way.
func (s *session) literal(text string) (string, error) {
	out, err := s.conn.EscapeString(text)
	if err != nil {
		return "", rotator.Fail(rotator.Rejected, err, "the server reads quoted texts in another way than was asked for")
	}
	return "'" + out + "'", nil
}

// password is the clause that sets a password.
func (s *session) password(ctx context.Context, word string) (string, error) {
	if major, _, _ := strings.Cut(s.conn.ParameterStatus("server_version"), "."); major != "" {
		if n, err := strconv.Atoi(strings.TrimRightFunc(major, func(r rune) bool { return r < '0' || r > '9' })); err == nil && n < 10 {
			return "", rotator.Fail(rotator.Unsuitable, nil, "the server is older than PostgreSQL 10, which is the first with SCRAM-SHA-256")
		}
	}
	rows, err := s.query(ctx, "SELECT pg_catalog.current_setting('scram_iterations', true)")
	if err != nil {
		return "", err
	}
	rounds := iterations
	if len(rows) == 1 && len(rows[0]) == 1 {
		if n, err := strconv.Atoi(string(rows[0][0])); err == nil {
			rounds = min(max(n, iterations), maxIterations)
		}
	}
	v, err := verifier(word, rounds)
	if err != nil {
		return "", err
	}
	text, err := s.literal(v)
	return "PASSWORD " + text, err
}

// SetOwn changes the password of the role that is logged in. A role that has become
// another may not until it is itself again.
func (s *session) SetOwn(ctx context.Context, word string) error {
	clause, err := s.password(ctx, word)
	if err != nil {
		return err
	}
	return s.exec(ctx, "BEGIN; SET LOCAL ROLE NONE; ALTER ROLE "+quote(s.user)+" "+clause+"; COMMIT")
}

var errAdministers = rotator.Fail(rotator.Unsuitable, nil,
	"the role is a superuser or makes roles, or may become one that does, and the admin login changes no such password: such a role rotates its own, in mode single without the option admin")

// administers is whether the role r is, or may become, one that administers the server:
// by its attributes, or by running programs and writing files there.
const administers = `(SELECT bool_or(m.rolsuper OR m.rolcreaterole OR m.rolname IN ('pg_execute_server_program', 'pg_write_server_files'))
	FROM pg_catalog.pg_roles m WHERE pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER'))`

// Set changes the password of another role.
func (s *session) Set(ctx context.Context, user, word string) error {
	rows, err := s.query(ctx, "SELECT "+administers+" FROM pg_catalog.pg_roles r WHERE rolname = $1", user)
	switch {
	case err != nil:
		return err
	case len(rows) == 0:
		return rotator.Fail(rotator.Unsuitable, nil, "the server has no role of that name")
	case string(rows[0][0]) != "f":
		return errAdministers
	}
	clause, err := s.password(ctx, word)
	if err != nil {
		return err
	}
	return s.exec(ctx, "ALTER ROLE "+quote(user)+" "+clause)
}
