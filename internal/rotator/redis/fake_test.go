package redis

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fake is a server with an access list, as much of one as these steps see.
type fake struct {
	mu       sync.Mutex
	users    map[string]*fakeUser
	file     map[string][]string // nil: it has no ACL file
	commands []string            // that it was sent, but for logins
	// reply answers a command in its own way, if it returns something.
	reply func(args []string) string
	tls   *tls.Config
	down  bool
	dials []string
}

type fakeUser struct {
	on, nopass bool
	may        []string // commands beside AUTH; nil is all
	rules      string   // that the access list shows
	selector   string   // rules of its selector
	hashes     []string
}

func sum(password string) string {
	s := sha256.Sum256([]byte(password))
	return hex.EncodeToString(s[:])
}

// Dial is for rotator.Env.
func (f *fake) Dial(_ context.Context, _, address string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials = append(f.dials, address)
	a, b := net.Pipe()
	switch {
	case f.down:
		go func() { // it takes what it is sent and says nothing
			buf := make([]byte, 1024)
			for {
				if _, err := b.Read(buf); err != nil {
					return
				}
			}
		}()
	case f.tls != nil:
		go f.serve(tls.Server(b, f.tls))
	default:
		go f.serve(b)
	}
	return a, nil
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	in := newReader(c)
	who := ""
	for {
		v, err := in.read()
		if err != nil {
			return
		}
		args, ok := texts(v)
		if !ok {
			return
		}
		if _, err := c.Write([]byte(f.answer(&who, args))); err != nil {
			return
		}
	}
}

func (f *fake) answer(who *string, args []string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reply != nil {
		if s := f.reply(args); s != "" {
			return s
		}
	}
	if args[0] == "AUTH" {
		u := f.users[args[1]]
		if u == nil || !u.on || !u.nopass && !slices.Contains(u.hashes, sum(args[2])) {
			return "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
		}
		*who = args[1]
		return "+OK\r\n"
	}
	f.commands = append(f.commands, strings.Join(args, " "))
	if *who == "" {
		return "-NOAUTH Authentication required.\r\n"
	}
	name := args[0]
	if name == "ACL" {
		name += " " + args[1]
	}
	if may := f.users[*who].may; may != nil && !slices.Contains(may, name) {
		return "-NOPERM User " + *who + " has no permissions to run the '" + name + "' command\r\n"
	}
	switch name {
	case "SELECT":
		if args[1] != "0" && args[1] != "5" {
			return "-ERR DB index is out of range\r\n"
		}
		return "+OK\r\n"
	case "ACL GETUSER":
		return f.getUser(args[2])
	case "ACL SETUSER":
		return f.setUser(args[2], args[3:])
	case "ACL SAVE":
		if f.file == nil {
			return "-ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE\r\n"
		}
		for n, u := range f.users {
			f.file[n] = slices.Clone(u.hashes)
		}
		return "+OK\r\n"
	}
	return "-ERR unknown command '" + name + "'\r\n"
}

func (f *fake) getUser(name string) string {
	u := f.users[name]
	if u == nil {
		return "*-1\r\n"
	}
	flags := []string{"off"}
	if u.on {
		flags = []string{"on"}
	}
	if u.nopass {
		flags = append(flags, "nopass")
	}
	return "*8\r\n$5\r\nflags\r\n" + string(command(flags...)) + "$9\r\npasswords\r\n" + string(command(u.hashes...)) +
		"$8\r\ncommands\r\n+" + u.rules + "\r\n$9\r\nselectors\r\n*1\r\n" + string(command("commands", cmp.Or(u.selector, "-@all"), "keys", ""))
}

func (f *fake) setUser(name string, rules []string) string {
	u := f.users[name]
	if u == nil {
		u = &fakeUser{}
		f.users[name] = u
	}
	next := slices.Clone(u.hashes)
	for _, r := range rules {
		i := slices.Index(next, r[1:])
		switch {
		case r[0] == '#' && len(r) == 65 && i < 0:
			next = append(next, r[1:])
		case r[0] == '!' && i >= 0:
			next = slices.Delete(next, i, i+1)
		case r[0] == '#' && len(r) == 65:
		default:
			return "-ERR Error in ACL SETUSER modifier '" + r + "': The password you are trying to remove from the user does not exist\r\n"
		}
	}
	u.hashes, u.nopass = next, u.nopass && len(next) <= len(u.hashes)
	return "+OK\r\n"
}

// state spells the users and how many passwords each has.
func (f *fake) state() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for n, u := range f.users {
		out = append(out, fmt.Sprint(n, " ", len(u.hashes), " ", u.nopass))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func (f *fake) has(user, password string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.users[user]
	return u != nil && u.on && slices.Contains(u.hashes, sum(password))
}

func newFake(t *testing.T) *fake {
	t.Helper()
	return &fake{users: map[string]*fakeUser{
		"default": {on: true, hashes: []string{sum("admin-password")}, rules: "+@all"},
		"app":     {on: true, hashes: []string{sum("old-password")}, rules: "+@all -@dangerous +config|get"},
	}}
}
