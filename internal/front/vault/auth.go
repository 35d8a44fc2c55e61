package vault

import (
	"context"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/signin"
	"countersign/internal/core/token"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

const bearer = "bearer "

// token is what a request proves itself by.
func (c *call) token() string {
	if t := c.r.Header.Get("X-Vault-Token"); t != "" {
		return t
	}
	if a := c.r.Header.Get("Authorization"); len(a) > len(bearer) && strings.EqualFold(a[:len(bearer)], bearer) {
		return strings.TrimSpace(a[len(bearer):])
	}
	return ""
}

// authenticate proves who sent a request. What is wrong with a token is not told.
func (f *front) authenticate(ctx context.Context, c *call) (caller.Caller, error) {
	proof := c.token()
	if proof == "" {
		return caller.Caller{}, errs.Coded(errs.Unauthenticated, codeNoToken, "missing client token")
	}
	var who caller.Caller
	var err error
	switch {
	case token.IsToken(proof):
		who, err = f.Tokens.Authenticate(ctx, proof, c.meta.Time, c.meta.Source)
	case signin.IsAccessToken(proof):
		who, err = f.SignIn.Authenticate(ctx, sensitive.FromString(proof), c.meta.Time)
	default:
		who, err = f.Authn.AuthenticateToken(ctx, proof, c.meta.Time)
	}
	if err != nil {
		return caller.Caller{}, err
	}
	if ns := c.r.Header.Get("X-Vault-Namespace"); ns != "" {
		account, err := f.namespace(ns)
		if err != nil {
			return caller.Caller{}, err
		}
		if account != who.Account && strings.Trim(ns, "/") != "root" {
			return caller.Caller{}, denied()
		}
	}
	return who, nil
}

// denied is the refusal of who may not know more.
func denied() error { return errs.New(errs.Denied, "permission denied") }
