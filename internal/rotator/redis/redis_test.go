package redis

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/rotatetest"
)

const (
	value = `{"engine":"redis","host":"Redis.internal","port":6379,"username":"app","password":"old-password","db":"5"}`
	admin = `{"host":"redis.internal","password":"admin-password"}`
)

// job is a rotation of the user app, by itself or, when it is not "", by an admin.
func job(by string, options ...string) rotator.Job {
	j := rotator.Job{Name: "redis/app", Options: map[string]string{"tls": "disable"}, Current: rotator.Text(value),
		Password: func() (string, error) { return rand.Text(), nil }}
	for i := 0; i+1 < len(options); i += 2 {
		j.Options[options[i]] = options[i+1]
	}
	if by != "" {
		j.Options["admin"] = "redis/admin"
		j.Related = map[string]rotator.Value{"admin": rotator.Text(by)}
	}
	return j
}

func with(t *testing.T, v rotator.Value, members ...string) rotator.Value {
	t.Helper()
	o, err := rotator.ParseObject(v)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(members); i += 2 {
		o.Set(members[i], members[i+1])
	}
	return o.Value()
}

func (f *fake) rotator() rotator.Rotator { return Kind().New(rotator.Env{Dial: f.Dial}) }

// created is the job after Create.
func created(t *testing.T, f *fake, j rotator.Job) rotator.Job {
	t.Helper()
	made, err := f.rotator().Create(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	j.Pending, j.Note = made.Value, made.Note
	return j
}

func password(t *testing.T, v rotator.Value) string {
	t.Helper()
	l, err := needLogin(v)
	if err != nil {
		t.Fatal(err)
	}
	return l.password
}

func TestSuite(t *testing.T) {
	for name, tt := range map[string]struct {
		by      string
		options []string
	}{
		"self": {"", nil}, "admin": {admin, nil}, "file": {admin, []string{"save", "file"}},
	} {
		t.Run(name, func(t *testing.T) {
			rotatetest.Run(t, func(t *testing.T) *rotatetest.Target {
				f := newFake(t)
				f.file = map[string][]string{}
				target := &rotatetest.Target{Kind: Kind(), Rotator: f.rotator(), Job: job(tt.by, tt.options...),
					Accepts: func(t *testing.T, v rotator.Value) bool { return f.has("app", password(t, v)) },
					State:   func(*testing.T) string { return f.state() },
				}
				if name == "self" { // waiting for nothing is the same for all, and takes its time
					target.Break = func(*testing.T) { f.mu.Lock(); f.down = true; f.mu.Unlock() }
				}
				return target
			})
		})
	}
}

func TestCreate(t *testing.T) {
	f := newFake(t)
	made, err := f.rotator().Create(t.Context(), job(admin))
	if err != nil {
		t.Fatal(err)
	}
	got := string(made.Value.Data.Reveal())
	if !strings.HasPrefix(got, `{"engine":"redis","host":"Redis.internal","port":6379,"username":"app","password":"`) || !strings.HasSuffix(got, `,"db":"5"}`) {
		t.Errorf("the other members did not stay")
	}
	if len(f.dials) != 0 {
		t.Error("creating looked at the server")
	}
	for name, tt := range map[string]struct {
		current, by, why string
	}{
		"empty":           {"", admin, "no value yet"},
		"no-host":         {`{"username":"app"}`, admin, `"host"`},
		"bad-host":        {`{"host":"a b","username":"app"}`, admin, `"host"`},
		"no-user":         {`{"host":"redis.internal"}`, admin, `"username"`},
		"bad-user":        {`{"host":"redis.internal","user":"a b"}`, admin, `"user"`},
		"bad-port":        {`{"host":"redis.internal","username":"app","port":"0x10"}`, admin, `"port"`},
		"null-port":       {`{"host":"redis.internal","username":"app","port":null}`, admin, `"port"`},
		"bad-db":          {`{"host":"redis.internal","username":"app","db":"hunter2"}`, admin, `"db"`},
		"no-password":     {`{"host":"redis.internal","username":"app"}`, "", `"password"`},
		"other-host":      {value, `{"host":"other.internal","password":"hunter2"}`, "another host or port"},
		"other-port":      {value, `{"host":"redis.internal","port":6380,"password":"hunter2"}`, "another host or port"},
		"admin-text":      {value, `hunter2`, "the secret of the admin"},
		"admin-host":      {value, `{"password":"hunter2"}`, "the secret of the admin: its value has no member"},
		"admin-password":  {value, `{"host":"redis.internal"}`, "the secret of the admin: its value has no member"},
		"twice":           {`{"host":"a","host":"b"}`, admin, "twice"},
		"far-too-long":    {`{"host":"redis.internal","username":"app","x":"` + strings.Repeat("x", rotator.MaxValue) + `"}`, admin, "at most"},
		"no-admin-at-all": {value, " ", "the secret of the admin"},
	} {
		j := job(tt.by)
		j.Current = rotator.Text(tt.current)
		_, err := f.rotator().Create(t.Context(), j)
		if class, msg := rotator.Why(err); class != rotator.Unsuitable || !strings.Contains(msg, tt.why) || strings.Contains(msg, "hunter2") {
			t.Errorf("%s: %s, %v", name, class, err)
		}
	}
	j := job(admin)
	j.Current = rotator.Text(`{"host":"redis.internal","username":"app"}`)
	if _, err := f.rotator().Create(t.Context(), j); err != nil {
		t.Errorf("a first password, by an admin: %v", err)
	}
	j.Related = nil
	if _, err := f.rotator().Create(t.Context(), j); err == nil || !strings.Contains(err.Error(), "has no value") {
		t.Errorf("an admin without a value: %v", err)
	}
	j = job("")
	j.Password = func() (string, error) { return "", context.DeadlineExceeded }
	if _, err := f.rotator().Create(t.Context(), j); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a password: %v", err)
	}
}

// A first password: there is none that Undo could bring back.
func TestFirst(t *testing.T) {
	f := newFake(t)
	f.users["app"].hashes = nil
	j := job(admin)
	j.Current = rotator.Text(`{"host":"redis.internal","username":"app"}`)
	j = created(t, f, j)
	r := f.rotator()
	if err := errors.Join(r.Set(t.Context(), j), r.Test(t.Context(), j)); err != nil || len(f.users["app"].hashes) != 1 {
		t.Fatal(err)
	}
	if err := r.Undo(t.Context(), j); err != nil || len(f.users["app"].hashes) != 0 {
		t.Fatal(err)
	}
	if err := r.Set(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	j.Current, j.Previous = j.Pending, j.Current
	if err := r.Retire(t.Context(), j); err != nil || len(f.users["app"].hashes) != 1 {
		t.Errorf("the only password: %v", err)
	}
}

func TestOnlyHashes(t *testing.T) {
	f := newFake(t)
	j := created(t, f, job(admin))
	r := f.rotator()
	if err := errors.Join(r.Set(t.Context(), j), r.Test(t.Context(), j), r.Undo(t.Context(), j), r.Set(t.Context(), j)); err != nil {
		t.Fatal(err)
	}
	done := j
	done.Current, done.Previous, done.Pending = j.Pending, j.Current, rotator.Value{}
	if err := r.Retire(t.Context(), done); err != nil {
		t.Fatal(err)
	}
	sent := strings.Join(f.commands, "\n")
	for _, p := range []string{"old-password", "admin-password", password(t, j.Pending)} {
		if strings.Contains(sent, p) {
			t.Error("a password was sent outside a login")
		}
	}
	if !strings.Contains(sent, "ACL SETUSER app #"+sum(password(t, j.Pending))) || !strings.Contains(sent, "ACL SETUSER app !"+sum("old-password")) {
		t.Errorf("sent\n%s", sent)
	}
	if slices.ContainsFunc(f.dials, func(a string) bool { return !strings.EqualFold(a, "redis.internal:6379") }) {
		t.Errorf("dialled %v", f.dials)
	}
}

func TestUsers(t *testing.T) {
	for name, tt := range map[string]struct {
		alter func(f *fake)
		by    string
		class rotator.Class
	}{
		"no-user":       {func(f *fake) { delete(f.users, "app") }, admin, rotator.Unsuitable},
		"no-user-self":  {func(f *fake) { delete(f.users, "app") }, "", rotator.Credentials},
		"nopass":        {func(f *fake) { f.users["app"].nopass = true }, admin, rotator.Unsuitable},
		"off":           {func(f *fake) { f.users["app"].on = false }, admin, rotator.Unsuitable},
		"changed":       {func(f *fake) { f.users["app"].hashes = []string{sum("other")} }, "", rotator.Credentials},
		"admin-changed": {func(f *fake) { f.users["default"].hashes = nil }, admin, rotator.Credentials},
		"no-getuser":    {func(f *fake) { f.users["app"].may = []string{} }, "", rotator.Permission},
		"no-setuser":    {func(f *fake) { f.users["app"].may = []string{"ACL GETUSER"} }, "", rotator.Permission},
		"no-save":       {func(f *fake) { f.users["default"].may = []string{"ACL GETUSER", "ACL SETUSER"} }, admin, rotator.Permission},
	} {
		f := newFake(t)
		f.file = map[string][]string{}
		tt.alter(f)
		was := f.state()
		j := created(t, f, job(tt.by, "save", "file"))
		err := f.rotator().Set(t.Context(), j)
		if class, msg := rotator.Why(err); class != tt.class {
			t.Errorf("%s: %s, %s", name, class, msg)
		}
		if is := f.state(); is != was && name != "no-save" {
			t.Errorf("%s: it was\n%s\nand is\n%s", name, was, is)
		}
	}
}

func TestAdministers(t *testing.T) {
	for rules, want := range map[string]bool{
		"-@all": false, "": false, "+@all": true, "allcommands": true, "+@all nocommands": false, "+@all -@dangerous": false, "+@all -@admin": false,
		"-@all +@read +acl|whoami": false, "-@all +acl": true, "-@all +ACL|SETUSER": true, "+@all -@dangerous +config|get": false, "+@all -@dangerous +config|set": true,
		"+@all -acl": true, "+@all -acl -config -module": false, "-@all +@slow": true, "-@all +module|load": true, "+@all -@admin +@dangerous": true, "+": false,
	} {
		if got := administers(rules); got != want {
			t.Errorf("%q: %t", rules, got)
		}
	}
}

// Who may write the value must not get at an administrator through the admin.
func TestEntrust(t *testing.T) {
	for name, tt := range map[string]struct {
		alter   func(*fake)
		by      string
		options []string
		ok      bool
	}{
		"narrow":        {func(*fake) {}, admin, nil, true},
		"administrator": {func(f *fake) { f.users["app"].rules = "+@all" }, admin, nil, false},
		"by-a-selector": {func(f *fake) { f.users["app"].selector = "+acl" }, admin, nil, false},
		"named":         {func(f *fake) { f.users["app"].rules = "+@all" }, admin, []string{"username", "app"}, true},
		"itself":        {func(f *fake) { f.users["app"].rules = "+@all" }, "", nil, true},
	} {
		f := newFake(t)
		tt.alter(f)
		j := created(t, f, job(tt.by, tt.options...))
		err := f.rotator().Set(t.Context(), j)
		if class, msg := rotator.Why(err); err == nil != tt.ok || !tt.ok && (class != rotator.Unsuitable || !strings.Contains(msg, "administers")) {
			t.Errorf("%s: set: %s, %s", name, class, msg)
		}
		// A current value that somebody writes meanwhile, for Undo to make good.
		j.Current = with(t, j.Current, "password", "chosen-by-hand")
		err = f.rotator().Undo(t.Context(), j)
		if got := f.has("app", "chosen-by-hand"); got != tt.ok || err == nil != tt.ok {
			t.Errorf("%s: undo gave the password: %t, %v", name, got, err)
		}
	}
	f := newFake(t)
	j := job(admin, "username", "web")
	if class, _ := rotator.Why(func() error { _, err := f.rotator().Create(t.Context(), j); return err }()); class != rotator.Unsuitable {
		t.Errorf("another user than the one that is named: %s", class)
	}
}

func TestSave(t *testing.T) {
	f := newFake(t)
	j := created(t, f, job(admin, "save", "file"))
	r := f.rotator()
	if class, msg := rotator.Why(r.Set(t.Context(), j)); class != rotator.Unsuitable || !strings.Contains(msg, "ACL file") {
		t.Errorf("without a file: %s, %s", class, msg)
	}
	if err := r.Undo(t.Context(), j); err != nil || f.has("app", password(t, j.Pending)) {
		t.Errorf("what a server without a file was given is not taken back: %v", err)
	}
	f.file = map[string][]string{}
	if err := r.Set(t.Context(), j); err != nil || !slices.Contains(f.file["app"], sum(password(t, j.Pending))) {
		t.Errorf("not saved: %v", err)
	}
	f.file["app"] = nil // as if killed in between
	if err := r.Set(t.Context(), j); err != nil || len(f.file["app"]) != 2 {
		t.Errorf("not saved when called again: %v", err)
	}
	if err := r.Undo(t.Context(), j); err != nil || len(f.file["app"]) != 1 {
		t.Errorf("not saved when taken back: %v", err)
	}
	f.reply = func(args []string) string {
		if args[0] == "ACL" && args[1] == "SAVE" {
			return "-ERR There was an error trying to save the ACLs. Please check the server logs for more information\r\n"
		}
		return ""
	}
	for _, err := range []error{r.Set(t.Context(), j), r.Undo(t.Context(), j)} {
		if class, msg := rotator.Why(err); class != rotator.Rejected {
			t.Errorf("a disk that is full: %s, %s", class, msg)
		}
	}
}

// The current value was written anew while a rotation was under way.
func TestUndoOther(t *testing.T) {
	for _, by := range []string{"", admin} {
		f := newFake(t)
		f.users["web"] = &fakeUser{on: true, hashes: []string{sum("web-password")}, rules: "+@read"}
		j := created(t, f, job(by))
		r := f.rotator()
		if err := r.Set(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		j.Current = with(t, j.Current, "username", "web", "password", "web-password")
		if err := r.Set(t.Context(), j); err == nil {
			t.Error("the pending password of another user was set")
		}
		for range 2 {
			if err := r.Undo(t.Context(), j); err != nil {
				t.Fatalf("%q: %v", by, err)
			}
		}
		if f.has("app", password(t, j.Pending)) || !f.has("web", "web-password") || f.has("web", "old-password") || !f.has("app", "old-password") {
			t.Errorf("%q: left behind\n%s", by, f.state())
		}
		delete(f.users, "app")
		if err := r.Undo(t.Context(), j); err != nil {
			t.Errorf("%q: the user is gone: %v", by, err)
		}
	}
	// The password was chosen by hand, the server has it not, and only the previous login is left.
	f := newFake(t)
	j := created(t, f, job(""))
	j.Previous, j.Current = j.Current, with(t, j.Current, "password", "chosen-by-hand")
	if err := f.rotator().Undo(t.Context(), j); err != nil || !f.has("app", "chosen-by-hand") {
		t.Errorf("the chosen password is not accepted: %v", err)
	}
	// nopass stays what it is
	f = newFake(t)
	f.users["app"].nopass = true
	if err := f.rotator().Undo(t.Context(), created(t, f, job(admin))); err != nil || !f.users["app"].nopass {
		t.Errorf("a user without a password got one: %v", err)
	}
	// what is pending is no value
	f = newFake(t)
	j = job(admin)
	j.Pending = rotator.Text("text")
	if err := f.rotator().Undo(t.Context(), j); err != nil {
		t.Error(err)
	}
}

func TestRetire(t *testing.T) {
	f := newFake(t)
	j := job(admin)
	r := f.rotator()
	for name, tt := range map[string]struct {
		previous rotator.Value
		ok       bool
	}{
		"none":       {rotator.Value{}, true},
		"the-same":   {j.Current, true},
		"absent":     {with(t, j.Current, "password", "unknown"), true},
		"other-user": {with(t, j.Current, "username", "web"), false},
		"other-host": {with(t, j.Current, "host", "elsewhere"), false},
		"text":       {rotator.Text("text"), false},
	} {
		j.Previous = tt.previous
		err := r.Retire(t.Context(), j)
		if class, msg := rotator.Why(err); tt.ok != (err == nil) || !tt.ok && class != rotator.Unsuitable {
			t.Errorf("%s: %s, %s", name, class, msg)
		}
		if !f.has("app", "old-password") {
			t.Fatalf("%s: the current password was removed", name)
		}
	}
}

func TestReplies(t *testing.T) {
	for name, tt := range map[string]struct {
		command, reply string
		class          rotator.Class
	}{
		"loading":        {"AUTH", "-LOADING Redis is loading the dataset in memory\r\n", rotator.Unreachable},
		"clients":        {"AUTH", "-ERR max number of clients reached\r\n", rotator.Unreachable},
		"protected":      {"AUTH", "-DENIED Redis is running in protected mode\r\n", rotator.Rejected},
		"redis-5":        {"AUTH", "-ERR wrong number of arguments for 'auth' command\r\n", rotator.Unsuitable},
		"no-acl":         {"ACL", "-ERR unknown command `ACL`, with args beginning with: `hunter2`\r\n", rotator.Unsuitable},
		"quoting":        {"ACL", "-HUNTER2 hunter2\r\n", rotator.Rejected},
		"http":           {"AUTH", "HTTP/1.1 400 hunter2\r\n", rotator.Unsuitable},
		"huge":           {"AUTH", "$9223372036854775807\r\n", rotator.Unsuitable},
		"many":           {"ACL", "*1000000000\r\n", rotator.Unsuitable},
		"long":           {"ACL", "+" + strings.Repeat("x", 1<<16) + "\r\n", rotator.Unsuitable},
		"deep":           {"ACL", strings.Repeat("*1\r\n", 100), rotator.Unsuitable},
		"number":         {"ACL", ":1\r\n", rotator.Unsuitable},
		"odd-array":      {"ACL", "*1\r\n$5\r\nflags\r\n", rotator.Unsuitable},
		"flags-no-list":  {"ACL", "*4\r\n$5\r\nflags\r\n:1\r\n$9\r\npasswords\r\n*0\r\n", rotator.Unsuitable},
		"flags-no-texts": {"ACL", "*4\r\n$5\r\nflags\r\n*1\r\n:1\r\n$9\r\npasswords\r\n*0\r\n", rotator.Unsuitable},
		"nothing":        {"ACL", "*-1\r\n", rotator.Unsuitable},
	} {
		f := newFake(t)
		j := created(t, f, job(admin))
		f.reply = func(args []string) string {
			if args[0] == tt.command {
				return tt.reply
			}
			return ""
		}
		err := f.rotator().Set(t.Context(), j)
		class, msg := rotator.Why(err)
		if class != tt.class || strings.Contains(strings.ToLower(msg), "hunter2") || strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("%s: %s, %s", name, class, msg)
		}
		if cause := errors.Unwrap(err); cause != nil && strings.Contains(strings.ToLower(cause.Error()), "hunter2") {
			t.Errorf("%s: the cause quotes the server", name)
		}
	}
}

func TestDatabase(t *testing.T) {
	f := newFake(t)
	r := f.rotator()
	j := job("")
	for db, class := range map[string]rotator.Class{"5": "", "": "", "6": rotator.Unsuitable} {
		j.Pending = with(t, j.Current, "db", db)
		err := r.Test(t.Context(), j)
		if got, msg := rotator.Why(err); err == nil != (class == "") || err != nil && got != class {
			t.Errorf("database %q: %s, %s", db, got, msg)
		}
	}
	f.users["app"].may = []string{}
	j.Pending = j.Current
	if err := r.Test(t.Context(), j); err != nil {
		t.Errorf("a user that may only log in: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		field   string
		options map[string]string
	}{
		{"", nil},
		{"", map[string]string{"tls": "verify-full", "tls_ca": "x", "save": "file"}},
		{"", map[string]string{"tls": "require", "save": "none"}},
		{"tls", map[string]string{"tls": "on"}},
		{"tls_ca", map[string]string{"tls": "require", "tls_ca": "x"}},
		{"save", map[string]string{"save": "config"}},
		{"username", map[string]string{"username": "a b"}},
	} {
		err := Kind().Check(tt.options)
		if tt.field == "" && err != nil || tt.field != "" && (!errs.Is(err, errs.Invalid) || errs.As(err).Field != tt.field) {
			t.Errorf("%v: %v", tt.options, err)
		}
	}
}

func TestDial(t *testing.T) {
	j := job("")
	j.Pending = j.Current
	for name, tt := range map[string]struct {
		err   error
		class rotator.Class
	}{
		"refused": {errors.New("connection refused: hunter2"), rotator.Unreachable},
		"denied":  {rotator.Fail(rotator.Unsuitable, nil, "targets may not be there"), rotator.Unsuitable},
	} {
		r := Kind().New(rotator.Env{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, tt.err }})
		if class, msg := rotator.Why(r.Test(t.Context(), j)); class != tt.class || strings.Contains(msg, "hunter2") {
			t.Errorf("%s: %s, %s", name, class, msg)
		}
	}
	plain := Kind().New(rotator.Env{Dial: func(context.Context, string, string) (net.Conn, error) {
		a, b := net.Pipe()
		go func() {
			_, _ = b.Read(make([]byte, 4096))
			_, _ = b.Write([]byte("-ERR unknown command\r\n"))
		}()
		return a, nil
	}})
	withTLS := job("", "tls", "verify-full")
	withTLS.Pending = j.Current
	if class, msg := rotator.Why(plain.Test(t.Context(), withTLS)); class != rotator.Unsuitable || !strings.Contains(msg, "TLS") {
		t.Errorf("a server that speaks no TLS: %s, %s", class, msg)
	}
	f := newFake(t)
	f.down = true
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if class, msg := rotator.Why(f.rotator().Test(ctx, j)); class != rotator.Unreachable {
		t.Errorf("given up: %s, %s", class, msg)
	}
}

func TestTLS(t *testing.T) {
	server, ca := serverTLS(t, "redis.internal")
	_, otherCA := serverTLS(t, "redis.internal")
	wrong, wrongCA := serverTLS(t, "other.internal")
	for name, tt := range map[string]struct {
		tls   *tls.Config
		mode  string
		ca    string
		class rotator.Class
	}{
		"trusted":      {server, "verify-full", ca, ""},
		"default":      {server, "", ca, ""},
		"require":      {wrong, "require", "", ""},
		"untrusted":    {server, "verify-full", "", rotator.Unsuitable},
		"other-ca":     {server, "verify-full", otherCA, rotator.Unsuitable},
		"other-name":   {wrong, "verify-full", wrongCA, rotator.Unsuitable},
		"no-ca":        {server, "verify-full", "hunter2", rotator.Unsuitable},
		"plain-server": {nil, "verify-full", ca, rotator.Unreachable}, // this one hangs up
	} {
		f := newFake(t)
		j := job(admin, "tls", tt.mode)
		f.tls = tt.tls
		if tt.ca != "" {
			j.Options["tls_ca"] = "redis/ca"
			j.Related["tls_ca"] = rotator.Text(tt.ca)
		}
		j = created(t, f, j)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := f.rotator().Set(ctx, j)
		cancel()
		if class, msg := rotator.Why(err); err == nil != (tt.class == "") || err != nil && class != tt.class {
			t.Errorf("%s: %s, %s", name, class, msg)
		}
	}
}

// serverTLS is a server with a certificate of its own, and that.
func serverTLS(t *testing.T, host string) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// What is read of a server is within the limits, and is written as it was read.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"+OK\r\n", "-ERR no\r\n", ":12\r\n", "$3\r\na\r\n\r\n", "*2\r\n*-1\r\n$-1\r\n", "*1\r\n+a\r\n", "$2\r\nab", "*1\r\n*1\r\n*1\r\n:1\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newReader(strings.NewReader(string(b)))
		v, err := r.read()
		if err != nil {
			return
		}
		if n, bytes := size(v, 0); n > maxItems || bytes > maxReply {
			t.Fatalf("%d items of %d bytes", n, bytes)
		}
		if list, ok := texts(v); ok && len(list) > 0 {
			again, err := newReader(strings.NewReader(string(command(list...)))).read()
			if got, ok := texts(again); err == nil && (!ok || !slices.Equal(got, list)) {
				t.Fatalf("%q became %q", list, got)
			}
		}
	})
}

func size(v any, depth int) (items, bytes int) {
	switch v := v.(type) {
	case string:
		return 1, len(v)
	case *replyError:
		_ = v.Error()
		return 1, len(v.text)
	case []any:
		items = 1
		for _, x := range v {
			n, b := size(x, depth+1)
			items, bytes = items+n, bytes+b
		}
		return items, bytes
	}
	return 1, 0
}
