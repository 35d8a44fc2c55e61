package auditdevice

import (
	"context"
	"errors"
	"sync"
	"time"

	"countersign/internal/core/audit"
	"countersign/internal/core/mount"
)

// Timing of a worker.
const (
	gather       = 50 * time.Millisecond // between two looks at a log that grows: lines are written together
	checkEvery   = time.Second
	saveEvery    = 10 * time.Second
	firstPause   = 250 * time.Millisecond
	longestPause = time.Minute
)

// batch is how many records are written at once.
const batch = 256

// worker writes to one device.
type worker struct {
	s      *Service
	place  place
	d      *stored
	stop   context.CancelFunc
	done   chan struct{}
	report report

	// The fields below are of the worker's own goroutine.
	sink   sink
	render renderer
	reader *audit.Reader
	filter audit.Filter
	at     cursor // as far as it came
	saved  cursor
	half   string // id of the record of which only the request is written
	marks  []mark // of a sink that is unsure
}

// mark is where a worker stood when it sent what may not have arrived.
type mark struct {
	when time.Time
	at   cursor
}

// report is what others may know of a worker.
type report struct {
	mu sync.Mutex
	facts
}

type facts struct {
	state   State
	since   time.Time
	why     string
	written time.Time
	lastID  string
	place   uint64
	pending time.Time // of the oldest record that is known not to be written
	lost    uint64
}

func (r *report) get() facts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.facts
}

func (r *report) set(f func(*facts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.facts)
}

func (f *facts) behind(now time.Time) time.Duration {
	if f.pending.IsZero() {
		return 0
	}
	return max(0, now.Sub(f.pending))
}

// run writes until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	w.filter = audit.Filter{Account: w.place.account, Since: time.UnixMicro(w.d.Since)}
	if w.place.account == w.s.Home {
		w.filter.Account = "" // its own and nobody's, which mine tells from others'
	}
	pause := firstPause
	for loaded := false; ctx.Err() == nil; {
		began := time.Now()
		var err error
		if !loaded {
			err = w.load(ctx)
		}
		if err == nil {
			loaded = true
			err = w.serve(ctx)
		}
		if ctx.Err() != nil || errors.Is(err, errMoved) {
			continue
		}
		if time.Since(began) > saveEvery {
			pause = firstPause
		}
		w.failed(ctx, err)
		wait(ctx, pause)
		pause = min(2*pause, longestPause)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), defaultWait)
	defer cancel()
	if err := w.save(last); err != nil {
		w.s.Logger.Warn("keeping how far an audit device came", "account", w.place.account, "device", w.place.name, "error", err)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// mine reports whether a record is for this device.
func (w *worker) mine(r *audit.Record) bool {
	return r.Account == w.place.account || r.Account == "" && w.place.account == w.s.Home
}

// serve opens the sink and writes until something is wrong.
func (w *worker) serve(ctx context.Context) error {
	var err error
	if w.sink, w.render.set, err = w.s.sinkOf(w.place.account, w.d); err != nil {
		return err
	}
	w.render.device, w.render.home = w.d, w.s.Home
	defer w.sink.close()
	end, err := w.sink.open(ctx)
	if err != nil {
		return err
	}
	if err := w.resume(ctx, end); err != nil {
		return err
	}
	w.reader = w.s.Log.Reader(w.filter, w.at.Seq, w.s.Archive)
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	saved := time.Now()
	for {
		more, err := w.step(ctx)
		if err != nil {
			return w.broken(ctx, err)
		}
		if time.Since(saved) >= saveEvery {
			if err := w.save(ctx); err != nil {
				return err
			}
			saved = time.Now()
		}
		if more {
			continue
		}
		wait(ctx, gather)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.reader.Wake():
		case <-tick.C:
		}
		if err := w.check(); err != nil {
			return w.broken(ctx, err)
		}
	}
}

// check looks whether the sink is what it was, and then no longer doubts what was
// sent long enough ago.
func (w *worker) check() error {
	if err := w.sink.check(); err != nil {
		return err
	}
	old := 0
	for old < len(w.marks) && time.Since(w.marks[old].when) > w.sink.unsure() {
		old++
	}
	w.marks = w.marks[old:]
	return nil
}

// broken is what is done when the sink is of no more use: it goes back to where
// what was written did arrive for certain. A file that was moved is left complete.
func (w *worker) broken(ctx context.Context, err error) error {
	if len(w.marks) > 0 {
		w.at, w.marks, w.half = w.marks[0].at, nil, ""
	}
	if errors.Is(err, errMoved) {
		if serr := w.save(ctx); serr != nil {
			return serr
		}
	}
	return err
}

// step writes the next records. more says that there were as many as it takes at
// once.
func (w *worker) step(ctx context.Context) (more bool, err error) {
	list, err := w.reader.Next(ctx, batch)
	if lost, ok := errors.AsType[*audit.LostError](err); ok {
		w.lost(lost)
		err, more = nil, true
	}
	if err != nil {
		return false, unread{err}
	}
	more = more || len(list) == batch
	var mine []audit.Record
	for i := range list {
		if w.mine(&list[i]) {
			mine = append(mine, list[i])
		}
	}
	if len(mine) > 0 {
		if err := w.write(ctx, mine); err != nil {
			return false, err
		}
	}
	w.at.Seq = w.reader.Place()
	w.report.set(func(f *facts) {
		f.place = w.at.Seq
		if !more {
			f.pending = time.Time{}
		}
	})
	w.well()
	return more, nil
}

// write writes records, of which there is at least one.
func (w *worker) write(ctx context.Context, list []audit.Record) error {
	w.report.set(func(f *facts) { f.pending = list[0].Time })
	table, err := w.table(ctx)
	if err != nil {
		return err
	}
	if err := w.check(); err != nil {
		return err
	}
	lines := make([][]byte, len(list))
	for i := range list {
		lines[i] = w.render.lines(nil, &list[i], table, list[i].ID == w.half)
	}
	if w.sink.unsure() > 0 && (len(w.marks) == 0 || time.Since(w.marks[len(w.marks)-1].when) > checkEvery) {
		w.marks = append(w.marks, mark{time.Now(), w.at})
	}
	n, err := w.sink.write(ctx, lines)
	if n > 0 {
		w.half = ""
		last := &list[n-1]
		w.at = cursor{Made: w.d.Made, Seq: last.Seq, Last: last.Seq, LastID: last.ID}
		w.s.count(w.d.Type, 2*n)
		w.report.set(func(f *facts) { f.written, f.lastID, f.place = time.Now(), last.ID, last.Seq })
	}
	return err
}

// table is the mounts of the account as they are now.
func (w *worker) table(ctx context.Context) (*mount.Table, error) {
	gen, err := w.s.Mounts.Generation(ctx, w.place.account)
	if err != nil {
		return nil, err
	}
	return w.s.Mounts.Table(ctx, w.place.account, gen)
}

// lost says that records are gone before they were written.
func (w *worker) lost(gap *audit.LostError) {
	n := gap.To - gap.From + 1
	w.s.mu.Lock()
	w.s.lost += n
	w.s.mu.Unlock()
	w.report.set(func(f *facts) { f.lost += n })
	w.s.Logger.Error("records were gone from the audit log and its exports before an audit device had written them",
		"account", w.place.account, "device", w.place.name, "from", gap.From, "to", gap.To)
}

// failed and well note how the device fares, and tell the log of a change.
func (w *worker) failed(ctx context.Context, err error) {
	text, oldest := why(err), w.oldest(ctx)
	var before facts
	w.report.set(func(f *facts) {
		before = *f
		if f.state != Failing {
			f.state, f.since = Failing, time.Now()
		}
		f.why, f.pending = text, oldest
	})
	if before.state != Failing || before.why != text {
		w.s.Logger.Warn("an audit device cannot be written; it is tried again and misses nothing", "account", w.place.account, "device", w.place.name,
			"type", w.d.Type, "why", text, "error", err)
	}
}

// oldest is the time of the first record that is not written; zero when there is
// none.
func (w *worker) oldest(ctx context.Context) time.Time {
	r := w.s.Log.Reader(w.filter, w.at.Seq, w.s.Archive)
	for {
		list, err := r.Next(ctx, batch)
		for i := range list {
			if w.mine(&list[i]) {
				return list[i].Time
			}
		}
		if err != nil || len(list) < batch {
			return time.Time{}
		}
	}
}

func (w *worker) well() {
	var before facts
	w.report.set(func(f *facts) {
		before = *f
		if f.state != Writing {
			f.state, f.since, f.why = Writing, time.Now(), ""
		}
	})
	if before.state == Failing {
		w.s.Logger.Info("an audit device is written again", "account", w.place.account, "device", w.place.name, "type", w.d.Type,
			"after", time.Since(before.since).Round(time.Second).String())
	}
}

func (s *Service) count(kind string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[kind] += uint64(n)
}
