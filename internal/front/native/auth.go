package native

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/signin"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
	"countersign/internal/front/sigv4"
	"countersign/internal/sensitive"
)

const bearer = "bearer "

// authenticate proves who sent a request: by a bearer token or by a signature in
// the Authorization header. For the latter it reads the body.
func (a *api) authenticate(ctx context.Context, w http.ResponseWriter, r *http.Request, rt *route, c *call, meta httpx.Meta) (caller.Caller, error) {
	auth := r.Header["Authorization"]
	switch {
	case rt.open:
		return caller.Caller{}, nil
	case len(auth) == 1 && len(auth[0]) > len(bearer) && strings.EqualFold(auth[0][:len(bearer)], bearer):
		token := strings.TrimSpace(auth[0][len(bearer):])
		if signin.IsAccessToken(token) {
			return a.session(ctx, rt, sensitive.FromString(token), meta.Time)
		}
		if id, _, ok := authn.ParseToken(token); ok {
			c.claimed = id
		}
		return a.Authn.AuthenticateToken(ctx, token, meta.Time)
	case sigv4.Signed(r):
		who, err := a.signed(ctx, w, r, rt, c, meta)
		return who, unproved(err)
	}
	return caller.Caller{}, errs.Coded(errs.Unauthenticated, "no-credentials", "the request has no credentials: send a bearer token or sign it")
}

// session proves a user by the access token of a session.
func (a *api) session(ctx context.Context, rt *route, token sensitive.Bytes, now time.Time) (caller.Caller, error) {
	if rt.limited {
		who, _, err := a.SignIn.AuthenticateLimited(ctx, token, now)
		return who, err
	}
	return a.SignIn.Authenticate(ctx, token, now)
}

// unproved makes every refusal of a signature one of identity; what failed in
// this server, or was too large, stays what it is.
func unproved(err error) error {
	e := errs.As(err)
	if e == nil {
		return nil
	}
	switch e.Kind {
	case errs.Invalid, errs.Denied, errs.NotFound, errs.Precondition:
		return &errs.Error{Kind: errs.Unauthenticated, Code: e.Code, Msg: e.Msg, Err: e.Err}
	}
	return err
}

// signed verifies a signature.
func (a *api) signed(ctx context.Context, w http.ResponseWriter, r *http.Request, rt *route, c *call, meta httpx.Meta) (caller.Caller, error) {
	req, err := sigv4.Parse(r)
	if err != nil {
		return caller.Caller{}, err
	}
	if req.Presigned {
		return caller.Caller{}, errs.Coded(errs.Unauthenticated, sigv4.CodeInvalid, "presigned URLs are not taken here: sign the Authorization header")
	}
	if req.Token != "" {
		return caller.Caller{}, errs.Coded(errs.Unauthenticated, sigv4.CodeInvalid, "session tokens are not taken here")
	}
	if err := a.verifier.Check(&req, sigv4.Call{Services: []string{Service}, Secure: meta.Secure}); err != nil {
		return caller.Caller{}, err
	}
	cred, err := a.Authn.Lookup(ctx, req.AccessKeyID, meta.Time)
	if err != nil {
		return caller.Caller{}, err
	}
	c.claimed = cred.Caller.KeyID
	key, err := a.keys.Key(req.KeyID(strconv.FormatUint(cred.Generation, 10)), func() (sensitive.Bytes, error) { return cred.Secret, nil })
	if err != nil {
		return caller.Caller{}, err
	}
	if c.body, err = readBody(w, r, rt); err != nil {
		return caller.Caller{}, err
	}
	c.read = true
	if err := a.verifier.Verify(&req, c.body, key); err != nil {
		return caller.Caller{}, err
	}
	who := cred.Caller
	who.Proof = caller.ProofSigV4
	return who, nil
}
