package aws

import (
	"context"
	"net/http"
	"strconv"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
	"countersign/internal/front/sigv4"
	"countersign/internal/sensitive"
)

// admit authenticates a request and reads its body into the call. What it
// refuses it records, as nobody's: who sent it was not proved.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request, to *route, meta httpx.Meta, c *Call) error {
	who, body, err := h.authenticate(w, r, to, meta)
	if err == nil {
		c.Who, c.Body = meta.Fill(who.Caller, to.service.Front, who.region), body
		return nil
	}
	c.Who = meta.Nobody(to.service.Front)
	rec := gate.NewRecord(c.Who, to.Op, "")
	return h.gate.Finish(r.Context(), &rec, err)
}

// proved is the outcome of an authentication.
type proved struct {
	caller.Caller
	region string // that the signature names
}

// authenticate takes the steps in the order of package sigv4: nothing of the
// body is read before the access key is known.
func (h *Handler) authenticate(w http.ResponseWriter, r *http.Request, to *route, meta httpx.Meta) (proved, []byte, error) {
	req, err := sigv4.Parse(r)
	if err != nil {
		return proved{}, nil, err
	}
	if err := h.verifier.Check(&req, sigv4.Call{Services: to.signing, Secure: meta.Secure}); err != nil {
		return proved{}, nil, err
	}
	if req.Token != "" {
		return proved{}, nil, errs.Coded(errs.Unauthenticated, CodeSessionToken, "no session token was given out")
	}
	who, key, err := h.lookUp(r.Context(), &req, meta)
	if err != nil {
		return proved{}, nil, err
	}
	body, err := httpx.ReadBody(w, r, MaxBody)
	if err != nil {
		return proved{}, nil, err
	}
	if err := h.verifier.Verify(&req, body, key); err != nil {
		return proved{}, nil, err
	}
	who.Proof = caller.ProofSigV4
	if req.Presigned {
		who.Proof = caller.ProofPresign
	}
	return proved{who, req.Region}, body, nil
}

// lookUp finds the access key that a request claims, and the key derived from
// it.
func (h *Handler) lookUp(ctx context.Context, req *sigv4.Request, meta httpx.Meta) (caller.Caller, *sigv4.Key, error) {
	cred, err := h.keys.Lookup(ctx, req.AccessKeyID, meta.Time)
	if err != nil {
		return caller.Caller{}, nil, err
	}
	key, err := h.derived.Key(req.KeyID(strconv.FormatUint(cred.Generation, 36)), func() (sensitive.Bytes, error) { return cred.Secret, nil })
	if err != nil {
		return caller.Caller{}, nil, err
	}
	return cred.Caller, key, nil
}
