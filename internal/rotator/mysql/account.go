package mysql

import (
	"errors"
	"slices"
	"strings"
)

// errForm is a statement of the server in a form that is not known here. Nothing is
// guessed of one.
var errForm = errors.New("an unknown form")

// token is a word, a quoted name, a quoted text or one other character of a statement.
type token struct {
	kind  byte   // 'w' a word, '`' a name, '\'' a text, 'x' another character
	text  string // what it says, without quotes
	start int    // where it stands in the statement
	end   int
}

func (t token) is(word string) bool {
	return t.kind == 'w' && strings.EqualFold(t.text, word) || t.kind == 'x' && t.text == word
}

// quoted reports whether it may be a part of the name of an account.
func (t token) quoted() bool { return t.kind == '`' || t.kind == '\'' }

// maxStatement bounds a statement of the server, in bytes.
const maxStatement = 1 << 20

// tokens splits what SHOW GRANTS or SHOW CREATE USER returned, with sql_mode empty:
// names stand in backquotes, and a backslash escapes in texts.
func tokens(s string) ([]token, error) {
	if len(s) > maxStatement {
		return nil, errForm
	}
	var out []token
	for i := 0; i < len(s); {
		start := i
		switch c := s[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '`' || c == '\'':
			text, n, err := unquote(s[i:])
			if err != nil {
				return nil, err
			}
			i += n
			out = append(out, token{c, text, start, i})
		case wordy(c):
			for i < len(s) && wordy(s[i]) {
				i++
			}
			out = append(out, token{'w', s[start:i], start, i})
		default:
			i++
			out = append(out, token{'x', s[start:i], start, i})
		}
	}
	return out, nil
}

func wordy(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// unquote reads the quoted text that s begins with, and returns it and its length.
func unquote(s string) (text string, n int, err error) {
	q := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == q && i+1 < len(s) && s[i+1] == q:
			b.WriteByte(q)
			i++
		case s[i] == q:
			return b.String(), i + 1, nil
		case s[i] == '\\' && q == '\'' && i+1 < len(s):
			i++
			b.WriteByte(escaped(s[i]))
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0, errForm
}

func escaped(c byte) byte {
	switch c {
	case '0':
		return 0
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'Z':
		return 0x1a
	}
	return c
}

// name quotes a name.
func name(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

// literal quotes a text, where sql_mode is empty and the connection speaks utf8mb4.
func literal(s string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`, "\x00", `\0`).Replace(s) + "'"
}

// account is user@host, or a role of MariaDB, which has no host.
type account struct{ user, host string }

func (a account) String() string {
	if a.host == "" {
		return name(a.user)
	}
	return name(a.user) + "@" + name(a.host)
}

// accountAt reads the account at t[i:]. A host that is not named is any.
func accountAt(t []token, i int) (a account, next int, ok bool) {
	if i >= len(t) || !t[i].quoted() {
		return a, i, false
	}
	if i+2 < len(t) && t[i+1].is("@") && t[i+2].quoted() {
		return account{t[i].text, t[i+2].text}, i + 3, true
	}
	return account{t[i].text, ""}, i + 1, true
}

// way is one way in which an account logs in.
type way struct {
	plugin string
	stored string // what the server has of the password
}

// definition is what SHOW CREATE USER says of an account.
type definition struct {
	account account
	ways    []way
	roles   string // MySQL: the default roles, as they were written
	rest    string // all other clauses, as they were written
}

// parseDefinition reads SHOW CREATE USER.
func parseDefinition(s string) (*definition, error) {
	t, err := tokens(s)
	if err != nil {
		return nil, err
	}
	if len(t) < 3 || !t[0].is("CREATE") || !t[1].is("USER") {
		return nil, errForm
	}
	d := &definition{}
	i, ok := 0, false
	if d.account, i, ok = accountAt(t, 2); !ok {
		return nil, errForm
	}
	if i < len(t) && t[i].is("IDENTIFIED") {
		if d.ways, i, err = waysAt(t, i+1); err != nil {
			return nil, err
		}
	}
	if i+1 < len(t) && t[i].is("DEFAULT") && t[i+1].is("ROLE") {
		first := i + 2
		for i = first; ; i++ {
			if _, i, ok = accountAt(t, i); !ok {
				return nil, errForm
			}
			if i >= len(t) || !t[i].is(",") {
				break
			}
		}
		d.roles = s[t[first].start:t[i-1].end]
	}
	if i < len(t) {
		d.rest = s[t[i].start:]
	}
	if d.ways == nil {
		d.ways = []way{{plugin: native}} // MariaDB says nothing of an account without a password
	}
	return d, nil
}

// waysAt reads what follows IDENTIFIED: BY PASSWORD 'x', VIA p USING 'x' OR …, or
// WITH 'p' AS 'x'.
func waysAt(t []token, i int) (ways []way, next int, err error) {
	at := func(k int) token {
		if k < len(t) {
			return t[k]
		}
		return token{}
	}
	switch {
	case at(i).is("BY") && at(i+1).is("PASSWORD") && at(i+2).kind == '\'':
		return []way{{native, at(i + 2).text}}, i + 3, nil
	case !at(i).is("VIA") && !at(i).is("WITH"):
		return nil, 0, errForm
	}
	for {
		i++
		w := way{plugin: at(i).text}
		if at(i).kind == 'x' || w.plugin == "" {
			return nil, 0, errForm
		}
		i++
		if at(i).is("USING") || at(i).is("AS") {
			i++
			// MySQL may write what it has stored as 0x…, which is no text.
			if at(i).kind != '\'' && at(i).kind != 'w' {
				return nil, 0, errForm
			}
			w.stored = at(i).text
			i++
		}
		ways = append(ways, w)
		if !at(i).is("OR") {
			return ways, i, nil
		}
	}
}

// without cuts a clause with one text out of others: ATTRIBUTE '…'.
func without(clauses, word string) string {
	t, err := tokens(clauses)
	if err != nil {
		return clauses
	}
	for i := 0; i+1 < len(t); i++ {
		if t[i].is(word) && t[i+1].kind == '\'' {
			return strings.TrimSpace(clauses[:t[i].start] + clauses[t[i+1].end:])
		}
	}
	return clauses
}

// grant is one line of SHOW GRANTS.
type grant struct {
	what   string // GRANT … ON …, up to the keyword before the grantee
	to     account
	option string // " WITH GRANT OPTION", " WITH ADMIN OPTION" or nothing
	admin  bool   // it makes an administrator of the server
	roles  []account
}

// nothing reports whether it grants nothing, which takes a privilege to grant.
func (g *grant) nothing() bool { return g.what == "GRANT USAGE ON *.* TO" && g.option == "" }

func (g *grant) administers() bool { return g.admin }

// administrative are privileges on everything that let one become any other account.
var administrative = []string{"ALL", "SUPER", "CREATE USER", "SYSTEM_USER", "ROLE_ADMIN", "SET_USER_ID", "SET_ANY_DEFINER", "SET USER"}

// parseGrant reads one line of SHOW GRANTS. What MariaDB adds of passwords and limits is
// not of the grant, and left out.
func parseGrant(s string) (*grant, error) {
	t, err := tokens(s)
	if err != nil || len(t) == 0 {
		return nil, errForm
	}
	before := ""
	switch {
	case t[0].is("GRANT"):
		before = "TO"
	case t[0].is("REVOKE"): // MySQL: a restriction of a grant
		before = "FROM"
	case t[0].is("SET") && len(t) > 2 && t[1].is("DEFAULT") && t[2].is("ROLE"):
		before = "FOR"
	default:
		return nil, errForm
	}
	depth, i := 0, 1
	for ; i < len(t) && (depth > 0 || !t[i].is(before)); i++ {
		switch {
		case t[i].is("("):
			depth++
		case t[i].is(")"):
			depth--
		}
	}
	if i >= len(t) {
		return nil, errForm
	}
	g := &grant{what: s[:t[i].end]}
	to, next, ok := accountAt(t, i+1)
	if !ok {
		if i+1 < len(t) && t[i+1].kind == 'w' { // PUBLIC
			return &grant{what: g.what, to: account{t[i+1].text, ""}}, nil
		}
		return nil, errForm
	}
	g.to = to
	for k := next; k+1 < len(t); k++ {
		if t[k+1].is("OPTION") && (t[k].is("GRANT") || t[k].is("ADMIN")) {
			g.option = " WITH " + strings.ToUpper(t[k].text) + " OPTION"
		}
	}
	g.admin = before == "TO" && administers(t[1:i], g.option != "")
	if before == "TO" && !slices.ContainsFunc(t[1:i], func(t token) bool { return t.is("ON") }) {
		g.roles, ok = rolesOf(t[1:i])
		if !ok {
			return nil, errForm
		}
	}
	return g, nil
}

// rolesOf reads the roles that a GRANT without an object grants.
func rolesOf(t []token) (roles []account, ok bool) {
	for i := 0; ; i++ {
		var r account
		if r, i, ok = accountAt(t, i); !ok && i < len(t) && t[i].kind == 'w' { // not quoted
			r, i, ok = account{t[i].text, ""}, i+1, true
		}
		if !ok || i < len(t) && !t[i].is(",") {
			return nil, false
		}
		if roles = append(roles, r); i >= len(t) {
			return roles, true
		}
	}
}

// administers judges the privileges and the object of a GRANT.
func administers(t []token, option bool) bool {
	on := slices.IndexFunc(t, func(t token) bool { return t.is("ON") })
	if on < 0 || on+3 >= len(t) {
		return false // a role
	}
	if t[on+1].quoted() && t[on+1].text == "mysql" && t[on+2].is(".") {
		return !(on == 1 && t[0].is("SELECT"))
	}
	if !t[on+1].is("*") || !t[on+3].is("*") {
		return false
	}
	if option {
		return true
	}
	var privilege []string
	for _, x := range append(slices.Clone(t[:on]), token{kind: 'x', text: ","}) {
		if !x.is(",") {
			privilege = append(privilege, strings.ToUpper(x.text))
			continue
		}
		if slices.Contains(administrative, strings.TrimSuffix(strings.Join(privilege, " "), " PRIVILEGES")) {
			return true
		}
		privilege = nil
	}
	return false
}
