package database

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"countersign/internal/rotator"
)

// Dialect is what values of one kind of server look like.
type Dialect struct {
	Engines  []string // what the member engine may be
	Port     uint16   // where the value names none
	Database string   // where the value names none
}

// Login is one login to one server.
type Login struct {
	Host     string // a host name or an IP address
	Port     uint16
	User     string
	Password string
	Database string
	// TLS is nil for a connection that is not encrypted.
	TLS *tls.Config
	// Proved says that TLS makes the server prove its name, so that it may be told
	// the password.
	Proved bool
	// Options are those of the job.
	Options map[string]string
}

// Address is host:port.
func (l Login) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))) }

const (
	tlsVerify  = "verify-full"
	tlsRequire = "require"
	tlsDisable = "disable"
)

var (
	userNames     = []string{"username", "user"}
	databaseNames = []string{"dbname", "database"}
)

// work is a job as this package reads it. A login that is not there is nil, and the
// error beside it says why.
type work struct {
	alternating bool
	suffix      string
	note        string
	mark        string

	current, pending, previous, admin *Login
	noCurrent, noPending              error
}

// read makes sense of a job. Nothing is reached for it.
func (d *database) read(j rotator.Job) (*work, error) {
	w := &work{alternating: j.Options["mode"] == alternating, suffix: j.Options["clone_suffix"], note: j.Note, mark: mark(j.ARN)}
	if w.suffix == "" {
		w.suffix = "_clone"
	}
	var err error
	if j.Options["admin"] != "" {
		if w.admin, err = d.login(j, j.Related["admin"], "the admin secret"); err != nil {
			return nil, err
		}
	} else if w.alternating {
		return nil, rotator.Fail(rotator.Unsuitable, nil, "mode alternating needs an admin login")
	}
	if w.current, w.noCurrent = d.own(j, w, j.Current, "the current value"); w.noCurrent != nil && !j.Current.Empty() {
		return nil, w.noCurrent
	}
	if w.pending, w.noPending = d.own(j, w, j.Pending, "the new value"); w.noPending != nil && !j.Pending.Empty() {
		return nil, w.noPending
	}
	// What was previous need not be a login: somebody may have put anything there.
	w.previous, _ = d.own(j, w, j.Previous, "the previous value")
	return w, nil
}

// mark is by what Engines know a user that was made for this secret.
func mark(arn string) string { return "countersign: the other user of a pair of " + arn }

// own reads a value of the secret itself, which must be of the admin's server and of
// the user that the options name.
func (d *database) own(j rotator.Job, w *work, v rotator.Value, what string) (*Login, error) {
	l, err := d.login(j, v, what)
	if err != nil {
		return nil, err
	}
	if w.admin != nil && !sameServer(*l, *w.admin) {
		return nil, rotator.Fail(rotator.Unsuitable, nil,
			"%s and the admin secret name different hosts or ports: the admin login goes to no host but its own", what)
	}
	if only := j.Options["username"]; only != "" && l.User != only && !(w.alternating && l.User == w.other(only)) {
		return nil, rotator.Fail(rotator.Unsuitable, nil, "%s names another user than the option username", what)
	}
	return l, nil
}

func sameServer(a, b Login) bool {
	host := func(l Login) string { return strings.TrimSuffix(strings.ToLower(l.Host), ".") }
	return host(a) == host(b) && a.Port == b.Port
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?$`)

// login reads one value. Its failures say of which, and never what stands in it.
func (d *database) login(j rotator.Job, v rotator.Value, what string) (*Login, error) {
	bad := func(format string, args ...any) (*Login, error) {
		return nil, rotator.Fail(rotator.Unsuitable, nil, what+format, args...)
	}
	if v.Empty() {
		return bad(" is empty")
	}
	o, err := rotator.ParseObject(v)
	if err != nil {
		return bad(" is not a JSON object with each member once")
	}
	if e := o.Get("engine"); e != "" && !slices.Contains(d.dialect.Engines, strings.ToLower(e)) {
		return bad(" is for another engine: this rotator is for %s", strings.Join(d.dialect.Engines, ", "))
	}
	l := &Login{Host: o.Get("host"), Port: d.dialect.Port, User: o.Get(userNames...), Password: o.Get("password"),
		Database: o.Get(databaseNames...), Options: j.Options}
	if l.Database == "" {
		l.Database = d.dialect.Database
	}
	for _, m := range []struct{ name, text string }{{"host", l.Host}, {"username", l.User}, {"password", l.Password}} {
		if m.text == "" {
			return bad(" has no member %q with a text", m.name)
		}
	}
	for _, m := range []struct{ name, text string }{{"username", l.User}, {"dbname", l.Database}} {
		if strings.ContainsFunc(m.text, unicode.IsControl) || strings.ContainsRune(m.text, unicode.ReplacementChar) {
			return bad(" has a control character or no text in %q", m.name)
		}
	}
	if strings.ContainsRune(l.Password, 0) {
		return bad(" has a NUL in its password")
	}
	if strings.HasPrefix(l.Host, "/") || strings.HasPrefix(l.Host, "@") {
		return bad(" names a Unix socket; databases are reached over TCP only")
	}
	if a, err := netip.ParseAddr(l.Host); (err != nil || a.Zone() != "") && !hostName.MatchString(l.Host) {
		return bad(" has a host that is neither one host name nor an IP address")
	}
	if o.Has("port") == "port" && o.Get("port") != "" {
		n, err := strconv.ParseUint(o.Get("port"), 10, 16)
		if err != nil || n == 0 {
			return bad(" has a port that is not a number from 1 to 65535")
		}
		l.Port = uint16(n)
	}
	l.TLS, l.Proved, err = tlsOf(j, l.Host)
	return l, err
}

// tlsOf is the TLS that the options ask for.
func tlsOf(j rotator.Job, host string) (c *tls.Config, proved bool, err error) {
	c = &tls.Config{ServerName: strings.TrimSuffix(host, "."), MinVersion: tls.VersionTLS12}
	switch j.Options["tls"] {
	case tlsDisable:
		return nil, false, nil
	case tlsRequire:
		c.InsecureSkipVerify = true // as the option says; Proved is false
		return c, false, nil
	}
	if j.Options["tls_ca"] == "" {
		return c, true, nil
	}
	c.RootCAs = x509.NewCertPool()
	ca := j.Related["tls_ca"]
	if ca.Empty() || !c.RootCAs.AppendCertsFromPEM(ca.Data.Reveal()) {
		return nil, false, rotator.Fail(rotator.Unsuitable, nil, "the secret that tls_ca names holds no PEM certificate")
	}
	return c, true, nil
}
