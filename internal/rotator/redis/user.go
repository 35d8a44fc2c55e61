package redis

import (
	"errors"
	"slices"
	"strings"

	"countersign/internal/rotator"
)

// user is what the access list says of a user.
type user struct {
	name        string
	off, nopass bool
	hashes      []string
	administers bool // it may make itself or another an administrator
}

var errNoUser = errors.New("there is no such user")

// user asks for a user, whom it does not create.
func (c *conn) user(name string) (user, error) {
	v, err := c.do("ACL", "GETUSER", name)
	if err != nil {
		return user{}, err
	}
	if v == nil {
		return user{}, rotator.Fail(rotator.Unsuitable, errNoUser, "there is no such user on the server, and it is not created")
	}
	m := fields(v)
	flags, ok1 := texts(m["flags"])
	hashes, ok2 := texts(m["passwords"])
	commands, ok3 := m["commands"].(string)
	if !ok1 || !ok2 || !ok3 {
		return user{}, rotator.Fail(rotator.Unsuitable, nil, "the server does not answer ACL GETUSER as Redis does")
	}
	u := user{name: name, off: !slices.Contains(flags, "on"), nopass: slices.Contains(flags, "nopass"), hashes: hashes, administers: administers(commands)}
	selectors, _ := m["selectors"].([]any) // since Redis 7
	for _, s := range selectors {
		commands, ok := fields(s)["commands"].(string)
		u.administers = u.administers || !ok || administers(commands)
	}
	return u, nil
}

// fields reads an array of names and values.
func fields(v any) map[string]any {
	list, _ := v.([]any)
	out := map[string]any{}
	for i := 0; i+1 < len(list); i += 2 {
		if n, ok := list[i].(string); ok {
			out[n] = list[i+1]
		}
	}
	return out
}

func texts(v any) (out []string, ok bool) {
	list, ok := v.([]any)
	for _, x := range list {
		s, text := x.(string)
		ok = ok && text
		out = append(out, s)
	}
	return out, ok
}

// powers are the commands by which somebody becomes an administrator: an access list,
// the password of the default user, code in the server. Redis has each of them in the
// categories admin, dangerous and slow.
var powers = [][2]string{{"acl", "setuser"}, {"config", "set"}, {"module", "load"}}

// administers reads the rules of an access list about commands, which count in their
// order.
func administers(rules string) bool {
	may := map[string]bool{}
	for _, r := range strings.Fields(strings.ToLower(rules)) {
		switch r {
		case "allcommands":
			r = "+@all"
		case "nocommands":
			r = "-@all"
		}
		all := slices.Contains([]string{"@all", "@admin", "@dangerous", "@slow"}, r[1:])
		for _, p := range powers {
			if all || r[1:] == p[0] || r[1:] == p[0]+"|"+p[1] {
				may[p[0]] = r[0] == '+'
			}
		}
	}
	return may["acl"] || may["config"] || may["module"]
}
