package postgresql_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/internal/rotator"
	"countersign/internal/rotator/postgresql"
	"countersign/internal/rotator/rotatetest"
)

// server is the real one that scripts/with-databases starts.
type server struct {
	host, port     string
	user, password string
	ca             rotator.Value
	conn           *pgx.Conn // the superuser's
}

func real(t *testing.T) *server {
	t.Helper()
	text := os.Getenv("COUNTERSIGN_TEST_POSTGRES")
	if text == "" {
		t.Skip("COUNTERSIGN_TEST_POSTGRES is not set: scripts/with-databases starts a server and sets it")
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	word, _ := u.User.Password()
	pem, err := os.ReadFile(os.Getenv("COUNTERSIGN_TEST_DB_CA"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return &server{host: u.Hostname(), port: u.Port(), user: u.User.Username(), password: word, ca: rotator.Value{Data: rotator.Text(string(pem)).Data}, conn: conn}
}

func (s *server) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.conn.Exec(context.Background(), sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (s *server) text(t *testing.T, sql string, args ...any) string {
	t.Helper()
	var out string
	if err := s.conn.QueryRow(context.Background(), sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...).Scan(&out); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func word() string { return rand.Text() }

// login makes a role that is gone after the test, with all that is called like it.
func (s *server) login(t *testing.T, attributes string) (name, password string) {
	name, password = "app_"+strings.ToLower(word()[:10]), word()
	s.make(t, name, password, attributes)
	return name, password
}

func (s *server) make(t *testing.T, name, password, attributes string) {
	t.Helper()
	s.exec(t, "CREATE ROLE "+quote(name)+" LOGIN "+attributes+" PASSWORD '"+password+"'")
	t.Cleanup(func() {
		for _, n := range s.roles(t, name) {
			s.exec(t, "DROP OWNED BY "+quote(n)+"; DROP ROLE "+quote(n))
		}
	})
}

func (s *server) roles(t *testing.T, prefix string) (out []string) {
	t.Helper()
	rows, err := s.conn.Query(context.Background(), "SELECT rolname FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY length(rolname) DESC, rolname", prefix)
	if err != nil {
		t.Fatal(err)
	}
	out, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func value(t *testing.T, members ...string) rotator.Value {
	t.Helper()
	o, err := rotator.ParseObject(rotator.Text(`{"engine":"postgres"}`))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(members); i += 2 {
		o.Set(members[i], members[i+1])
	}
	return o.Value()
}

func (s *server) value(t *testing.T, user, password string, more ...string) rotator.Value {
	return value(t, append([]string{"host", s.host, "port", s.port, "username", user, "password", password}, more...)...)
}

func (s *server) admin(t *testing.T) rotator.Value { return s.value(t, s.user, s.password) }

// accepts logs in as a stock client does.
func accepts(t *testing.T, v rotator.Value) bool {
	t.Helper()
	o, err := rotator.ParseObject(v)
	if err != nil {
		t.Fatal(err)
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(o.Get("username"), o.Get("password")),
		Host: net.JoinHostPort(o.Get("host"), o.Get("port")), Path: "/postgres"}
	conn, err := pgx.Connect(context.Background(), u.String())
	if err == nil {
		conn.Close(context.Background())
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "28P01" {
		t.Fatalf("the client's login failed otherwise: %v", err)
	}
	return false
}

func env() rotator.Env {
	return rotator.Env{Dial: (&net.Dialer{}).DialContext, Now: time.Now}
}

// target is a target for the suite, behind a proxy.
func (s *server) target(t *testing.T, options map[string]string, admin bool) *rotatetest.Target {
	t.Helper()
	p := rotatetest.NewProxy(t, net.JoinHostPort(s.host, s.port))
	behind := *s
	behind.host, behind.port = p.Host, fmt.Sprint(p.Port)
	name, password := s.login(t, "")
	j := job(options, behind.value(t, name, password, "note", "stays"))
	j.Related["tls_ca"] = s.ca
	if admin {
		j.Options["admin"] = "db/admin"
		j.Related["admin"] = behind.admin(t)
	}
	k := postgresql.Kind()
	return &rotatetest.Target{Kind: k, Rotator: k.New(env()), Job: j, Accepts: accepts,
		State: func(t *testing.T) string { return strings.Join(s.roles(t, name), "\n") },
		Break: func(t *testing.T) { p.Hang() }}
}

func job(options map[string]string, current rotator.Value) rotator.Job {
	j := rotator.Job{Name: "db/app", ARN: "arn:aws:secretsmanager:eu-central-1:111122223333:secret:db/app-a1b2c3", Current: current,
		Options: map[string]string{"tls_ca": "db/ca"}, Related: map[string]rotator.Value{}, Password: func() (string, error) { return word(), nil }}
	for n, o := range options {
		j.Options[n] = o
	}
	return j
}

func TestSuite(t *testing.T) {
	for name, tt := range map[string]struct {
		options map[string]string
		admin   bool
	}{
		"single":       {nil, false},
		"single-admin": {nil, true},
		"alternating":  {map[string]string{"mode": "alternating"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := real(t)
			rotatetest.Run(t, func(t *testing.T) *rotatetest.Target { return s.target(t, tt.options, tt.admin) })
		})
	}
}
