package native

import (
	"context"
	"crypto/sha256"
	"fmt"

	"countersign/internal/core/change"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
)

type putBody struct {
	payload
	options
	Base      *uint64  `json:"base"`
	Labels    []string `json:"labels"`
	VersionID string   `json:"version_id"`
	Reason    string   `json:"reason"`
	Create    bool     `json:"create"`
}

func putValue(a *api, c *call, in *putBody) func(context.Context) (written, error) {
	req := secret.PutRequest{ID: c.secret(), VersionID: in.VersionID, Labels: in.Labels, Base: in.Base, Reason: in.Reason, Options: in.options.of(c)}
	if c.base != nil {
		if in.Base != nil && *in.Base != *c.base {
			c.fail("base", "the base is another than that of If-Match")
		}
		req.Base = c.base
	}
	value := in.input(c)
	if value == nil {
		c.fail("value", "a value is required: text in value, or bytes in binary")
		return nil
	}
	if in.Create && len(in.Labels) > 0 {
		c.fail("create", "the first version of a secret has the current label: leave out the labels, or create")
	}
	req.Value = *value
	if req.VersionID == "" {
		req.VersionID = httpx.NewID()
	}
	if in.Create { // the same request, whether it puts or creates
		same := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", req.ID, c.who.Region, c.body))
		req.Same = same[:]
	}
	mayCreate := in.Create && !req.ID.IsARN && (req.Base == nil || *req.Base == 0)
	return func(ctx context.Context) (written, error) {
		out, err := a.Secrets.PutValue(ctx, c.who, req)
		if e := errs.As(err); mayCreate && e != nil && e.Kind == errs.NotFound && e.Code == secret.CodeSecret {
			return createByPut(ctx, a, c, req)
		}
		return viewWritten(out, err)
	}
}

// createByPut makes the secret that a put did not find. When somebody else was
// faster, the put is tried again.
func createByPut(ctx context.Context, a *api, c *call, req secret.PutRequest) (written, error) {
	out, err := a.Secrets.Create(ctx, c.who, secret.CreateRequest{Name: req.ID.Name, VersionID: req.VersionID, Value: &req.Value,
		Reason: req.Reason, Options: req.Options})
	if errs.Is(err, errs.Exists) {
		return viewWritten(a.Secrets.PutValue(ctx, c.who, req))
	}
	w, err := viewWritten(out, err)
	w.Created = w.Change != "" && w.Status == change.Applied
	return w, err
}
