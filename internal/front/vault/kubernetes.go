package vault

import (
	"context"

	"countersign/internal/core/login"
	"countersign/internal/core/policy"
)

// kubernetesRows are the login method of service accounts.
func kubernetesRows() []row {
	return append(append(roleRows("role"), methodRows()...),
		row{methods: "POST", path: "login", op: policy.Login, open: true, takes: "role jwt", do: loginKubernetes})
}

func loginKubernetes(ctx context.Context, c *call) (*answer, error) {
	req := login.JWTLogin{Role: c.text("role"), JWT: c.text("jwt")}
	if c.err != nil {
		return nil, nil
	}
	return forbidden(c.loggedIn(c.f.Logins.LoginKubernetes(ctx, c.who, c.mount, req)))
}
