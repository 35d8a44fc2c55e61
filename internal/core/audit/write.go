package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// entry is a record on its way into the log. Its buffer has a gap in front,
// for the previous hash and the sequence number, which are known last: so the
// expensive part is encoded outside the critical path, and hashed and written
// without being copied when it is alone.
type entry struct {
	buf  []byte
	time time.Time
	seq  uint64
	err  error
	lead bool          // woken to lead, not because it is done
	done chan struct{} // capacity 1
}

// entryGap holds a hash, `{"seq":` and twenty digits.
const entryGap = 64

func (l *Log) entry(r *Record) *entry {
	e, _ := l.pool.Get().(*entry)
	if e == nil {
		e = &entry{buf: make([]byte, entryGap, 1024), done: make(chan struct{}, 1)}
	}
	e.buf = appendRecord(e.buf[:entryGap], r)
	e.time = normTime(r.Time)
	e.err = nil
	return e
}

func (l *Log) recycle(e *entry) {
	if cap(e.buf) <= 64<<10 {
		l.pool.Put(e)
	}
}

// submit has the entries written, in one group with what others submit at the
// same time.
//
// Who finds no leader leads: it takes everything that is queued, writes it
// with one call, and hands the lead to the first who queued meanwhile. There
// is no goroutine in between, so that a lone append costs its encoding, one
// hash and one write(2).
func (l *Log) submit(own []*entry) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		for _, e := range own {
			e.err = errClosed()
		}
		return
	}
	l.queue = append(l.queue, own...)
	if l.busy {
		l.mu.Unlock()
		<-own[0].done
		if !own[0].lead {
			for _, e := range own[1:] {
				<-e.done
			}
			return
		}
		own[0].lead = false
		l.mu.Lock()
	} else {
		l.busy = true
	}
	batch := l.queue
	l.queue, l.spare = l.spare[:0], nil
	l.mu.Unlock()

	err := l.writeGroup(batch)
	for _, e := range batch {
		e.err = err
	}
	l.mu.Lock()
	l.release()
	if len(batch) > len(own) {
		l.mu.Unlock()
		// The leader's own entries are the first: it led either because the
		// queue was empty or because it was at its front.
		for _, e := range batch[len(own):] {
			e.done <- struct{}{}
		}
		l.mu.Lock()
	}
	if l.spare == nil {
		clear(batch)
		l.spare = batch[:0]
	}
	l.mu.Unlock()
}

// release publishes the state and passes the lead on. The caller leads and
// holds mu.
func (l *Log) release() {
	l.seen = l.st
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
	switch {
	case len(l.solo) > 0:
		next := l.solo[0]
		l.solo = l.solo[1:]
		close(next)
	case len(l.queue) > 0:
		l.queue[0].lead = true
		l.queue[0].done <- struct{}{}
	default:
		l.busy = false
	}
}

// alone runs f as the leader: no group is written meanwhile.
func (l *Log) alone(f func() error) error {
	l.mu.Lock()
	if l.busy {
		turn := make(chan struct{})
		l.solo = append(l.solo, turn)
		l.mu.Unlock()
		<-turn
	} else {
		l.busy = true
		l.mu.Unlock()
	}
	err := f()
	l.mu.Lock()
	l.release()
	l.mu.Unlock()
	return err
}

// add gives an entry its place after s and returns its line.
func (s *state) add(e *entry) []byte {
	s.seq++
	e.seq = s.seq
	var num [20]byte
	digits := strconv.AppendUint(num[:0], s.seq, 10)
	start := entryGap - len(`{"seq":`) - len(digits)
	copy(e.buf[start:], `{"seq":`)
	copy(e.buf[entryGap-len(digits):], digits)
	copy(e.buf[start-len(s.hash):], s.hash[:])
	s.hash = sha256.Sum256(e.buf[start-len(s.hash):])
	e.buf = appendChain(e.buf, &s.hash)
	s.span(e.time)
	s.size += int64(len(e.buf) - start)
	return e.buf[start:]
}

// span widens the segment's range of times.
func (s *state) span(t time.Time) {
	if s.seq == s.first || t.Before(s.from) {
		s.from = t
	}
	if s.seq == s.first || t.After(s.until) {
		s.until = t
	}
}

// writeGroup writes the entries as one. Either all are in the log or none.
func (l *Log) writeGroup(batch []*entry) error {
	if err := l.writable(); err != nil {
		return err
	}
	st := l.st
	var lines []byte
	if len(batch) == 1 {
		lines = st.add(batch[0])
	} else {
		l.out = l.out[:0]
		for _, e := range batch {
			l.out = append(l.out, st.add(e)...)
		}
		lines = l.out
		if cap(l.out) > 1<<20 {
			l.out = nil
		}
	}
	if err := l.write(lines); err != nil {
		return err
	}
	first := l.st.seq == l.st.signed
	l.st = st
	l.count.appended.Add(uint64(len(batch)))
	l.count.writes.Add(1)
	if first {
		nudge(l.kick)
	}
	if st.seq-st.signed >= l.cfg.CheckpointEvery || st.size >= l.cfg.SegmentSize {
		nudge(l.force)
	}
	return nil
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// writable refuses at once what would fail or must not be tried.
func (l *Log) writable() error {
	if b := l.broken.Load(); b != nil {
		return b
	}
	if l.full.Load() {
		return errFull()
	}
	return nil
}

// write puts whole lines at the end of the segment. When that fails, whatever
// part of them arrived is cut off again, at once or before the next write, so
// that the log ends with a whole line and the chain has no gap.
func (l *Log) write(lines []byte) error {
	if err := l.clean(); err != nil {
		return err
	}
	at := l.st.size
	n, err := l.f.WriteAt(lines, at)
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	if err != nil {
		l.dirty = l.f.Truncate(at) != nil
		return l.failed(err)
	}
	if l.failing {
		l.failing = false
		l.cfg.Logger.Info("audit log is writable again", "seq", l.st.seq)
	}
	return nil
}

// clean cuts off what a failed write left, when that could not be done then.
func (l *Log) clean() error {
	if !l.dirty {
		return nil
	}
	if err := l.f.Truncate(l.st.size); err != nil {
		return l.failed(err)
	}
	l.dirty = false
	return nil
}

// failed counts a failed write and logs the first of a row.
func (l *Log) failed(err error) error {
	l.count.failures.Add(1)
	if !l.failing {
		l.failing = true
		l.cfg.Logger.Error("audit log cannot be written", "error", err, "seq", l.st.seq)
	}
	return unwritable(err)
}

// checkpoint signs the chain when a record came since the last signature. The
// caller leads.
func (l *Log) checkpoint() error {
	st := l.st
	if st.seq == st.signed {
		return nil
	}
	st.head = Head{Seq: st.seq, Hash: st.hash}
	st.signed = st.seq
	body, err := seal(kindCheckpoint, l.id, checkpoint{
		Head: st.head, From: st.from, Until: st.until, Time: time.Now().UTC(), Key: l.keyID,
	}, l.cfg.Key)
	if err != nil {
		return err
	}
	st.hash = chainNext(st.hash, body)
	line := appendChain(body, &st.hash)
	st.size += int64(len(line))
	if err := l.write(line); err != nil {
		return err
	}
	l.st = st
	l.count.checkpoints.Add(1)
	return nil
}

// rotate closes the segment and begins the next. The old one is on stable
// storage before the new one exists, so that a power cut never leaves a gap in
// the middle. Without a record in the segment there is nothing to do. The
// caller leads.
func (l *Log) rotate() error {
	if l.st.seq < l.st.first {
		return nil
	}
	if b := l.broken.Load(); b != nil {
		return b
	}
	if err := l.checkpoint(); err != nil {
		return err
	}
	if err := l.clean(); err != nil {
		return err
	}
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if err := l.syncLocked(l.st); err != nil {
		return err
	}
	f, st, err := l.newSegment(header{
		First: l.st.seq + 1, Prev: l.st.hash, Hash: l.st.head.Hash, From: l.st.from, Until: l.st.until,
	})
	if err != nil {
		return l.failed(err)
	}
	_ = l.f.Close() // synced above; nothing is lost by a failure
	l.f, l.st = f, st
	l.count.rotations.Add(1)
	l.count.segments.Add(1)
	return nil
}

// newSegment makes a segment that holds a header, durable under its name.
func (l *Log) newSegment(h header) (file, state, error) {
	h.Format, h.Log, h.Time, h.Key = formatVersion, l.id, time.Now().UTC(), l.pub
	body, err := seal(kindSegment, l.id, h, l.cfg.Key)
	if err != nil {
		return nil, state{}, err
	}
	st := state{
		hash: chainNext(h.Prev, body), seq: h.First - 1, first: h.First, signed: h.First - 1,
		head: Head{Seq: h.First - 1, Hash: h.Hash}, began: h.Time,
	}
	line := appendChain(body, &st.hash)
	st.size = int64(len(line))

	path := segmentPath(l.cfg.Dir, h.First)
	tmp := path + tempExt
	f, err := l.cfg.disk.open(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR)
	if err != nil {
		return nil, state{}, fmt.Errorf("beginning segment: %w", err)
	}
	_, err = f.WriteAt(line, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		if err = os.Rename(tmp, path); err == nil {
			tmp = path // what is to be removed on a failure
			err = syncDir(l.cfg.Dir)
		}
	}
	if err != nil {
		return nil, state{}, fmt.Errorf("beginning segment: %w", errors.Join(err, f.Close(), ignoreMissing(os.Remove(tmp))))
	}
	return f, st, nil
}

// syncTo returns once the records up to seq, and the signatures up to signed,
// are on stable storage. Concurrent callers share an fsync.
func (l *Log) syncTo(seq, signed uint64) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if l.synced.Load() >= seq && l.syncedSigned >= signed {
		return nil
	}
	l.mu.Lock()
	now := l.seen
	l.mu.Unlock()
	return l.syncLocked(now)
}

// syncLocked makes the current segment durable, at least as far as now. The
// caller holds syncMu.
//
// After a failed fsync nobody can say what is on the disk: the kernel may have
// dropped the pages and would report success next time. So the log refuses
// everything until it is opened again and its tail was read back.
func (l *Log) syncLocked(now state) error {
	if b := l.broken.Load(); b != nil {
		return b
	}
	l.count.syncs.Add(1)
	if err := l.f.Sync(); err != nil {
		l.count.failures.Add(1)
		l.cfg.Logger.Error("audit log cannot be synced: it refuses records until the server is started again", "error", err)
		l.broken.Store(unwritable(fmt.Errorf("syncing audit log: %w", err)))
		return l.broken.Load()
	}
	l.synced.Store(max(l.synced.Load(), now.seq))
	l.syncedSigned = max(l.syncedSigned, now.signed)
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
