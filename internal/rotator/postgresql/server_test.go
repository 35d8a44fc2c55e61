package postgresql_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/internal/rotator"
	"countersign/internal/rotator/database"
	"countersign/internal/rotator/postgresql"
	"countersign/internal/rotator/rotatetest"
)

func class(t *testing.T, err error, want rotator.Class, says string) {
	t.Helper()
	got, msg := rotator.Why(err)
	if err == nil || got != want || !strings.Contains(msg, says) {
		t.Errorf("got %s, %q; want %s with %q", got, msg, want, says)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		_, msg := rotator.Why(err)
		t.Fatal(msg, err)
	}
}

func create(t *testing.T, r rotator.Rotator, j rotator.Job) rotator.Job {
	t.Helper()
	made, err := r.Create(t.Context(), j)
	ok(t, err)
	j.Pending, j.Note = made.Value, made.Note
	return j
}

// round is a whole rotation but for Retire.
func round(t *testing.T, r rotator.Rotator, j rotator.Job) rotator.Job {
	t.Helper()
	j = create(t, r, j)
	ok(t, r.Set(t.Context(), j))
	ok(t, r.Test(t.Context(), j))
	ok(t, r.Finish(t.Context(), j))
	j.Current, j.Previous, j.Pending, j.Note = j.Pending, j.Current, rotator.Value{}, ""
	return j
}

func get(t *testing.T, v rotator.Value, member string) string {
	t.Helper()
	o, err := rotator.ParseObject(v)
	ok(t, err)
	return o.Get(member)
}

var taking = map[string]string{"mode": "alternating", "admin": "db/admin"}

func (s *server) job(t *testing.T, options map[string]string, name, password string) (rotator.Rotator, rotator.Job) {
	j := job(options, s.value(t, name, password))
	j.Related["tls_ca"], j.Related["admin"] = s.ca, s.admin(t)
	return postgresql.Kind().New(env()), j
}

// TestNames has names that are not what statements take for one.
func TestNames(t *testing.T) {
	s := real(t)
	for _, name := range []string{`a"b`, `a'b`, "a b", "Ünï", "UPPER", `"; DROP ROLE admin; --`, `\x`, "$1", "a.b", "select", strings.Repeat("ü", 26)} {
		name = strings.ToLower(word()[:3]) + name
		password := word()
		s.make(t, name, password, "")
		for _, options := range []map[string]string{nil, {"admin": "db/admin"}, taking} {
			r, j := s.job(t, options, name, password)
			j = round(t, r, j)
			if options["mode"] == "alternating" {
				ok(t, r.Retire(t.Context(), j))
				j = round(t, r, j)
				j = create(t, r, j)
				ok(t, r.Set(t.Context(), j))
				ok(t, r.Undo(t.Context(), j))
			}
			password = get(t, j.Current, "password")
			if !accepts(t, j.Current) {
				t.Errorf("%q: the new value is not accepted", name)
			}
		}
	}
	r, j := s.job(t, taking, strings.Repeat("a", 60), "x")
	_, err := r.Create(t.Context(), j)
	class(t, err, rotator.Unsuitable, "63")
}

// TestLog rotates, and looks for the passwords in the server's log of all statements.
func TestLog(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	var seen []string
	for _, options := range []map[string]string{nil, {"admin": "db/admin"}, taking} {
		r, j := s.job(t, options, name, password)
		for range 3 {
			j = round(t, r, j)
			seen = append(seen, get(t, j.Current, "password"))
			j = create(t, r, j)
			seen = append(seen, get(t, j.Pending, "password"))
			ok(t, r.Set(t.Context(), j))
			ok(t, r.Undo(t.Context(), j))
			j.Pending = rotator.Value{}
			ok(t, r.Retire(t.Context(), j))
		}
		name, password = get(t, j.Current, "username"), get(t, j.Current, "password")
	}
	log := s.text(t, "SELECT pg_read_file(pg_current_logfile())")
	if n := strings.Count(log, "ALTER ROLE "+quote(name)); n < 4 {
		t.Fatalf("the log has the statement %d times", n)
	}
	for _, p := range seen {
		if strings.Contains(log, p) {
			t.Error("a password stands in the log of the server")
		}
	}
}

// TestEnvironment sets all that libpq would look at.
func TestEnvironment(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	home := t.TempDir()
	t.Setenv("HOME", home)
	ok(t, os.MkdirAll(filepath.Join(home, ".postgresql"), 0o700))
	for file, text := range map[string]string{".pgpass": "*:*:*:*:other", ".pg_service.conf": "[evil]\nhost=192.0.2.1\nuser=evil\n", ".postgresql/root.crt": "none", ".postgresql/postgresql.crt": "none", ".postgresql/postgresql.key": "none"} {
		ok(t, os.WriteFile(filepath.Join(home, file), []byte(text), 0o600))
	}
	for name, text := range map[string]string{"PGHOST": "192.0.2.1,192.0.2.2", "PGPORT": "x", "PGDATABASE": "evil", "PGUSER": "evil", "PGPASSWORD": "evil", "PGPASSFILE": home + "/.pgpass",
		"PGAPPNAME": "evil", "PGCONNECT_TIMEOUT": "x", "PGSSLMODE": "evil", "PGSSLKEY": "/none", "PGSSLCERT": "/none", "PGSSLCERTMODE": "evil", "PGSSLSNI": "x", "PGSSLROOTCERT": "/none", "PGSSLPASSWORD": "x",
		"PGSSLNEGOTIATION": "direct", "PGTARGETSESSIONATTRS": "standby", "PGTZ": "evil", "PGOPTIONS": "-c evil=1", "PGMINPROTOCOLVERSION": "9", "PGMAXPROTOCOLVERSION": "x", "PGCHANNELBINDING": "evil",
		"PGREQUIREAUTH": "none", "PGSERVICEFILE": home + "/.pg_service.conf"} {
		t.Setenv(name, text)
	}
	for _, service := range []string{"", "evil", "not-there"} {
		if service != "" {
			t.Setenv("PGSERVICE", service)
		}
		r, j := s.job(t, map[string]string{"admin": "db/admin"}, name, password)
		j = round(t, r, j)
		password = get(t, j.Current, "password")
	}
	rows := s.text(t, "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'evil'")
	if rows != "0" {
		t.Error("the environment gave a name to the connection")
	}
}

// TestClone holds what a second role is.
func TestClone(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "NOINHERIT CONNECTION LIMIT 7 VALID UNTIL '2090-01-02 03:04:05+00'")
	db := name + "_db"
	s.exec(t, "CREATE DATABASE "+quote(db)+" OWNER "+quote(name))
	t.Cleanup(func() { s.exec(t, "DROP DATABASE "+quote(db)+" WITH (FORCE)") })
	role := quote(name)
	s.exec(t, "ALTER ROLE "+role+` SET search_path = "$user", "a,b", public`)
	s.exec(t, "ALTER ROLE "+role+" SET work_mem = '5MB'")
	s.exec(t, "ALTER ROLE "+role+" SET default_transaction_read_only = on")
	s.exec(t, "ALTER ROLE "+role+" SET my.tenant = 'it''s \"x\"; \\'")
	s.exec(t, "ALTER ROLE "+role+" IN DATABASE "+quote(db)+" SET default_transaction_read_only = off")
	r, j := s.job(t, taking, name, password)
	o, err := rotator.ParseObject(j.Current)
	ok(t, err)
	o.Set("database", db)
	j.Current = o.Value()
	j = create(t, r, j)
	clone := name + "_clone"
	if get(t, j.Pending, "username") != clone || get(t, j.Pending, "database") != db {
		t.Fatalf("the new value is of %q", get(t, j.Pending, "username"))
	}
	ok(t, r.Set(t.Context(), j))
	attributes := `SELECT row(rolinherit, rolreplication, rolconnlimit, rolvaliduntil, rolcanlogin)::text FROM pg_roles WHERE rolname = $1`
	if is, was := s.text(t, attributes, clone), s.text(t, attributes, name); is != was {
		t.Errorf("it is %s beside %s", is, was)
	}
	settings := `SELECT coalesce(string_agg(setdatabase || ' ' || c, chr(10) ORDER BY setdatabase, c), '') FROM pg_db_role_setting, unnest(setconfig) c
		WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = $1) AND c NOT LIKE 'role=%'`
	if is, was := s.text(t, settings, clone), s.text(t, settings, name); is != was || !strings.Contains(was, "my.tenant") {
		t.Errorf("it has\n%s\nbeside\n%s", is, was)
	}
	// It is the other when it is logged in, and what it makes is the other's.
	u := url.URL{Scheme: "postgres", User: url.UserPassword(clone, get(t, j.Pending, "password")), Host: net.JoinHostPort(s.host, s.port), Path: "/" + db}
	conn, err := pgx.Connect(t.Context(), u.String())
	ok(t, err)
	defer conn.Close(context.Background())
	var who, session, path, tenant string
	ok(t, conn.QueryRow(t.Context(), "SELECT current_user, session_user, current_setting('search_path'), current_setting('my.tenant')").Scan(&who, &session, &path, &tenant))
	if who != name || session != clone || path != `"$user", "a,b", public` || tenant != `it's "x"; \` {
		t.Errorf("it is %s, %s with %s, %s", who, session, path, tenant)
	}
	var owner string
	_, err = conn.Exec(t.Context(), "CREATE SCHEMA made")
	ok(t, err)
	ok(t, conn.QueryRow(t.Context(), "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'made'").Scan(&owner))
	if owner != name {
		t.Errorf("what it makes is %s's", owner)
	}
	// What it made as itself does not keep it there.
	s2, err := pgx.Connect(t.Context(), (&url.URL{Scheme: "postgres", User: url.UserPassword(s.user, s.password), Host: u.Host, Path: "/" + db}).String())
	ok(t, err)
	defer s2.Close(context.Background())
	_, err = s2.Exec(t.Context(), "CREATE SCHEMA own AUTHORIZATION "+quote(clone))
	ok(t, err)
	j.Related["admin"] = s.value(t, s.user, s.password, "dbname", db)
	ok(t, r.Undo(t.Context(), j))
	if left := s.roles(t, name); len(left) != 1 {
		t.Errorf("there are %v", left)
	}
	ok(t, s2.QueryRow(t.Context(), "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'own'").Scan(&owner))
	if owner != name {
		t.Errorf("what it made is %s's", owner)
	}
}

// TestOwnPassword has roles change their own password that are another once they are in.
func TestOwnPassword(t *testing.T) {
	s := real(t)
	group, _ := s.login(t, "")
	name, password := s.login(t, "IN ROLE "+quote(group))
	s.exec(t, "ALTER ROLE "+quote(name)+" SET role = "+quote(group))
	s.exec(t, "ALTER ROLE "+quote(name)+" SET default_transaction_read_only = on")
	r, j := s.job(t, nil, name, password)
	j = round(t, r, j)
	round(t, r, j)
}

// TestSuperuser rotates one, which no admin does.
func TestSuperuser(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "SUPERUSER")
	r, j := s.job(t, nil, name, password)
	j = round(t, r, j)
	for _, options := range []map[string]string{{"admin": "db/admin"}, taking} {
		j.Options = maps.Clone(options)
		j.Options["tls_ca"] = "db/ca"
		j = create(t, r, j)
		class(t, r.Set(t.Context(), j), rotator.Unsuitable, "superuser")
		ok(t, r.Undo(t.Context(), j))
		if left := s.roles(t, name); len(left) != 1 {
			t.Errorf("there are %v", left)
		}
	}
}

// TestBecomesSuperuser: a role that may become an administrator is one.
func TestBecomesSuperuser(t *testing.T) {
	s := real(t)
	super, _ := s.login(t, "SUPERUSER")
	maker, _ := s.login(t, "CREATEROLE")
	between, _ := s.login(t, "IN ROLE "+quote(maker))
	for _, role := range []string{super, maker, between, "pg_execute_server_program", "pg_write_server_files"} {
		name, password := s.login(t, "NOINHERIT IN ROLE "+quote(role))
		for _, options := range []map[string]string{{"admin": "db/admin"}, taking} {
			r, j := s.job(t, options, name, password)
			j = create(t, r, j)
			class(t, r.Set(t.Context(), j), rotator.Unsuitable, "superuser")
			ok(t, r.Undo(t.Context(), j))
		}
	}
	name, password := s.login(t, "IN ROLE pg_read_all_data")
	r, j := s.job(t, map[string]string{"admin": "db/admin"}, name, password)
	round(t, r, j)
}

func TestPermission(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	weak, weakPassword := s.login(t, "")
	for _, options := range []map[string]string{{"admin": "db/admin"}, taking} {
		r, j := s.job(t, options, name, password)
		j.Related["admin"] = s.value(t, weak, weakPassword)
		j = create(t, r, j)
		class(t, r.Set(t.Context(), j), rotator.Permission, "42501")
		j.Related["admin"] = s.value(t, weak, "wrong")
		class(t, r.Set(t.Context(), j), rotator.Credentials, "admin login")
		ok(t, s.adminOnly(t, r, j))
	}
	// one that may make roles suffices
	maker, makerPassword := s.login(t, "CREATEROLE")
	for _, options := range []map[string]string{{"admin": "db/admin"}, taking} {
		r, j := s.job(t, options, name, password)
		if s.conn.PgConn().ParameterStatus("server_version") >= "16" {
			s.exec(t, "GRANT "+quote(name)+" TO "+quote(maker)+" WITH ADMIN OPTION")
		}
		j.Related["admin"] = s.value(t, maker, makerPassword)
		j = round(t, r, j)
		password = get(t, j.Current, "password")
		ok(t, r.Retire(t.Context(), j))
		round(t, r, j)
	}
}

// adminOnly undoes through the superuser what was not done.
func (s *server) adminOnly(t *testing.T, r rotator.Rotator, j rotator.Job) error {
	j.Related["admin"] = s.admin(t)
	return r.Undo(t.Context(), j)
}

func TestChangedOutside(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	s.exec(t, "ALTER ROLE "+quote(name)+" PASSWORD 'by hand'")
	r, j := s.job(t, nil, name, password)
	j = create(t, r, j)
	class(t, r.Set(t.Context(), j), rotator.Credentials, "no password that the secret has")
	class(t, r.Undo(t.Context(), j), rotator.Credentials, "no password that the secret has")
	j.Options["admin"] = "db/admin"
	ok(t, r.Set(t.Context(), j))
	ok(t, r.Test(t.Context(), j))
	ok(t, r.Undo(t.Context(), j))
	if !accepts(t, j.Current) || accepts(t, j.Pending) {
		t.Error("undo")
	}
}

// TestKilled ends Set at some instant, undoes, and looks that nobody is left; and also
// that nothing takes effect in the server after a step has ended.
func TestKilled(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	r, j := s.job(t, taking, name, password)
	for i := range 25 {
		j := create(t, r, j)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*2*time.Millisecond)
		err := r.Set(ctx, j)
		cancel()
		if err != nil && i%2 == 0 {
			ok(t, r.Set(t.Context(), j))
			ok(t, r.Test(t.Context(), j))
		}
		ok(t, r.Undo(t.Context(), j))
		if left := s.roles(t, name); len(left) != 1 {
			t.Fatalf("after %d ms there are %v", i*2, left)
		}
	}
	// A lock keeps the statement waiting in the server until its time is over.
	tx, err := s.conn.Begin(t.Context())
	ok(t, err)
	_, err = tx.Exec(t.Context(), "ALTER ROLE "+quote(name)+" CONNECTION LIMIT 5")
	ok(t, err)
	r, j = s.job(t, map[string]string{"admin": "db/admin"}, name, password)
	j = create(t, r, j)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	class(t, r.Set(ctx, j), rotator.Unreachable, "")
	time.Sleep(200 * time.Millisecond)
	ok(t, tx.Commit(t.Context()))
	time.Sleep(100 * time.Millisecond)
	if accepts(t, j.Pending) || !accepts(t, j.Current) {
		t.Error("the statement took effect after its time")
	}
}

// TestHold has a session of a server that was killed, which a step waits for.
func TestHold(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	r, j := s.job(t, taking, name, password)
	j = create(t, r, j)
	ok(t, r.Set(t.Context(), j))
	word := "countersign: the other user of a pair of " + j.ARN
	sum := sha256.Sum256([]byte("countersign " + word))
	key := int64(binary.BigEndian.Uint64(sum[:]))
	_, err := s.conn.Exec(t.Context(), "SELECT pg_advisory_lock($1)", key)
	ok(t, err)
	done := make(chan error, 1)
	begun := time.Now()
	go func() { done <- r.Undo(t.Context(), j) }()
	select {
	case err := <-done:
		t.Fatalf("the undo did not wait: %v", err)
	case <-time.After(time.Second):
	}
	_, err = s.conn.Exec(t.Context(), "SELECT pg_advisory_unlock($1)", key)
	ok(t, err)
	ok(t, <-done)
	if took := time.Since(begun); took >= database.HoldFor {
		t.Errorf("the undo took %v", took)
	}
}

func TestTLS(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	elsewhere := rotator.Env{Now: time.Now, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(s.host, s.port))
	}}
	r := postgresql.Kind().New(elsewhere)
	_, j := s.job(t, nil, name, password)
	for _, tt := range []struct {
		host, tls string
		ca        rotator.Value
		says      string
	}{
		{"localhost", "verify-full", s.ca, ""},
		{"localhost.", "", s.ca, ""},
		{"127.0.0.1", "", s.ca, ""},
		{"db.example.com", "", s.ca, "another name"},
		{"127.0.0.2", "", s.ca, "another name"},
		{"localhost", "", rotator.Text(rotatetest.PEM(rotatetest.SelfSigned(t, "another"))), "signed by nobody"},
		{"localhost", "", rotator.Value{}, "signed by nobody"},
		{"db.example.com", "require", rotator.Value{}, ""},
		{"db.example.com", "disable", rotator.Value{}, ""},
	} {
		t.Run(fmt.Sprintf("%s-%s", tt.host, tt.tls), func(t *testing.T) {
			j.Options = map[string]string{"tls": tt.tls}
			if !tt.ca.Empty() {
				j.Options["tls_ca"], j.Related["tls_ca"] = "db/ca", tt.ca
			}
			j.Pending = value(t, "host", tt.host, "username", name, "password", password)
			err := r.Test(t.Context(), j)
			if tt.says == "" {
				ok(t, err)
				return
			}
			class(t, err, rotator.Unsuitable, tt.says)
		})
	}
}

func TestRefused(t *testing.T) {
	s := real(t)
	x := s.target(t, nil, false)
	p := rotatetest.NewProxy(t, net.JoinHostPort(s.host, s.port))
	p.Refuse()
	j := x.Job
	j.Pending = value(t, "host", p.Host, "port", fmt.Sprint(p.Port), "username", "x", "password", "x")
	class(t, x.Rotator.Test(t.Context(), j), rotator.Unreachable, "nothing accepts")
	j.Pending = s.value(t, "nobody", "wrong")
	class(t, x.Rotator.Test(t.Context(), j), rotator.Credentials, "28P01")
	name, password := s.login(t, "")
	j.Pending = s.value(t, name, password, "dbname", "not there")
	class(t, x.Rotator.Test(t.Context(), j), rotator.Unsuitable, "no database")
	s.exec(t, "ALTER ROLE "+quote(name)+" NOLOGIN")
	j.Pending = s.value(t, name, password)
	class(t, x.Rotator.Test(t.Context(), j), rotator.Credentials, "28000")
}

func TestCollision(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	r, j := s.job(t, taking, name, password)
	begun := create(t, r, j)
	s.exec(t, "CREATE ROLE "+quote(name+"_clone")+" LOGIN PASSWORD 'a stranger'")
	_, err := r.Create(t.Context(), j)
	class(t, err, rotator.Unsuitable, "there already")
	class(t, r.Set(t.Context(), begun), rotator.Unsuitable, "somebody has made")
	ok(t, r.Undo(t.Context(), begun))
	if !accepts(t, s.value(t, name+"_clone", "a stranger")) {
		t.Error("the stranger was touched")
	}
}
