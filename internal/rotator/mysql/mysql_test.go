package mysql_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"countersign/internal/rotator"
	"countersign/internal/rotator/mysql"
	"countersign/internal/rotator/rotatetest"
)

// server is the real one that scripts/with-databases starts.
type server struct {
	host, port     string
	user, password string
	ca             rotator.Value
	db             *sql.DB // the admin's
}

func real(t *testing.T) *server {
	t.Helper()
	text := os.Getenv("COUNTERSIGN_TEST_MYSQL")
	if text == "" {
		t.Skip("COUNTERSIGN_TEST_MYSQL is not set: scripts/with-databases starts a server and sets it")
	}
	c, err := client.ParseDSN(text)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(os.Getenv("COUNTERSIGN_TEST_DB_CA"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &server{user: c.User, password: c.Passwd, ca: rotator.Text(string(pem)), db: db}
	s.host, s.port, _ = net.SplitHostPort(c.Addr)
	return s
}

func (s *server) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := s.db.ExecContext(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (s *server) lines(t *testing.T, sql string) (out []string) {
	t.Helper()
	rows, err := s.db.QueryContext(context.Background(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
	return out
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func at(name string) string { return quote(name) + "@'%'" }

func literal(text string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(text) + "'"
}

func word() string { return rand.Text() }

// login makes an account that is gone after the test, with all that are called like it.
func (s *server) login(t *testing.T, by string) (name, password string) {
	name, password = "app_"+strings.ToLower(word()[:10]), word()
	s.make(t, name, password, by)
	return name, password
}

func (s *server) make(t *testing.T, name, password, by string) {
	t.Helper()
	if by == "" {
		by = "IDENTIFIED BY " + literal(password)
	}
	s.exec(t, "CREATE USER "+at(name)+" "+strings.ReplaceAll(by, "PASSWORD()", "PASSWORD("+literal(password)+")"))
	t.Cleanup(func() {
		for _, n := range s.accounts(t, name) {
			s.exec(t, "DROP USER "+at(n))
		}
	})
}

func (s *server) accounts(t *testing.T, prefix string) []string {
	t.Helper()
	return s.lines(t, "SELECT User FROM mysql.user WHERE LEFT(User, "+fmt.Sprint(len([]rune(prefix)))+") = "+literal(prefix)+" ORDER BY User")
}

func value(t *testing.T, members ...string) rotator.Value {
	t.Helper()
	o, err := rotator.ParseObject(rotator.Text(`{"engine":"mysql"}`))
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
	c := client.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = o.Get("username"), o.Get("password"), "tcp", net.JoinHostPort(o.Get("host"), o.Get("port"))
	connector, err := client.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connector.Connect(context.Background())
	for range 3 {
		if errors.Is(err, client.ErrMalformPkt) { // of ed25519, see tries
			conn, err = connector.Connect(context.Background())
		}
	}
	if err == nil {
		conn.Close()
		return true
	}
	if errors.Is(err, client.ErrMalformPkt) {
		return false // it does not try a second plugin
	}
	var refused *client.MySQLError
	if !errors.As(err, &refused) || refused.Number != 1045 {
		t.Fatalf("the client's login failed otherwise: %v", err)
	}
	return false
}

func env() rotator.Env { return rotator.Env{Dial: (&net.Dialer{}).DialContext, Now: time.Now} }

func job(options map[string]string, current rotator.Value) rotator.Job {
	j := rotator.Job{Name: "db/app", ARN: "arn:aws:secretsmanager:eu-central-1:111122223333:secret:db/app-a1b2c3", Current: current,
		Options: map[string]string{"tls_ca": "db/ca"}, Related: map[string]rotator.Value{}, Password: func() (string, error) { return word(), nil }}
	for n, o := range options {
		j.Options[n] = o
	}
	return j
}

// target is a target for the suite, behind a proxy.
func (s *server) target(t *testing.T, options map[string]string, by string) *rotatetest.Target {
	t.Helper()
	p := rotatetest.NewProxy(t, net.JoinHostPort(s.host, s.port))
	behind := *s
	behind.host, behind.port = p.Host, fmt.Sprint(p.Port)
	name, password := s.login(t, by)
	j := job(options, behind.value(t, name, password, "note", "stays"))
	j.Related["tls_ca"] = s.ca
	if j.Options["admin"] != "" {
		j.Related["admin"] = behind.admin(t)
	}
	k := mysql.Kind()
	return &rotatetest.Target{Kind: k, Rotator: k.New(env()), Job: j, Accepts: accepts,
		State: func(t *testing.T) string { return strings.Join(s.accounts(t, name), "\n") },
		Break: func(*testing.T) { p.Hang() }}
}

var (
	withAdmin = map[string]string{"admin": "db/admin"}
	taking    = map[string]string{"mode": "alternating", "admin": "db/admin"}
)

func TestSuite(t *testing.T) {
	for name, tt := range map[string]struct {
		options map[string]string
		by      string
	}{
		"single":              {nil, ""},
		"single-admin":        {withAdmin, ""},
		"alternating":         {taking, ""},
		"single-ed25519":      {nil, "IDENTIFIED VIA ed25519 USING PASSWORD()"},
		"alternating-ed25519": {taking, "IDENTIFIED VIA ed25519 USING PASSWORD()"},
	} {
		t.Run(name, func(t *testing.T) {
			s := real(t)
			rotatetest.Run(t, func(t *testing.T) *rotatetest.Target { return s.target(t, tt.options, tt.by) })
		})
	}
}
