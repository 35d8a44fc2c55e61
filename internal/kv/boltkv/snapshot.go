package boltkv

import (
	"sync"

	"go.etcd.io/bbolt"
)

// snapshots shares one read transaction among the Views of a revision: to begin
// and end one takes longer than to read a pair in it. Several goroutines may
// read in a transaction at once, each through cursors of its own: bbolt's pages
// are never written to, and its counters are atomic.
//
// A transaction is shared only while no batch is open. So none outlives its
// revision, keeps pages from being reused, or keeps the file from being mapped
// anew, for which bbolt waits until every read has ended.
type snapshots struct {
	mu      sync.Mutex
	shared  *snapshot
	writing bool // a batch is open
}

// snapshot is a read transaction in use. Its fields are guarded by snapshots.mu.
type snapshot struct {
	pairs pairs
	tx    *bbolt.Tx
	users int
	idle  []*reader // that were used and can be again
}

// reader is a View over the pairs of a read transaction.
type reader struct {
	pairs
	of *snapshot
}

// take returns a reader of the newest revision, to be given to release.
func (s *snapshots) take(db *bbolt.DB) (*reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared != nil {
		return s.shared.reader(), nil
	}
	tx, err := db.Begin(false)
	if err != nil {
		return nil, beginError(err)
	}
	sn := &snapshot{tx: tx, pairs: pairsOf(tx)}
	if !s.writing {
		sn.users++ // by shared
		s.shared = sn
	}
	return sn.reader(), nil
}

func (sn *snapshot) reader() *reader {
	sn.users++
	if n := len(sn.idle); n > 0 {
		r := sn.idle[n-1]
		sn.idle = sn.idle[:n-1]
		return r
	}
	return &reader{pairs: sn.pairs, of: sn}
}

func (s *snapshots) release(r *reader) { s.leave(r.of, r) }

// leave ends one use of a snapshot, and keeps the reader that it had, if any.
func (s *snapshots) leave(sn *snapshot, r *reader) {
	s.mu.Lock()
	if r != nil {
		sn.idle = append(sn.idle, r)
	}
	sn.users--
	last := sn.users == 0
	s.mu.Unlock()
	if last {
		_ = sn.tx.Rollback() // of a read: it cannot fail
	}
}

// pause ends sharing until resume.
func (s *snapshots) pause() {
	s.mu.Lock()
	sn := s.shared
	s.shared, s.writing = nil, true
	s.mu.Unlock()
	if sn != nil {
		s.leave(sn, nil)
	}
}

func (s *snapshots) resume() {
	s.mu.Lock()
	s.writing = false
	s.mu.Unlock()
}
