package database_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/database"
	"countersign/internal/rotator/rotatetest"
)

// memory is a server that is a map of users. Its statements fail when told to.
type memory struct {
	mu     sync.Mutex
	users  map[string]user
	opened []database.Login
	broken bool
	fail   func(statement string) error
}

type user struct {
	password, mark string
	root           bool
}

func (m *memory) CheckUser(name string) error {
	if len(name) > 40 {
		return rotator.Fail(rotator.Unsuitable, nil, "too long")
	}
	return nil
}

func (m *memory) Open(ctx context.Context, l database.Login) (database.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened = append(m.opened, l)
	if m.broken {
		return nil, rotator.Fail(rotator.Unreachable, nil, "it does not answer")
	}
	if f := database.Explain(ctx, ctx.Err()); ctx.Err() != nil {
		return nil, f
	}
	if l.User == "panic" {
		var none []byte
		_ = none[:20]
	}
	if u, ok := m.users[l.User]; !ok || u.password != l.Password {
		return nil, rotator.Fail(rotator.Credentials, nil, "refused")
	}
	return &memorySession{m, l.User}, nil
}

type memorySession struct {
	m    *memory
	user string
}

func (s *memorySession) do(what string, f func() error) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.fail != nil {
		if err := s.m.fail(what); err != nil {
			return err
		}
	}
	return f()
}

func (s *memorySession) Close() {}

func (s *memorySession) put(name, password string) error {
	u, ok := s.m.users[name]
	if !ok {
		return rotator.Fail(rotator.Unsuitable, nil, "no such user")
	}
	u.password = password
	s.m.users[name] = u
	return nil
}

func (s *memorySession) SetOwn(_ context.Context, password string) error {
	return s.do("own", func() error { return s.put(s.user, password) })
}

func (s *memorySession) Set(_ context.Context, name, password string) error {
	return s.do("set", func() error {
		if s.m.users[name].root || !s.m.users[s.user].root {
			return rotator.Fail(rotator.Unsuitable, nil, "not through this login")
		}
		return s.put(name, password)
	})
}

func (s *memorySession) Hold(context.Context, string) {}

func (s *memorySession) Find(_ context.Context, p database.Pair) (found database.Found, err error) {
	err = s.do("find", func() error {
		switch u, ok := s.m.users[p.Name]; {
		case ok && u.mark == p.Mark+p.Like:
			found = database.Ours
		case ok:
			found = database.Strange
		}
		return nil
	})
	return found, err
}

func (s *memorySession) Clone(_ context.Context, p database.Pair) error {
	return s.do("clone", func() error {
		s.m.users[p.Name] = user{password: p.Password, mark: p.Mark + p.Like}
		return nil
	})
}

func (s *memorySession) Drop(_ context.Context, p database.Pair) error {
	return s.do("drop", func() error { delete(s.m.users, p.Name); return nil })
}

func kind(m *memory) rotator.Kind {
	return database.Kind(rotator.Kind{Name: "memory", Help: "a map"},
		database.Dialect{Engines: []string{"memory"}, Port: 1234, Database: "main"},
		func(rotator.Env) database.Engine { return m })
}

const (
	app   = `{"engine":"memory","host":"db","username":"app","password":"old-password","more":[1]}`
	admin = `{"engine":"memory","host":"DB.","port":"1234","username":"root","password":"root-password"}`
)

func fresh() *memory {
	return &memory{users: map[string]user{"app": {password: "old-password"}, "root": {password: "root-password", root: true}}}
}

func job(options map[string]string) rotator.Job {
	j := rotator.Job{Name: "db/app", ARN: "arn:1", Current: rotator.Text(app), Options: map[string]string{}, Related: map[string]rotator.Value{},
		Password: func() (string, error) { return rand.Text(), nil }}
	maps.Copy(j.Options, options)
	if j.Options["admin"] != "" {
		j.Related["admin"] = rotator.Text(admin)
	}
	return j
}

var (
	withAdmin = map[string]string{"admin": "db/admin"}
	taking    = map[string]string{"admin": "db/admin", "mode": "alternating"}
)

func TestSuite(t *testing.T) {
	for name, options := range map[string]map[string]string{"single": nil, "single-admin": withAdmin, "alternating": taking} {
		t.Run(name, func(t *testing.T) {
			rotatetest.Run(t, func(t *testing.T) *rotatetest.Target {
				m := fresh()
				k := kind(m)
				return &rotatetest.Target{Kind: k, Rotator: k.New(rotator.Env{}), Job: job(options),
					Accepts: func(t *testing.T, v rotator.Value) bool {
						o, err := rotator.ParseObject(v)
						return err == nil && m.users[o.Get("username")].password == o.Get("password") && o.Get("password") != ""
					},
					State: func(*testing.T) string { return strings.Join(slices.Sorted(maps.Keys(m.users)), " ") },
					Break: func(*testing.T) { m.broken = true }}
			})
		})
	}
}

func class(t *testing.T, err error, want rotator.Class, says string) {
	t.Helper()
	got, msg := rotator.Why(err)
	if err == nil || got != want || !strings.Contains(msg, says) {
		t.Errorf("got %s, %q; want %s with %q", got, msg, want, says)
	}
}

func with(t *testing.T, v string, member string, to any) rotator.Value {
	t.Helper()
	o := map[string]any{}
	if err := json.Unmarshal([]byte(v), &o); err != nil {
		t.Fatal(err)
	}
	if o[member] = to; to == nil {
		delete(o, member)
	}
	out, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return rotator.Text(string(out))
}

// TestHostile gives values that are made to reach something else. Nobody is dialled.
func TestHostile(t *testing.T) {
	for _, tt := range []struct {
		member string
		to     any
		says   string
	}{
		{"host", "db,evil", "host"}, {"host", "db evil", "host"}, {"host", "db?sslmode=disable", "host"}, {"host", "db:5433", "host"},
		{"host", "u@db", "host"}, {"host", "db/x", "host"}, {"host", "db)/x", "host"}, {"host", "db\n", "host"}, {"host", "-db", "host"},
		{"host", "fe80::1%eth0", "host"}, {"host", "[::1]", "host"}, {"host", strings.Repeat("a", 254), "host"}, {"host", "db' options='-c x", "host"},
		{"host", "/var/run/postgresql", "Unix socket"}, {"host", "@abstract", "Unix socket"}, {"host", "", `"host"`}, {"host", nil, `"host"`}, {"host", []string{"db"}, `"host"`},
		{"host", "other", "different hosts"}, {"port", 1235, "different hosts"},
		{"port", "x", "port"}, {"port", 0, "port"}, {"port", 65536, "port"}, {"port", -1, "port"}, {"port", 1.5, "port"}, {"port", "1234,5", "port"},
		{"username", "a\nb", "username"}, {"username", "a\x00b", "username"}, {"username", "", "username"}, {"username", nil, "username"},
		{"password", "", "password"}, {"password", nil, "password"}, {"password", "a\x00b", "NUL"},
		{"dbname", "a\x00b", "dbname"}, {"database", "a\x1bb", "dbname"},
		{"engine", "oracle", "engine"},
		{"username", strings.Repeat("a", 41), "too long"}, {"username", strings.Repeat("a", 40), "too long"},
	} {
		m := fresh()
		r := kind(m).New(rotator.Env{})
		j := job(taking)
		j.Current = with(t, app, tt.member, tt.to)
		_, err := r.Create(t.Context(), j)
		class(t, err, rotator.Unsuitable, tt.says)
		if s, ok := tt.to.(string); ok && len(s) > 3 && strings.Contains(err.Error(), s) {
			t.Errorf("%q stands in the failure", s)
		}
		j.Current = rotator.Text(app)
		j.Pending = with(t, app, tt.member, tt.to)
		j.Note = "the user is not there"
		if tt.says != "too long" {
			class(t, r.Set(t.Context(), j), rotator.Unsuitable, tt.says)
			class(t, r.Test(t.Context(), j), rotator.Unsuitable, tt.says)
			class(t, r.Undo(t.Context(), j), rotator.Unsuitable, tt.says)
		}
		if len(m.opened) > 0 {
			t.Errorf("%s %q: a server was reached", tt.member, tt.to)
		}
	}
}

func TestAddresses(t *testing.T) {
	for host, address := range map[string]string{"db_1.example.com.": "db_1.example.com.:1234", "::1": "[::1]:1234", "10.0.0.1": "10.0.0.1:1234"} {
		m := fresh()
		j := job(nil)
		j.Pending = with(t, app, "host", host)
		if err := kind(m).New(rotator.Env{}).Test(t.Context(), j); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		l := m.opened[0]
		if l.Address() != address || l.Database != "main" || !l.Proved || l.TLS.ServerName != strings.TrimSuffix(host, ".") {
			t.Errorf("%s: dialled %s", host, l.Address())
		}
	}
}

func TestTLS(t *testing.T) {
	m := fresh()
	r := kind(m).New(rotator.Env{})
	j := job(map[string]string{"tls": "disable"})
	j.Pending = j.Current
	if err := r.Test(t.Context(), j); err != nil || m.opened[0].TLS != nil || m.opened[0].Proved {
		t.Error("disable", err)
	}
	j.Options["tls"] = "require"
	if err := r.Test(t.Context(), j); err != nil || m.opened[1].TLS == nil || !m.opened[1].TLS.InsecureSkipVerify || m.opened[1].Proved {
		t.Error("require", err)
	}
	j.Options = map[string]string{"tls_ca": "ca"}
	j.Related["tls_ca"] = rotator.Text("no certificate")
	class(t, r.Test(t.Context(), j), rotator.Unsuitable, "tls_ca")
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		options map[string]string
		field   string
	}{
		{map[string]string{"mode": "both"}, "mode"},
		{map[string]string{"mode": "alternating"}, "admin"},
		{map[string]string{"clone_suffix": "_b"}, "clone_suffix"},
		{map[string]string{"mode": "alternating", "admin": "a", "clone_suffix": `"; --`}, "clone_suffix"},
		{map[string]string{"mode": "alternating", "admin": "a", "clone_suffix": strings.Repeat("a", 21)}, "clone_suffix"},
		{map[string]string{"tls": "prefer"}, "tls"},
		{map[string]string{"tls": "require", "tls_ca": "ca"}, "tls_ca"},
		{map[string]string{"tls": "disable", "tls_ca": "ca"}, "tls_ca"},
	} {
		err := kind(fresh()).Check(tt.options)
		if e := errs.As(err); e == nil || e.Kind != errs.Invalid || e.Field != tt.field {
			t.Errorf("%v: %v", tt.options, err)
		}
	}
	for _, options := range []map[string]string{nil, {"mode": "single"}, {"mode": "alternating", "admin": "a", "clone_suffix": ".b-2_"}, {"tls": "verify-full", "tls_ca": "ca"}} {
		if err := kind(fresh()).Check(options); err != nil {
			t.Errorf("%v: %v", options, err)
		}
	}
	if f := kind(fresh()).FateOf; f(nil) != rotator.Replaced || f(taking) != rotator.Kept {
		t.Error("fate")
	}
}

func create(t *testing.T, r rotator.Rotator, j rotator.Job) rotator.Job {
	t.Helper()
	made, err := r.Create(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	j.Pending, j.Note = made.Value, made.Note
	return j
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// round is a whole rotation but for Retire.
func round(t *testing.T, r rotator.Rotator, j rotator.Job) rotator.Job {
	t.Helper()
	j = create(t, r, j)
	ok(t, r.Set(t.Context(), j))
	ok(t, r.Test(t.Context(), j))
	j.Current, j.Previous, j.Pending, j.Note = j.Pending, j.Current, rotator.Value{}, ""
	return j
}

func TestChangedOutside(t *testing.T) {
	m := fresh()
	r := kind(m).New(rotator.Env{})
	j := create(t, r, job(nil))
	m.users["app"] = user{password: "changed by hand"}
	class(t, r.Set(t.Context(), j), rotator.Credentials, "no password that the secret has")
	class(t, r.Undo(t.Context(), j), rotator.Credentials, "no password that the secret has")
	j.Previous = with(t, app, "password", "changed by hand") // somebody took a version back
	ok(t, r.Set(t.Context(), j))
	ok(t, r.Test(t.Context(), j))
	m.users["app"] = user{password: "changed by hand"}
	j.Previous, j.Options, j.Related["admin"] = rotator.Value{}, withAdmin, rotator.Text(admin)
	ok(t, r.Set(t.Context(), j))
	ok(t, r.Test(t.Context(), j))
	ok(t, r.Undo(t.Context(), j))
	if m.users["app"].password != "old-password" {
		t.Error("undo")
	}
}

func TestAdmin(t *testing.T) {
	m := fresh()
	r := kind(m).New(rotator.Env{})
	j := job(taking)
	j.Related["admin"] = with(t, admin, "password", "wrong")
	_, err := r.Create(t.Context(), j)
	class(t, err, rotator.Credentials, "admin login")
	j.Related["admin"] = rotator.Text("")
	_, err = r.Create(t.Context(), j)
	class(t, err, rotator.Unsuitable, "admin secret is empty")
	j.Options = map[string]string{"mode": "alternating"}
	_, err = r.Create(t.Context(), j)
	class(t, err, rotator.Unsuitable, "needs an admin")
	j = create(t, r, job(withAdmin))
	j.Related["admin"] = with(t, admin, "host", "evil")
	m.opened = nil
	class(t, r.Set(t.Context(), j), rotator.Unsuitable, "different hosts")
	if len(m.opened) > 0 {
		t.Error("a server was reached")
	}
}

func TestPanic(t *testing.T) {
	j := job(nil)
	j.Pending = with(t, app, "username", "panic")
	class(t, kind(fresh()).New(rotator.Env{}).Test(t.Context(), j), rotator.Rejected, "protocol")
}

// TestCollision has a user of the name that the other of the pair would have.
func TestCollision(t *testing.T) {
	m := fresh()
	r := kind(m).New(rotator.Env{})
	j := create(t, r, job(taking))
	m.users["app_clone"] = user{password: "a stranger's"}
	class(t, r.Set(t.Context(), j), rotator.Unsuitable, "somebody has made")
	ok(t, r.Undo(t.Context(), j))
	_, err := r.Create(t.Context(), job(taking))
	class(t, err, rotator.Unsuitable, "there already")
	if m.users["app_clone"].password != "a stranger's" {
		t.Error("the stranger was touched")
	}
	// one that another secret made is a stranger's too
	m.users["app_clone"] = user{password: "x", mark: "countersign: the other user of a pair of arn:2app"}
	_, err = r.Create(t.Context(), job(taking))
	class(t, err, rotator.Unsuitable, "there already")
	// and one that this secret made is not, though no version names it
	m = fresh()
	r = kind(m).New(rotator.Env{})
	j = round(t, r, job(taking))
	j.Previous = rotator.Value{}
	j = create(t, r, j)
	ok(t, r.Set(t.Context(), j))
	ok(t, r.Test(t.Context(), j))
	j.Current, j.Pending, j.Previous = j.Pending, rotator.Value{}, rotator.Value{}
	j = create(t, r, j)
	ok(t, r.Set(t.Context(), j))
}

// TestBefore holds that Undo opens the previous value again only where it was open.
func TestBefore(t *testing.T) {
	for _, retired := range []bool{false, true} {
		m := fresh()
		r := kind(m).New(rotator.Env{})
		j := round(t, r, job(taking))
		if retired {
			ok(t, r.Retire(t.Context(), j))
		}
		j = create(t, r, j)
		ok(t, r.Set(t.Context(), j))
		ok(t, r.Undo(t.Context(), j))
		if open := m.users["app"].password == "old-password"; open == retired {
			t.Errorf("retired %t: the previous value is accepted: %t", retired, open)
		}
	}
}

// TestGone drops the other user meanwhile.
func TestGone(t *testing.T) {
	m := fresh()
	r := kind(m).New(rotator.Env{})
	j := round(t, r, job(taking))
	delete(m.users, "app")
	ok(t, r.Retire(t.Context(), j))
	m.users["app"] = user{password: "old-password"}
	j = create(t, r, j)
	delete(m.users, "app")
	class(t, r.Set(t.Context(), j), rotator.Unsuitable, "dropped")
	ok(t, r.Undo(t.Context(), j))
	j.Pending = rotator.Value{}
	ok(t, r.Undo(t.Context(), j))
	j = round(t, r, j) // makes it again
	if m.users["app"].password == "" {
		t.Error("the user was not made again")
	}
}

// TestOther has something else made current by hand.
func TestOther(t *testing.T) {
	m := fresh()
	r := kind(m).New(rotator.Env{})
	j := create(t, r, job(taking))
	ok(t, r.Set(t.Context(), j))
	j.Current = j.Pending
	class(t, r.Set(t.Context(), j), rotator.Unsuitable, "has become")
	ok(t, r.Undo(t.Context(), j)) // the user is current: it is not dropped
	ok(t, r.Test(t.Context(), j))
	class(t, r.Retire(t.Context(), func() rotator.Job { k := j; k.Previous = with(t, app, "username", "root"); return k }()), rotator.Unsuitable, "not the other")
	if m.users["root"].password != "root-password" {
		t.Error("a stranger was touched")
	}
	for _, options := range []map[string]string{nil, withAdmin} {
		m = fresh()
		m.users["b"] = user{password: "of b"}
		r = kind(m).New(rotator.Env{})
		j = create(t, r, job(options))
		ok(t, r.Set(t.Context(), j))
		j.Previous, j.Current = j.Current, with(t, string(with(t, app, "username", "b").Data.Reveal()), "password", "of b")
		ok(t, r.Undo(t.Context(), j))
		ok(t, r.Undo(t.Context(), j))
		if m.users["app"].password != "old-password" || m.users["b"].password != "of b" {
			t.Error("the login that was taken back is not what it was")
		}
	}
}

func TestUsername(t *testing.T) {
	r := kind(fresh()).New(rotator.Env{})
	_, err := r.Create(t.Context(), job(map[string]string{"username": "app2"}))
	class(t, err, rotator.Unsuitable, "option username")
	j := job(taking)
	j.Options = maps.Clone(taking)
	j.Options["username"] = "app"
	j = round(t, r, j)
	j = round(t, r, j)
	ok(t, r.Retire(t.Context(), j))
}

// TestFailures has each statement fail: nothing is swallowed.
func TestFailures(t *testing.T) {
	for _, what := range []string{"own", "set", "find", "clone", "drop"} {
		m := fresh()
		r := kind(m).New(rotator.Env{})
		m.fail = func(s string) error {
			if s == what {
				return rotator.Fail(rotator.Permission, nil, "may not %s", s)
			}
			return nil
		}
		var list []error
		for _, options := range []map[string]string{nil, withAdmin, taking} {
			j := job(options)
			made, err := r.Create(t.Context(), j)
			if list = append(list, err); err != nil {
				continue
			}
			j.Pending, j.Note = made.Value, made.Note
			list = append(list, r.Set(t.Context(), j), r.Undo(t.Context(), j))
		}
		if err := errors.Join(list...); err == nil || !strings.Contains(err.Error(), "may not "+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestExplain(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		ctx  context.Context
		err  error
		want rotator.Class
	}{
		{t.Context(), fmt.Errorf("x: %w", context.DeadlineExceeded), rotator.Unreachable},
		{done, errors.New("x"), rotator.Unreachable},
		{t.Context(), &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, rotator.Unreachable},
		{t.Context(), &net.DNSError{Name: "db"}, rotator.Unreachable},
		{t.Context(), net.ErrClosed, rotator.Unreachable},
		{t.Context(), x509.HostnameError{Host: "db"}, rotator.Unsuitable},
		{t.Context(), fmt.Errorf("x: %w", x509.UnknownAuthorityError{}), rotator.Unsuitable},
		{t.Context(), rotator.Fail(rotator.Permission, nil, "x"), rotator.Permission},
	} {
		if f := database.Explain(tt.ctx, tt.err); f == nil || f.Class != tt.want {
			t.Errorf("%v: %v", tt.err, f)
		}
	}
	if f := database.Explain(t.Context(), errors.New("x")); f != nil {
		t.Errorf("an unknown error became %v", f)
	}
	refusing := rotator.Env{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("not public") }}
	_, err := database.Dial(t.Context(), refusing, database.Login{Host: "db", Port: 1})
	class(t, err, rotator.Unreachable, "configuration")
}
