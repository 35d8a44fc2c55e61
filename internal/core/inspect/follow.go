package inspect

import (
	"context"
	"errors"
	"iter"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Follow yields the records of the caller's account that req selects: those
// since req.Since when that is set, and then those to come, oldest first, until
// ctx ends, the server stops or the consumer does. Until, Limit and Page do not
// count.
//
// The one record of it is written before Follow returns. From then on the
// caller's key and permission are looked at again every Config.Recheck: once
// they are gone, the sequence ends with the refusal, which has a record of its
// own. Throttled: as many follow as the server takes. A sequence that was
// returned must be consumed, since it holds one of their places.
func (s *Service) Follow(ctx context.Context, who caller.Caller, req QueryRequest) (iter.Seq2[audit.Record, error], error) {
	after := uint64(0)
	err := s.Gate.Do(ctx, who, "", onLog(who, policy.QueryAudit), func(*audit.Record) error {
		req.Until = time.Time{}
		if err := req.check(); err != nil {
			return err
		}
		if err := s.Relay.Flush(ctx); err != nil {
			return err
		}
		if req.Since.IsZero() {
			after = s.Log.Stats().Seq
		}
		select {
		case s.following <- struct{}{}:
			return nil
		default:
			return errs.Coded(errs.Throttled, CodeBusy, "too many follow the log at this time")
		}
	})
	if err != nil {
		return nil, err
	}
	return func(yield func(audit.Record, error) bool) {
		defer func() { <-s.following }()
		s.follow(ctx, who, s.filter(who, req), after, yield)
	}, nil
}

func (s *Service) follow(ctx context.Context, who caller.Caller, f audit.Filter, after uint64, yield func(audit.Record, error) bool) {
	watched, end := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.watch(watched, who, end)
	}()
	defer func() { end(nil); <-done }()
	for r, err := range s.Log.Follow(watched, f, after) {
		if err != nil {
			var refused *errs.Error
			if errors.As(context.Cause(watched), &refused) {
				err = refused
			}
			yield(audit.Record{}, gate.Classify(err))
			return
		}
		if s.sees(who, &r) && !yield(s.show(who, r), nil) {
			return
		}
	}
}

// watch looks at the caller's permission until ctx ends, and ends it once that
// is gone.
func (s *Service) watch(ctx context.Context, who caller.Caller, end context.CancelCauseFunc) {
	tick := time.NewTicker(s.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := s.recheck(ctx, who, now); err != nil && ctx.Err() == nil {
				end(errs.As(err))
				return
			}
		}
	}
}

// recheck is nil while the caller may still see the log. A refusal is recorded.
func (s *Service) recheck(ctx context.Context, who caller.Caller, now time.Time) error {
	rec := gate.NewRecord(who, policy.QueryAudit, "")
	rec.Time, rec.ID = now, audit.NewID(now)
	_, err := s.Identities.Lookup(ctx, who.KeyID, now)
	if who.KeyID == "" {
		err = nil
	}
	if err == nil {
		err = s.Gate.DB.View(ctx, func(r kv.Reader) error {
			return gate.NewAccess(r, s.Gate.Auth, who, &rec).Allow(onLog(who, policy.QueryAudit), nil)
		})
	}
	if err == nil {
		return nil
	}
	return s.Gate.Finish(ctx, &rec, err)
}
