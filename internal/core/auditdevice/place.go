package auditdevice

import (
	"context"
	"time"

	"countersign/internal/core/audit"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// load reads how far the device came.
func (w *worker) load(ctx context.Context) error {
	var at *cursor
	err := w.s.db.View(ctx, func(r kv.Reader) (err error) {
		at, err = record.Find[cursor](r, w.place.cursorKey())
		return err
	})
	if err != nil {
		return err
	}
	begin := max(w.s.Log.Stats().First, 1) - 1
	if at == nil || at.Made != w.d.Made {
		w.at = cursor{Made: w.d.Made, Seq: begin}
		return w.save(ctx)
	}
	w.at, w.saved = *at, *at
	ok, err := w.known(ctx)
	if err != nil || ok {
		return err
	}
	// The log is not the one that was written from: it was restored, or its end was
	// lost. Nothing counts that its numbers say.
	w.s.Logger.Warn("an audit device goes on in a log that is not as it was: some lines may come twice", "account", w.place.account, "device", w.place.name)
	if t, err := audit.ParseIDTime(w.at.LastID); err == nil && t.Add(-again).After(w.filter.Since) {
		w.filter.Since = t.Add(-again)
	}
	w.at = cursor{Made: w.d.Made, Seq: begin}
	return nil
}

// again is from how long before the last line a device goes on in a log that is
// not as it was.
const again = time.Hour

// known reports whether the log is the one in which the device came so far.
func (w *worker) known(ctx context.Context) (bool, error) {
	st := w.s.Log.Stats()
	if w.at.Seq > st.Seq {
		return false, nil
	}
	if w.at.LastID == "" || w.at.Last < st.First {
		return true, nil
	}
	rec, err := w.find(ctx, w.at.LastID)
	return rec != nil && rec.Seq == w.at.Last, err
}

// find looks for a record in the log, and in what was moved out of it; nil when
// it is in neither.
func (w *worker) find(ctx context.Context, id string) (*audit.Record, error) {
	f := audit.Filter{ID: id, Limit: 1}
	if _, err := audit.ParseIDTime(id); err != nil {
		return nil, nil
	}
	for r, err := range w.s.Log.Query(ctx, f) {
		if err != nil || w.mine(&r) {
			return &r, err
		}
	}
	if w.s.Archive == "" || w.s.Log.Stats().First <= 1 {
		return nil, nil
	}
	for r, err := range audit.Query(ctx, w.s.Archive, f) {
		if err != nil || w.mine(&r) {
			return &r, err
		}
	}
	return nil, nil
}

// resume goes on behind what the sink ends with, if that is further than what is
// known otherwise: the process ended before it could keep how far it came.
func (w *worker) resume(ctx context.Context, end ending) error {
	w.half, w.marks = "", nil
	if end.id == "" || end.id == w.at.LastID {
		return nil
	}
	rec, err := w.find(ctx, end.id)
	if err != nil || rec == nil || rec.Seq <= w.at.Seq {
		return err
	}
	was := w.at
	w.at = cursor{Made: w.d.Made, Seq: rec.Seq, Last: rec.Seq, LastID: rec.ID}
	if end.onlyRequest {
		w.half = rec.ID
		w.at = cursor{Made: w.d.Made, Seq: rec.Seq - 1, Last: was.Last, LastID: was.LastID}
	}
	return nil
}

// save keeps how far the device came, once that is durable in the sink and in the
// log.
func (w *worker) save(ctx context.Context) error {
	at := w.at
	if len(w.marks) > 0 {
		at = w.marks[0].at
	}
	if at == w.saved {
		return nil
	}
	if w.sink != nil && at.Last != w.saved.Last {
		if err := w.sink.sync(); err != nil {
			return err
		}
	}
	if w.s.Log.Synced() < at.Seq {
		if err := w.s.Log.Sync(); err != nil {
			return err
		}
	}
	_, err := w.s.db.Update(ctx, func(tx kv.Txn) error {
		d, err := record.Find[stored](tx, w.place.key())
		if err != nil || d == nil || d.Made != w.d.Made {
			return err // disabled meanwhile
		}
		return record.Put(tx, w.place.cursorKey(), at)
	})
	if err == nil {
		w.saved = at
	}
	return err
}
