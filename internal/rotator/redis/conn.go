package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"time"

	"countersign/internal/rotator"
)

const (
	longest = 30 * time.Second // where a context has no deadline
	maxCA   = 256 << 10        // bytes of certificates to trust
)

// conn is one connection for one step.
type conn struct {
	ctx  context.Context
	net  net.Conn
	in   *reader
	stop func() bool
}

// open connects, and logs in as the first of those who can. They are at one server.
func (r *redis) open(ctx context.Context, j rotator.Job, logins ...login) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := r.dial(ctx, j, logins[0])
	if err != nil {
		return nil, err
	}
	for _, l := range logins {
		_, err = c.do("AUTH", l.user, l.password)
		if class, _ := rotator.Why(err); err == nil || class != rotator.Credentials {
			break
		}
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (r *redis) dial(ctx context.Context, j rotator.Job, l login) (*conn, error) {
	conf, err := r.tls(j, l)
	if err != nil {
		return nil, err
	}
	n, err := r.env.Dial(ctx, "tcp", l.address())
	if err != nil {
		var f *rotator.Failure
		if errors.As(err, &f) {
			return nil, err
		}
		return nil, rotator.Fail(rotator.Unreachable, err, "the server cannot be connected to")
	}
	until, ok := ctx.Deadline()
	if !ok {
		until = time.Now().Add(longest)
	}
	_ = n.SetDeadline(until)
	c := &conn{ctx: ctx, net: n, in: newReader(n)}
	c.stop = context.AfterFunc(ctx, func() { _ = n.SetDeadline(time.Unix(1, 0)) })
	if conf == nil {
		return c, nil
	}
	t := tls.Client(n, conf)
	if err := t.HandshakeContext(ctx); err != nil {
		c.close()
		return nil, c.shook(err)
	}
	c.net, c.in = t, newReader(t)
	return c, nil
}

// tls is how the server is spoken to; nil is in clear.
func (r *redis) tls(j rotator.Job, l login) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: l.host, Time: r.env.Now}
	switch j.Options["tls"] {
	case "disable":
		return nil, nil
	case "require":
		conf.InsecureSkipVerify = true // what the option is for, and says
		return conf, nil
	}
	if j.Options["tls_ca"] == "" {
		return conf, nil
	}
	conf.RootCAs = x509.NewCertPool()
	pem := j.Related["tls_ca"].Data
	if pem.Len() > maxCA || !conf.RootCAs.AppendCertsFromPEM(pem.Reveal()) {
		return nil, rotator.Fail(rotator.Unsuitable, nil, "the secret that tls_ca names has no certificates as PEM")
	}
	return conf, nil
}

// shook says why a handshake failed.
func (c *conn) shook(err error) error {
	var wrong *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &wrong):
		return rotator.Fail(rotator.Unsuitable, err, "the certificate of the server is not trusted, not valid now, or for another host")
	case errors.As(err, &plain):
		return rotator.Fail(rotator.Unsuitable, err, "the server does not speak TLS on this port")
	}
	return c.lost(err)
}

// lost is an error of the connection.
func (c *conn) lost(err error) error {
	if e := c.ctx.Err(); e != nil {
		return e
	}
	if errors.Is(err, errProtocol) {
		return rotator.Fail(rotator.Unsuitable, err, "what answers does not speak the protocol of Redis")
	}
	return rotator.Fail(rotator.Unreachable, err, "the connection to the server broke, or it did not answer in time")
}

func (c *conn) close() {
	c.stop()
	_ = c.net.Close()
}

// ask sends a command. An error that the server reports is a *replyError.
func (c *conn) ask(args ...string) (any, error) {
	if _, err := c.net.Write(command(args...)); err != nil {
		return nil, c.lost(err)
	}
	v, err := c.in.read()
	if err != nil {
		return nil, c.lost(err)
	}
	if e, ok := v.(*replyError); ok {
		return nil, e
	}
	return v, nil
}

// do is ask, with errors that can be shown.
func (c *conn) do(args ...string) (any, error) {
	v, err := c.ask(args...)
	var e *replyError
	if !errors.As(err, &e) {
		return v, err
	}
	what := args[0]
	if what == "ACL" {
		what += " " + args[1]
	}
	switch code := e.code(); {
	case code == "WRONGPASS", code == "NOAUTH":
		return nil, rotator.Fail(rotator.Credentials, e, "the server refused the login")
	case code == "NOPERM":
		return nil, rotator.Fail(rotator.Permission, e, "the login may not use %s", what)
	case slices.Contains([]string{"LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"}, code), e.says("max number of clients"):
		return nil, rotator.Fail(rotator.Unreachable, e, "the server is not ready to answer")
	case e.says("unknown command"), what == "AUTH" && e.says("wrong number of arguments"):
		return nil, rotator.Fail(rotator.Unsuitable, e, "the server does not know %s as Redis 6 does", what)
	case code != "":
		return nil, rotator.Fail(rotator.Rejected, e, "the server refused %s with the error %s", what, code)
	}
	return nil, rotator.Fail(rotator.Rejected, e, "the server refused %s", what)
}

// use selects a database. Who may not select one may still log in.
func (c *conn) use(db string) error {
	if db == "" {
		return nil
	}
	_, err := c.ask("SELECT", db)
	var e *replyError
	switch {
	case errors.As(err, &e) && e.code() == "NOPERM":
		return nil
	case errors.As(err, &e):
		return rotator.Fail(rotator.Unsuitable, e, "the server has no database with the number that the value names")
	}
	return err
}

// edit adds and removes passwords of a user in one command, which Redis does whole or
// not at all. Nothing is sent when all is as it shall be.
func (c *conn) edit(u user, add, remove []string) error {
	args := []string{"ACL", "SETUSER", u.name}
	for _, h := range add {
		if !slices.Contains(u.hashes, h) {
			args = append(args, "#"+h)
		}
	}
	for _, h := range remove {
		if slices.Contains(u.hashes, h) {
			args = append(args, "!"+h)
		}
	}
	if len(args) == 3 {
		return nil
	}
	_, err := c.do(args...)
	return err
}

var errNoFile = errors.New("the server has no ACL file")

// save writes the access list into the server's file, if the options say so. It does
// that also when nothing was changed, since a call before may have ended in between.
func (c *conn) save(j rotator.Job) error {
	if j.Options["save"] != "file" {
		return nil
	}
	_, err := c.ask("ACL", "SAVE")
	var e *replyError
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.code() == "NOPERM":
		return rotator.Fail(rotator.Permission, e, "the login may not use ACL SAVE")
	case e.says("not configured to use an acl file"):
		return rotator.Fail(rotator.Unsuitable, errNoFile, "the server has no ACL file (aclfile in its configuration), so that save cannot be file")
	}
	return rotator.Fail(rotator.Rejected, e, "the server could not save its ACL file")
}

// saved forgives a server without a file, when something is taken back: there is
// nothing that could come back from it.
func (c *conn) saved(err error) error {
	if errors.Is(err, errNoFile) {
		return nil
	}
	return err
}
