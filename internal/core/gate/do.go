package gate

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/policy"
	"countersign/internal/kv"
)

// Do is View for work that must not hold a snapshot meanwhile: reading the log,
// writing a backup, anything that waits. It asks policy about req and, when
// that allows, runs f outside of the transaction; f may add to the record. One
// record of what came of both is written before Do returns.
func (g *Gate) Do(ctx context.Context, who caller.Caller, resource string, req *policy.Request, f func(rec *audit.Record) error) error {
	rec := NewRecord(who, req.Op, resource)
	err := g.DB.View(ctx, func(r kv.Reader) error {
		return NewAccess(r, g.Auth, who, &rec).Allow(req, nil)
	})
	if err == nil {
		err = f(&rec)
	}
	return g.Finish(ctx, &rec, err)
}
