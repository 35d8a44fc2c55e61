package boltkv_test

import (
	"path/filepath"
	"testing"

	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/kvtest"
)

func openAt(t testing.TB, c boltkv.Config) *boltkv.DB {
	t.Helper()
	db, err := boltkv.Open(c)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return db
}

func TestContract(t *testing.T) {
	paths := map[kv.DB]string{}
	open := func(t testing.TB, path string) kv.DB {
		db := openAt(t, boltkv.Config{Path: path, WatchCommits: 64})
		paths[db] = path
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	kvtest.Run(t, kvtest.Config{
		Open: func(t testing.TB) kv.DB { return open(t, filepath.Join(t.TempDir(), "store.db")) },
		Reopen: func(t testing.TB, db kv.DB) kv.DB {
			if err := db.(*boltkv.DB).Check(t.Context()); err != nil {
				t.Errorf("Check: %v", err)
			}
			if err := db.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			return open(t, paths[db])
		},
		History: 100,
	})
}
