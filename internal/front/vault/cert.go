package vault

import (
	"context"

	"countersign/internal/core/login"
	"countersign/internal/core/policy"
)

// certRows are the login method of who shows a certificate. It is that of the TLS
// connection, so that it does not work behind a proxy which ends TLS.
func certRows() []row {
	return append(roleRows("certs"),
		row{methods: "POST", path: "login", op: policy.Login, open: true, takes: "name", do: loginCert},
		row{methods: methodList, path: "crls", op: policy.GetLoginConfig, do: listCRLs},
		row{methods: "GET", path: "crls/{name}", op: policy.GetLoginConfig, do: readCRL},
		row{methods: "POST", path: "crls/{name}", op: policy.PutLoginConfig, do: writeCRL},
		row{methods: "DELETE", path: "crls/{name}", op: policy.PutLoginConfig, do: deleteCRL})
}

func loginCert(ctx context.Context, c *call) (*answer, error) {
	req := login.CertLogin{Role: c.text("name")}
	if c.err != nil {
		return nil, nil
	}
	if c.r.TLS != nil {
		req.Peer = c.r.TLS.PeerCertificates
	}
	return c.loggedIn(c.f.Logins.LoginCert(ctx, c.who, c.mount, req))
}

func listCRLs(ctx context.Context, c *call) (*answer, error) {
	return keys(c.f.Logins.ListCRLs(ctx, c.who, c.mount))
}

func readCRL(ctx context.Context, c *call) (*answer, error) {
	list, err := c.f.Logins.GetCRL(ctx, c.who, c.mount, c.vars[0])
	if err != nil {
		return nil, absent(err, login.CodeConfig)
	}
	serials := make(map[string]struct{}, len(list))
	for _, s := range list {
		serials[s] = struct{}{}
	}
	return ok(map[string]any{"serials": serials}), nil
}

func writeCRL(ctx context.Context, c *call) (*answer, error) {
	text := c.text("crl")
	switch {
	case text == "" && c.has("url"):
		c.fail("url", "lists are not fetched: give the list itself as crl")
	case text == "":
		c.fail("crl", "missing crl")
	}
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Logins.PutCRL(ctx, c.who, c.mount, c.vars[0], text))
}

func deleteCRL(ctx context.Context, c *call) (*answer, error) {
	return c.done(c.f.Logins.DeleteCRL(ctx, c.who, c.mount, c.vars[0]))
}
