package vault

import (
	"bytes"
	"context"
	"encoding/json"

	"countersign/internal/core/policy"
	"countersign/internal/core/token"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// cubbyholeRows are what a token keeps for itself: an object at each path.
func cubbyholeRows() []row {
	return []row{
		{methods: "GET", path: "{path...}", op: policy.ReadCubbyhole, do: readCubbyhole},
		{methods: "POST", path: "{path...}", op: policy.WriteCubbyhole, do: writeCubbyhole},
		{methods: "DELETE", path: "{path...}", op: policy.DeleteCubbyhole, do: deleteCubbyhole},
		{methods: "LIST", path: "{path...}", op: policy.ListCubbyhole, do: listCubbyhole},
	}
}

func readCubbyhole(ctx context.Context, c *call) (*answer, error) {
	v, err := c.f.Tokens.ReadCubbyhole(ctx, c.who, c.vars[0])
	if err != nil {
		return nil, absent(err, token.CodeNoEntry)
	}
	return ok(json.RawMessage(v.Reveal())), nil
}

func writeCubbyhole(ctx context.Context, c *call) (*answer, error) {
	if len(c.body) == 0 {
		return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.Invalid, "missing data fields"))
	}
	var b bytes.Buffer
	if err := json.Compact(&b, c.raw); err != nil { // it was read before
		return nil, errs.Wrap(errs.Internal, err, "writing an entry")
	}
	return nil, c.f.Tokens.WriteCubbyhole(ctx, c.who, c.vars[0], sensitive.New(b.Bytes()))
}

func deleteCubbyhole(ctx context.Context, c *call) (*answer, error) {
	return nil, c.f.Tokens.DeleteCubbyhole(ctx, c.who, c.vars[0])
}

func listCubbyhole(ctx context.Context, c *call) (*answer, error) {
	names, err := c.f.Tokens.ListCubbyhole(ctx, c.who, c.vars[0])
	return keys(names, absent(err, token.CodeNoEntry))
}
