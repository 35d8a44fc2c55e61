package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/rotatetest"
)

// real is the server that COUNTERSIGN_TEST_REDIS names.
type real struct {
	t     *testing.T
	admin login
	r     *redis
}

func newReal(t *testing.T) *real {
	t.Helper()
	text := os.Getenv("COUNTERSIGN_TEST_REDIS")
	if text == "" {
		t.Skip("COUNTERSIGN_TEST_REDIS names no server; scripts/with-databases starts one")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "redis" {
		t.Fatal("COUNTERSIGN_TEST_REDIS is not a redis:// URL")
	}
	x := &real{t: t, admin: login{host: u.Hostname(), port: u.Port(), user: u.User.Username()}, r: &redis{env(nil)}}
	x.admin.password, _ = u.User.Password()
	if x.admin.user == "" {
		x.admin.user = "default"
	}
	return x
}

// env reaches the network, or what dead names instead.
func env(dead *bool) rotator.Env {
	return rotator.Env{Now: time.Now, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dead != nil && *dead {
			a, b := net.Pipe()
			go func() {
				buf := make([]byte, 1024)
				for {
					if _, err := b.Read(buf); err != nil {
						return
					}
				}
			}()
			return a, nil
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

var clear = rotator.Job{Options: map[string]string{"tls": "disable"}}

// do runs a command as the admin.
func (x *real) do(args ...string) any {
	x.t.Helper()
	c, err := x.r.open(x.t.Context(), clear, x.admin)
	if err != nil {
		x.t.Fatal(err)
	}
	defer c.close()
	v, err := c.do(args...)
	if err != nil {
		x.t.Fatalf("%s: %v", args[0], err)
	}
	return v
}

// user makes a user, and the job that rotates it.
func (x *real) user(self bool, options ...string) rotator.Job {
	x.t.Helper()
	name, old := "ct-"+strings.ToLower(rand.Text()), rand.Text()
	rules := []string{"ACL", "SETUSER", name, "on", ">" + old, "~" + name + ":*", "+@read"}
	if self {
		rules = append(rules, "+acl|getuser", "+acl|setuser", "+acl|save")
	}
	x.do(rules...)
	x.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if c, err := x.r.open(ctx, clear, x.admin); err == nil {
			_, _ = c.do("ACL", "DELUSER", name)
			c.close()
		}
	})
	j := job("", options...)
	j.Current = object(x.t, map[string]any{"host": x.admin.host, "port": json.Number(x.admin.port), "username": name, "password": old})
	if !self {
		j.Options["admin"] = "redis/admin"
		j.Related = map[string]rotator.Value{"admin": object(x.t, map[string]any{"host": x.admin.host, "port": x.admin.port, "username": x.admin.user, "password": x.admin.password})}
	}
	return j
}

func object(t *testing.T, m map[string]any) rotator.Value {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return rotator.Text(string(b))
}

func (x *real) accepts(t *testing.T, v rotator.Value) bool {
	t.Helper()
	l, err := needLogin(v)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x.r.open(t.Context(), clear, l)
	if class, msg := rotator.Why(err); err != nil && class != rotator.Credentials {
		t.Fatal(msg)
	}
	if err != nil {
		return false
	}
	c.close()
	return true
}

// state is what the access list says of the user, with a count in place of hashes.
func (x *real) state(t *testing.T, j rotator.Job) string {
	t.Helper()
	l, err := readLogin(j.Current)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := x.do("ACL", "GETUSER", l.user).([]any)
	for i := 0; i+1 < len(list); i += 2 {
		if hashes, ok := list[i+1].([]any); ok && list[i] == "passwords" {
			list[i+1] = len(hashes)
		}
	}
	b, err := json.Marshal([]any{list, x.do("ACL", "USERS")})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServer(t *testing.T) {
	x := newReal(t)
	hasFile := func() bool {
		c, err := x.r.open(t.Context(), clear, x.admin)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		_, err = c.ask("ACL", "SAVE")
		return err == nil
	}()
	for name, tt := range map[string]struct {
		self bool
		save string
	}{"self": {true, "none"}, "admin": {false, "none"}, "file": {false, "file"}, "self-file": {true, "file"}} {
		t.Run(name, func(t *testing.T) {
			if tt.save == "file" && !hasFile {
				t.Skip("the server has no ACL file")
			}
			rotatetest.Run(t, func(t *testing.T) *rotatetest.Target {
				x := &real{t, x.admin, x.r}
				dead := false
				j := x.user(tt.self, "save", tt.save)
				target := &rotatetest.Target{Kind: Kind(), Rotator: Kind().New(env(&dead)), Job: j, Accepts: x.accepts,
					State: func(t *testing.T) string { return x.state(t, j) }}
				if name == "self" { // waiting for nothing is the same for all, and takes its time
					target.Break = func(*testing.T) { dead = true }
				}
				return target
			})
		})
	}
	t.Run("no-file", func(t *testing.T) {
		if hasFile {
			t.Skip("the server has an ACL file")
		}
		x := &real{t, x.admin, x.r}
		j := x.user(false, "save", "file")
		made, err := x.r.Create(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		j.Pending = made.Value
		if class, msg := rotator.Why(x.r.Set(t.Context(), j)); class != rotator.Unsuitable || !strings.Contains(msg, "ACL file") {
			t.Errorf("%s, %s", class, msg)
		}
		if err := x.r.Undo(t.Context(), j); err != nil || x.accepts(t, j.Pending) {
			t.Errorf("not taken back: %v", err)
		}
	})
}

// Neither who watches the server nor its slow log sees a password.
func TestServerSeesNoPassword(t *testing.T) {
	x := newReal(t)
	j := x.user(false)
	made, err := x.r.Create(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	j.Pending = made.Value
	was, _ := texts(x.do("CONFIG", "GET", "slowlog-log-slower-than"))
	x.do("CONFIG", "SET", "slowlog-log-slower-than", "0")
	defer func() { x.do("CONFIG", "SET", "slowlog-log-slower-than", was[1]) }()
	watch, err := x.r.open(t.Context(), clear, x.admin)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.close()
	if _, err := watch.do("MONITOR"); err != nil {
		t.Fatal(err)
	}
	for i, step := range []func(context.Context, rotator.Job) error{x.r.Set, x.r.Test, x.r.Undo} {
		if err := step(t.Context(), j); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	x.do("SELECT", "0") // the last that is watched
	var seen []string
	for {
		v, err := watch.in.read()
		if err != nil {
			t.Fatal(err)
		}
		line, _ := v.(string)
		seen = append(seen, line)
		if strings.Contains(strings.ToUpper(line), `"SELECT"`) {
			break
		}
	}
	log, err := json.Marshal(x.do("SLOWLOG", "GET", "128"))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(seen, "\n") + string(log)
	for _, v := range []rotator.Value{j.Current, j.Pending, j.Related["admin"]} {
		if strings.Contains(all, password(t, v)) {
			t.Errorf("a password was seen in\n%s", all)
		}
	}
	if !strings.Contains(strings.ToLower(all), "setuser") && !strings.Contains(strings.ToLower(all), "getuser") {
		t.Errorf("nothing was watched:\n%s", all)
	}
}

// What the server says of users is understood as it is meant.
func TestServerUsers(t *testing.T) {
	x := newReal(t)
	for name, tt := range map[string]struct {
		rules []string // "" for no such user
		why   string   // "" when a password is set
	}{
		"narrow":          {[]string{"-@all", "+get"}, ""},
		"not-dangerous":   {[]string{"+@all", "-@dangerous"}, ""},
		"asks-who-it-is":  {[]string{"-@all", "+acl|whoami"}, ""},
		"everything":      {[]string{"+@all"}, "administers"},
		"acl":             {[]string{"-@all", "+acl"}, "administers"},
		"config-set":      {[]string{"+@all", "-@dangerous", "+config|set"}, "administers"},
		"with-a-selector": {[]string{"-@all", "+get", "(+acl ~*)"}, "administers"},
		"nopass":          {[]string{"nopass"}, "nopass"},
		"off":             {[]string{"off"}, "switched off"},
		"gone":            {nil, "no such user"},
	} {
		t.Run(name, func(t *testing.T) {
			x := &real{t, x.admin, x.r}
			j := x.user(false)
			l, err := readLogin(j.Current)
			if err != nil {
				t.Fatal(err)
			}
			if tt.rules == nil {
				x.do("ACL", "DELUSER", l.user)
			} else {
				x.do(append([]string{"ACL", "SETUSER", l.user}, tt.rules...)...)
			}
			made, err := x.r.Create(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			j.Pending = made.Value
			was := x.state(t, j)
			err = x.r.Set(t.Context(), j)
			if tt.why == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if class, msg := rotator.Why(err); class != rotator.Unsuitable || !strings.Contains(msg, tt.why) {
				t.Errorf("%s, %s", class, msg)
			}
			if is := x.state(t, j); is != was {
				t.Errorf("it was\n%s\nand is\n%s", was, is)
			}
		})
	}
}
