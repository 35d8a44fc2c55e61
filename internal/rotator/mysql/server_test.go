package mysql_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/database"
	"countersign/internal/rotator/mysql"
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
		t.Fatalf("%s: %+v", msg, err)
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

func (s *server) job(t *testing.T, options map[string]string, name, password string) (rotator.Rotator, rotator.Job) {
	j := job(options, s.value(t, name, password))
	j.Related["tls_ca"], j.Related["admin"] = s.ca, s.admin(t)
	return mysql.Kind().New(env()), j
}

// TestNames has names that are not what statements take for one.
func TestNames(t *testing.T) {
	s := real(t)
	for _, name := range []string{"a`b", `a'b`, `a"b`, "a b", "Ünï", "UPPER", "'; DROP USER admin; -- ", `a\`, "a@b", "a%", "TO", strings.Repeat("ü", 60)} {
		name = strings.ToLower(word()[:3]) + name
		password := word()
		s.make(t, name, password, "")
		s.exec(t, "GRANT SELECT ON `d``%`.* TO "+at(name))
		for _, options := range []map[string]string{nil, withAdmin, taking} {
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
	r, j := s.job(t, taking, strings.Repeat("a", 125), "x")
	_, err := r.Create(t.Context(), j)
	class(t, err, rotator.Unsuitable, "128")
}

// TestLog rotates, and looks for the passwords in the server's general log.
func TestLog(t *testing.T) {
	s := real(t)
	s.exec(t, "SET GLOBAL log_output = 'TABLE'")
	s.exec(t, "SET GLOBAL general_log = ON")
	t.Cleanup(func() { s.exec(t, "SET GLOBAL general_log = OFF") })
	for _, by := range []string{"", "IDENTIFIED VIA ed25519 USING PASSWORD()"} {
		var seen []string
		name, password := s.login(t, by)
		for _, options := range []map[string]string{nil, withAdmin, taking} {
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
			password = get(t, j.Current, "password")
		}
		log := strings.Join(s.lines(t, "SELECT argument FROM mysql.general_log"), "\n")
		if n := strings.Count(log, "ALTER USER "+quote(name)) + strings.Count(log, "SET PASSWORD ="); n < 6 {
			t.Fatalf("the log has the statements %d times", n)
		}
		for _, p := range seen {
			if strings.Contains(log, p) {
				t.Error("a password stands in the log of the server")
			}
		}
	}
}

// TestClone holds what a second account is.
func TestClone(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "IDENTIFIED VIA ed25519 USING PASSWORD() OR unix_socket REQUIRE SSL WITH MAX_USER_CONNECTIONS 5 PASSWORD EXPIRE INTERVAL 90 DAY")
	clone, db := name+"_clone", name+"_d'`b"
	role, role2 := name+"_r1", name+"_r 2"
	for _, sql := range []string{
		"CREATE DATABASE " + quote(db), "CREATE TABLE " + quote(db) + ".`t``x` (`a TO` INT, b INT)", "CREATE PROCEDURE " + quote(db) + ".p() SELECT 1",
		"CREATE ROLE " + quote(role), "CREATE ROLE " + quote(role2),
		"GRANT SELECT, INSERT ON " + quote(db) + ".* TO " + at(name), "GRANT SELECT (`a TO`, b), UPDATE (b) ON " + quote(db) + ".`t``x` TO " + at(name) + " WITH GRANT OPTION",
		"GRANT EXECUTE ON PROCEDURE " + quote(db) + ".p TO " + at(name), "GRANT PROCESS, RELOAD ON *.* TO " + at(name),
		"GRANT " + quote(role) + " TO " + at(name) + " WITH ADMIN OPTION", "GRANT " + quote(role2) + " TO " + at(name), "SET DEFAULT ROLE " + quote(role) + " FOR " + at(name),
	} {
		s.exec(t, sql)
	}
	t.Cleanup(func() {
		s.exec(t, "DROP ROLE "+quote(role)+", "+quote(role2))
		s.exec(t, "DROP DATABASE "+quote(db))
	})
	r, j := s.job(t, taking, name, password)
	j = create(t, r, j)
	ok(t, r.Set(t.Context(), j))
	ok(t, r.Test(t.Context(), j))
	// the same but for the name and what is stored of the password
	same := func(sql string) (out []string) {
		for _, who := range []string{name, clone} {
			var lines []string
			for _, l := range s.lines(t, sql+at(who)) {
				l = strings.ReplaceAll(l, quote(who), "`it`")
				if before, after, ok := strings.Cut(l, " USING '"); ok {
					_, after, _ = strings.Cut(after, "'")
					l = before + strings.TrimPrefix(after, " OR unix_socket")
				}
				lines = append(lines, l)
			}
			slices.Sort(lines)
			out = append(out, strings.Join(lines, "\n"))
		}
		return out
	}
	for _, sql := range []string{"SHOW GRANTS FOR ", "SHOW CREATE USER "} {
		if both := same(sql); both[0] != both[1] || !strings.Contains(both[0], "ed25519") {
			t.Errorf("%s\n%s\n%s", sql, both[0], both[1])
		}
	}
	// Killed between two grants, it is completed.
	s.exec(t, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM "+at(clone))
	ok(t, r.Set(t.Context(), j))
	if both := same("SHOW GRANTS FOR "); both[0] != both[1] {
		t.Errorf("%s\n%s", both[0], both[1])
	}
	ok(t, r.Undo(t.Context(), j))
	if left := s.accounts(t, clone); len(left) != 0 {
		t.Errorf("there are %v", left)
	}
	// The way without a password stays with the first one, and the password is changed.
	r, j = s.job(t, withAdmin, name, password)
	j = round(t, r, j)
	if l := s.lines(t, "SHOW CREATE USER "+at(name)); !strings.Contains(l[0], "OR unix_socket") {
		t.Error(l[0])
	}
	r, j = s.job(t, nil, name, get(t, j.Current, "password"))
	round(t, r, j)
	if l := s.lines(t, "SHOW CREATE USER "+at(name)); !strings.Contains(l[0], "OR unix_socket") {
		t.Error(l[0])
	}
}

func TestPlugins(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "IDENTIFIED VIA unix_socket")
	r, j := s.job(t, withAdmin, name, password)
	j = create(t, r, j)
	class(t, r.Set(t.Context(), j), rotator.Unsuitable, "plugin")
	// Both passwords end, also the one that is not used.
	name, password = s.login(t, "IDENTIFIED VIA ed25519 USING PASSWORD() OR mysql_native_password USING PASSWORD('another')")
	r, j = s.job(t, nil, name, password)
	j = create(t, r, j)
	class(t, r.Set(t.Context(), j), rotator.Unsuitable, "more than one password")
	r, j = s.job(t, withAdmin, name, password)
	round(t, r, j)
	if accepts(t, s.value(t, name, "another")) {
		t.Error("the other password is accepted")
	}
}

// TestStrict has a server that checks passwords, and so takes no hashes.
func TestStrict(t *testing.T) {
	s := real(t)
	name, _ := s.login(t, "IDENTIFIED BY PASSWORD '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'")
	const password = "password"
	s.exec(t, "INSTALL SONAME 'simple_password_check'")
	defer s.exec(t, "UNINSTALL SONAME 'simple_password_check'")
	for _, options := range []map[string]string{nil, withAdmin, taking} {
		r, j := s.job(t, options, name, password)
		j = create(t, r, j)
		class(t, r.Set(t.Context(), j), rotator.Unsuitable, "strict_password_validation")
		ok(t, r.Undo(t.Context(), j))
	}
}

func TestHost(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	user := quote(name) + "@'127.0.0.1'"
	s.exec(t, "CREATE USER "+user+" IDENTIFIED BY 'of the narrower one'")
	t.Cleanup(func() {
		s.exec(t, "DROP USER IF EXISTS "+user+", "+quote(name+"_clone")+"@'127.0.0.1'")
	})
	// The server takes the narrower one; the option says which is meant.
	r, j := s.job(t, map[string]string{"admin": "db/admin", "mode": "alternating", "host_pattern": "127.0.0.1"}, name, "of the narrower one")
	j = round(t, r, j)
	ok(t, r.Retire(t.Context(), j))
	round(t, r, j)
	if l := s.lines(t, "SELECT Host FROM mysql.user WHERE User = "+literal(name+"_clone")); len(l) != 1 || l[0] != "127.0.0.1" {
		t.Errorf("the clone is at %v", l)
	}
	s.exec(t, "DROP USER "+user)
	if !accepts(t, s.value(t, name, password)) {
		t.Error("the wider one was changed")
	}
	r, j = s.job(t, map[string]string{"admin": "db/admin", "host_pattern": "192.0.2.%"}, name, password)
	j = create(t, r, j)
	class(t, r.Set(t.Context(), j), rotator.Unsuitable, "host_pattern")
	for _, h := range []string{"a'b", "a`b", "a b", "a\nb", `a\b`, strings.Repeat("a", 256)} {
		if err := mysql.Kind().Check(map[string]string{"host_pattern": h}); err == nil {
			t.Errorf("%q was accepted", h)
		}
	}
}

// TestAdministrator rotates one, which no admin does.
func TestAdministrator(t *testing.T) {
	s := real(t)
	for _, grant := range []string{"ALL PRIVILEGES ON *.*", "CREATE USER ON *.*", "UPDATE ON mysql.*"} {
		name, password := s.login(t, "")
		s.exec(t, "GRANT "+grant+" TO "+at(name))
		r, j := s.job(t, nil, name, password)
		j = round(t, r, j)
		j.Options["admin"] = "db/admin"
		for _, mode := range []string{"single", "alternating"} {
			j.Options["mode"] = mode
			j = create(t, r, j)
			class(t, r.Set(t.Context(), j), rotator.Unsuitable, "administers")
			ok(t, r.Undo(t.Context(), j))
		}
		if left := s.accounts(t, name); len(left) != 1 {
			t.Errorf("there are %v", left)
		}
	}
}

func TestPermission(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	weak, weakPassword := s.login(t, "")
	r, j := s.job(t, withAdmin, name, password)
	j.Related["admin"] = s.value(t, weak, weakPassword)
	j = create(t, r, j)
	class(t, r.Set(t.Context(), j), rotator.Permission, "may not")
	j.Related["admin"] = s.value(t, weak, "wrong")
	class(t, r.Set(t.Context(), j), rotator.Credentials, "admin login")
	r, j = s.job(t, taking, name, password)
	j.Related["admin"] = s.value(t, weak, weakPassword)
	_, err := r.Create(t.Context(), j)
	class(t, err, rotator.Permission, "may not")
	// What the page says that suffices does.
	s.exec(t, "CREATE DATABASE IF NOT EXISTS permission")
	t.Cleanup(func() { s.exec(t, "DROP DATABASE permission") })
	s.exec(t, "GRANT SELECT, INSERT ON permission.* TO "+at(name))
	s.exec(t, "GRANT CREATE USER ON *.* TO "+at(weak))
	s.exec(t, "GRANT SELECT ON mysql.* TO "+at(weak))
	r, j = s.job(t, withAdmin, name, password)
	j.Related["admin"] = s.value(t, weak, weakPassword)
	j = round(t, r, j)
	password = get(t, j.Current, "password")
	r, j = s.job(t, taking, name, password)
	j.Related["admin"] = s.value(t, weak, weakPassword)
	j = create(t, r, j)
	class(t, r.Set(t.Context(), j), rotator.Permission, "may not") // it cannot give what it has not
	ok(t, r.Undo(t.Context(), j))
	if left := s.accounts(t, name); len(left) != 1 {
		t.Errorf("there are %v", left)
	}
	s.exec(t, "GRANT SELECT, INSERT ON permission.* TO "+at(weak)+" WITH GRANT OPTION")
	j = round(t, r, j)
	ok(t, r.Retire(t.Context(), j))
	round(t, r, j)
}

func TestChangedOutside(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	s.exec(t, "ALTER USER "+at(name)+" IDENTIFIED BY 'by hand'")
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
	for i := range 10 {
		s.exec(t, fmt.Sprintf("GRANT SELECT ON d%d.* TO %s", i, at(name)))
	}
	r, j := s.job(t, taking, name, password)
	for i := range 25 {
		j := create(t, r, j)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
		err := r.Set(ctx, j)
		cancel()
		if err != nil && i%2 == 0 {
			ok(t, r.Set(t.Context(), j))
			ok(t, r.Test(t.Context(), j))
		}
		ok(t, r.Undo(t.Context(), j))
		if left := s.accounts(t, name); len(left) != 1 {
			t.Fatalf("after %d ms there are %v", i, left)
		}
	}
	// A lock keeps the statement waiting in the server until its time is over.
	conn, err := s.db.Conn(t.Context())
	ok(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "FLUSH TABLES WITH READ LOCK")
	ok(t, err)
	r, j = s.job(t, withAdmin, name, password)
	j = create(t, r, j)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	class(t, r.Set(ctx, j), rotator.Unreachable, "")
	time.Sleep(300 * time.Millisecond)
	_, err = conn.ExecContext(t.Context(), "UNLOCK TABLES")
	ok(t, err)
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
	sum := sha256.Sum256([]byte(word))
	conn, err := s.db.Conn(t.Context())
	ok(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), fmt.Sprintf("SELECT GET_LOCK('countersign %x', 60)", sum[:16]))
	ok(t, err)
	done := make(chan error, 1)
	begun := time.Now()
	go func() { done <- r.Undo(t.Context(), j) }()
	select {
	case err := <-done:
		t.Fatalf("the undo did not wait: %v", err)
	case <-time.After(time.Second):
	}
	_, err = conn.ExecContext(t.Context(), fmt.Sprintf("SELECT RELEASE_LOCK('countersign %x')", sum[:16]))
	ok(t, err)
	ok(t, <-done)
	if took := time.Since(begun); took >= database.HoldFor {
		t.Errorf("the undo took %v", took)
	}
}

func TestTLS(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	r := mysql.Kind().New(rotator.Env{Now: time.Now, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(s.host, s.port))
	}})
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
	p := rotatetest.NewProxy(t, net.JoinHostPort(s.host, s.port))
	p.Refuse()
	name, password := s.login(t, "")
	r, j := s.job(t, nil, name, password)
	j.Pending = value(t, "host", p.Host, "port", fmt.Sprint(p.Port), "username", "x", "password", "x")
	class(t, r.Test(t.Context(), j), rotator.Unreachable, "nothing accepts")
	j.Pending = s.value(t, "nobody", "wrong")
	class(t, r.Test(t.Context(), j), rotator.Credentials, "1045")
	j.Pending = s.value(t, name, password, "dbname", "not there")
	class(t, r.Test(t.Context(), j), rotator.Permission, "1044")
	s.exec(t, "ALTER USER "+at(name)+" ACCOUNT LOCK")
	j.Pending = s.value(t, name, password)
	class(t, r.Test(t.Context(), j), rotator.Credentials, "4151")
	// somebody without a name is not the user
	s.exec(t, "CREATE USER ''@'%'")
	defer s.exec(t, "DROP USER ''@'%'")
	j.Pending = value(t, "host", s.host, "port", s.port, "username", "nobody", "password", "x")
	if err := r.Test(t.Context(), j); err == nil {
		t.Error("a login that is nobody's passes")
	}
}

func TestCollision(t *testing.T) {
	s := real(t)
	name, password := s.login(t, "")
	r, j := s.job(t, taking, name, password)
	begun := create(t, r, j)
	s.exec(t, "CREATE USER "+at(name+"_clone")+" IDENTIFIED BY 'a stranger'")
	_, err := r.Create(t.Context(), j)
	class(t, err, rotator.Unsuitable, "there already")
	class(t, r.Set(t.Context(), begun), rotator.Unsuitable, "somebody has made")
	ok(t, r.Undo(t.Context(), begun))
	if !accepts(t, s.value(t, name+"_clone", "a stranger")) {
		t.Error("the stranger was touched")
	}
}

// TestAdministratorByRole: an account that has its privileges by a role, or by a role
// of a role, is an administrator too.
func TestAdministratorByRole(t *testing.T) {
	s := real(t)
	role, above := "r"+strings.ToLower(word()[:8]), "r"+strings.ToLower(word()[:8])
	for _, r := range []string{role, above} {
		s.exec(t, "CREATE ROLE "+r)
		t.Cleanup(func() { s.exec(t, "DROP ROLE "+r) })
	}
	s.exec(t, "GRANT "+role+" TO "+above)
	for _, grant := range []string{"SELECT ON shop.*", "CREATE USER ON *.*"} {
		s.exec(t, "GRANT "+grant+" TO "+role)
		for _, of := range []string{role, above} {
			name, password := s.login(t, "")
			s.exec(t, "GRANT "+of+" TO "+at(name))
			for _, mode := range []string{"single", "alternating"} {
				r, j := s.job(t, map[string]string{"admin": "db/admin", "mode": mode}, name, password)
				j = create(t, r, j)
				if err := r.Set(t.Context(), j); grant != "CREATE USER ON *.*" {
					ok(t, err)
				} else {
					class(t, err, rotator.Unsuitable, "administers")
				}
				ok(t, r.Undo(t.Context(), j))
			}
		}
	}
}
