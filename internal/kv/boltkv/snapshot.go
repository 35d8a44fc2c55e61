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

// snapshot is a read transaction in use. users is guarded by snapshots.mu.
type snapshot struct {
	pairs
	tx    *bbolt.Tx
	users int
}

// take returns a snapshot of the newest revision, to be given to release.
func (s *snapshots) take(db *bbolt.DB) (*snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared != nil {
		s.shared.users++
		return s.shared, nil
	}
	tx, err := db.Begin(false)
	if err != nil {
		return nil, beginError(err)
	}
	sn := &snapshot{tx: tx, pairs: pairsOf(tx), users: 1}
	if !s.writing {
		sn.users++ // by shared
		s.shared = sn
	}
	return sn, nil
}

func (s *snapshots) release(sn *snapshot) {
	s.mu.Lock()
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
		s.release(sn)
	}
}

func (s *snapshots) resume() {
	s.mu.Lock()
	s.writing = false
	s.mu.Unlock()
}
