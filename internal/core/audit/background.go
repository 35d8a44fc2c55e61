package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// background signs, syncs, rotates and watches the disk, off the path of
// appends.
func (l *Log) background() {
	defer close(l.done)
	tick := time.NewTicker(l.cfg.SpaceEvery)
	defer tick.Stop()
	due := time.NewTimer(l.cfg.CheckpointAfter) // signs what Open found unsigned
	defer due.Stop()
	push := time.NewTimer(pushEvery)
	defer push.Stop()
	var failed bool
	for {
		select {
		case <-l.stop:
			return
		case <-l.kick:
			due.Reset(l.cfg.CheckpointAfter)
			push.Reset(pushEvery)
			continue
		case <-push.C:
			if l.push() {
				push.Reset(pushEvery)
			}
			continue
		case <-tick.C:
			l.lookAtSpace()
			l.appendNotes()
			if !failed && !l.unfinished() {
				continue
			}
		case <-due.C:
		case <-l.force:
		}
		err := l.settle()
		if failed = err != nil; failed {
			l.cfg.Logger.Warn("settling audit log", "error", err)
		}
	}
}

// pushEvery is how often what was appended is pushed to the disk. A sync of a
// second's worth at once takes the processor for milliseconds.
const pushEvery = 50 * time.Millisecond

// keepCached is how much of the end of a segment stays in memory for those who
// follow the log. The rest is seldom read, and would fill the memory of a busy
// machine in an hour: there would be less for the pages of the store, and
// each append would pay for a page that was not in use before.
const keepCached = 4 << 20

// push begins to write what fills whole pages of the segment, each once, and
// lets go of those that were pushed long ago. It reports whether records wait
// for a signature: then there will be more.
func (l *Log) push() bool {
	const page = 4096
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	now := l.seen
	l.mu.Unlock()
	if l.pushedOf != now.first {
		l.pushedOf, l.pushed = now.first, 0
	}
	if to := now.size &^ (page - 1); to > l.pushed {
		l.f.Push(l.pushed, to-l.pushed)
		l.pushed = to
	}
	if to := l.pushed - keepCached; to > 0 { // all of it, since not all was on the disk the last time
		l.f.Evict(0, to)
	}
	return now.seq != now.signed
}

// appendNotes writes what Open repaired. A disk that is full now is tried
// again later. Open and then the background goroutine call it.
func (l *Log) appendNotes() {
	for len(l.notes) > 0 && l.Append(context.Background(), &l.notes[0]) == nil {
		l.notes = l.notes[1:]
	}
}

// unfinished reports whether there is work that no timer will start: a segment
// that became too old, or a head that was not published.
func (l *Log) unfinished() bool {
	l.mu.Lock()
	st := l.seen
	l.mu.Unlock()
	l.headMu.Lock()
	defer l.headMu.Unlock()
	return l.rotationDue(st) || l.publishDue() && (l.written != st.head || l.cfg.Anchor != nil && l.anchored != st.head)
}

// publishDue reports whether the head may be published again: each time is
// some syncs of the disk. The caller holds headMu.
func (l *Log) publishDue() bool { return time.Since(l.published) >= l.cfg.PublishEvery }

func (l *Log) rotationDue(st state) bool {
	return st.seq >= st.first && (st.size >= l.cfg.SegmentSize || time.Since(st.began) >= l.cfg.SegmentAge)
}

// settle signs and syncs what was appended, closes the segment when it is
// time, and publishes the head. What fails is tried again at the next tick.
func (l *Log) settle() error {
	if err := l.alone(l.checkpoint); err != nil {
		return err
	}
	l.mu.Lock()
	st := l.seen
	l.mu.Unlock()
	if err := l.syncTo(st.seq, st.signed); err != nil {
		return err
	}
	if l.rotationDue(st) {
		// Nearly everything was synced just now, so the sync that rotation
		// does while appends wait is short.
		if err := l.alone(l.rotate); err != nil {
			return err
		}
		return l.publish(context.Background())
	}
	l.headMu.Lock()
	publish := l.publishDue()
	l.headMu.Unlock()
	if !publish {
		return nil
	}
	return l.publish(context.Background())
}

// Rotate closes the current segment now, so that it can be exported. Without
// records in it nothing happens.
func (l *Log) Rotate(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return errClosed()
	}
	if err := l.alone(l.rotate); err != nil {
		return err
	}
	return l.publish(ctx)
}

// publish writes HEAD and tells the anchor, when the head is durable and new.
func (l *Log) publish(ctx context.Context) error {
	head := l.Head()
	if err := l.syncTo(head.Seq, head.Seq); err != nil {
		return err
	}
	l.headMu.Lock()
	defer l.headMu.Unlock()
	if head.Seq < l.written.Seq {
		return nil // another publisher was faster
	}
	if head != l.written {
		if err := l.writeHead(head); err != nil {
			return err
		}
	}
	if l.cfg.Anchor != nil && head != l.anchored {
		if err := l.cfg.Anchor(ctx, head); err != nil {
			return fmt.Errorf("anchoring head of audit log: %w", err)
		}
		l.anchored = head
		l.anchorSeq.Store(head.Seq)
	}
	l.published = time.Now()
	return nil
}

// writeHead replaces HEAD. The caller holds headMu.
func (l *Log) writeHead(head Head) error {
	data, err := seal(kindHead, l.id, headFile{
		Log: l.id, First: l.first.Load(), Head: head, Time: time.Now().UTC(), Key: l.keyID,
	}, l.cfg.Key)
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(l.cfg.Dir, headName), append(data, "}\n"...)); err != nil {
		return fmt.Errorf("writing head of audit log: %w", err)
	}
	l.written = head
	return nil
}

// readHead returns the content of a HEAD file, or nil when there is none. It
// is not verified yet.
func readHead(dir string) (*headFile, statement, error) {
	data, err := os.ReadFile(filepath.Join(dir, headName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, statement{}, nil
	}
	if err != nil {
		return nil, statement{}, fmt.Errorf("reading head of audit log: %w", err)
	}
	if len(data) < 2 || string(data[len(data)-2:]) != "}\n" {
		return nil, statement{}, errors.New("reading head of audit log: HEAD is cut or edited")
	}
	var h headFile
	s, err := unseal(kindHead, data[:len(data)-2], &h)
	if err != nil {
		return nil, statement{}, fmt.Errorf("reading head of audit log: %w", err)
	}
	return &h, s, nil
}

// lookAtSpace refreshes what Stats says about the file system. When it cannot
// be asked, the last answer stands.
func (l *Log) lookAtSpace() {
	free, err := l.cfg.disk.free(l.cfg.Dir)
	if err != nil {
		l.cfg.Logger.Warn("looking at free space for audit log", "error", err)
		return
	}
	l.free.Store(free)
	if low := free < l.cfg.WarnFree; l.low.Swap(low) != low && low {
		l.cfg.Logger.Warn("audit log runs out of space", "free", free, "warn", l.cfg.WarnFree)
	}
	if full := free < l.cfg.MinFree; l.full.Swap(full) != full {
		if full {
			l.cfg.Logger.Error("audit log has no space left: requests are refused", "free", free, "min", l.cfg.MinFree)
		} else {
			l.cfg.Logger.Info("audit log has space again", "free", free)
		}
	}
}

// Close signs and syncs the rest, publishes the head, and releases the folder.
// Later appends are refused. Only the first call does something.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	<-l.done
	for l.queued() {
		_ = l.alone(func() error { return nil })
	}
	err := l.alone(func() error {
		if err := errors.Join(l.checkpoint(), l.clean()); err != nil {
			return err
		}
		l.syncMu.Lock()
		defer l.syncMu.Unlock()
		return l.syncLocked(l.st)
	})
	if err == nil {
		err = l.publish(context.Background())
	}
	_ = l.alone(func() error {
		l.syncMu.Lock()
		defer l.syncMu.Unlock()
		return l.f.Close()
	})
	if cerr := l.lock.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("closing audit log: %w", err)
	}
	return nil
}

func (l *Log) queued() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0
}
