package vault

import (
	"context"
	"encoding/json"
	"net/http"

	"countersign/internal/core/policy"
	"countersign/internal/core/token"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// wrappingRows are about answers that are behind a token.
func wrappingRows() []row {
	return []row{
		{methods: "POST", path: "wrapping/wrap", op: policy.WrapResponse, do: wrap},
		{methods: "POST", path: "wrapping/unwrap", op: policy.Unwrap, naked: true, do: unwrap},
		{methods: "GET POST", path: "wrapping/lookup", op: policy.LookupWrapping, naked: true, do: lookupWrapping},
		{methods: "POST", path: "wrapping/rewrap", op: policy.Rewrap, naked: true, do: rewrap},
	}
}

// bringsWrapping reports whether a request is about a wrapping token and proves
// nothing but to have one. What such a token is can be asked with it alone.
func (c *call) bringsWrapping() bool {
	switch c.path {
	case "sys/wrapping/unwrap", "sys/wrapping/rewrap":
		return token.IsWrapping(c.token())
	case "sys/wrapping/lookup":
		return c.token() == "" || token.IsWrapping(c.token())
	}
	return false
}

// wrappingToken is the token that a request is about: in the body, or the one that
// it comes with.
func (c *call) wrappingToken() string {
	if t := c.text("token"); t != "" {
		return t
	}
	return c.token()
}

// wrap answers with what it was sent, which goes behind a token like any answer.
func wrap(ctx context.Context, c *call) (*answer, error) {
	if c.wrapTTL == 0 {
		return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.Invalid, "endpoint requires response wrapping to be used"))
	}
	if c.body == nil {
		return ok(json.RawMessage("{}")), nil
	}
	return ok(json.RawMessage(c.raw)), nil
}

func unwrap(ctx context.Context, c *call) (*answer, error) {
	t := c.wrappingToken()
	if c.err != nil {
		return nil, nil
	}
	out, err := c.f.Tokens.Unwrap(ctx, c.who, t)
	if err != nil {
		return nil, err
	}
	return &answer{raw: out.Body.Reveal()}, nil
}

func lookupWrapping(ctx context.Context, c *call) (*answer, error) {
	t := c.wrappingToken()
	if c.err != nil {
		return nil, nil
	}
	w, err := c.f.Tokens.LookupWrapping(ctx, c.who, t)
	if err != nil {
		return nil, err
	}
	return ok(map[string]any{"creation_path": w.CreationPath, "creation_time": stamp(w.CreationTime), "creation_ttl": seconds(w.TTL)}), nil
}

func rewrap(ctx context.Context, c *call) (*answer, error) {
	t := c.wrappingToken()
	if c.err != nil {
		return nil, nil
	}
	w, err := c.f.Tokens.Rewrap(ctx, c.who, t)
	if err != nil {
		return nil, err
	}
	return behind(&w), nil
}

// wrapJSON says how an answer is unwrapped.
type wrapJSON struct {
	Token    string `json:"token"`
	Accessor string `json:"accessor"`
	Seconds  int64  `json:"ttl"`
	Created  string `json:"creation_time"`
	Path     string `json:"creation_path"`
	Wrapped  string `json:"wrapped_accessor,omitempty"`
}

// behind is the answer in the place of one that is wrapped.
func behind(w *token.Wrapped) *answer {
	return &answer{wrap: wrapJSON{Token: string(w.Token.Reveal()), Accessor: w.Accessor, Seconds: seconds(w.TTL), Created: stamp(w.CreationTime),
		Path: w.CreationPath, Wrapped: w.WrappedAccessor}}
}

// wrapped puts an answer behind a token that opens it once: the very body that
// would have been sent. What says nothing but that it was done is left as it is,
// and so is what is no success.
func (f *front) wrapped(ctx context.Context, c *call, a *answer) (*answer, error) {
	if a == nil || a.code != 0 && a.code != http.StatusOK || a.data == nil && a.auth == nil && a.raw == nil || c.who.Name == "" {
		return a, nil
	}
	body, err := a.raw, error(nil)
	if body == nil {
		if body, err = a.encode(c, nil); err != nil {
			return nil, errs.Wrap(errs.Internal, err, "encoding an answer")
		}
	}
	req := token.WrapRequest{TTL: c.wrapTTL, Body: sensitive.New(body), Path: c.path}
	if login, is := a.auth.(*loginJSON); is {
		req.Accessor = login.Accessor
	}
	w, err := f.Tokens.Wrap(ctx, c.who, req)
	if err != nil {
		return nil, err
	}
	return behind(&w), nil
}
