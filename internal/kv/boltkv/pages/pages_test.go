package pages_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"countersign/internal/kv/boltkv/pages"
)

// file is a small bbolt file, with as many pairs as asked for.
func file(t testing.TB, pairs int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.db")
	b, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 1024})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket([]byte("bucket"))
		for i := 0; i < pairs && err == nil; i++ {
			err = bucket.Put([]byte{byte(i >> 8), byte(i)}, make([]byte, i%90))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.View(func(tx *bbolt.Tx) error { pairs = int(tx.Size()); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return all[:pairs]
}

func walk(t testing.TB, b []byte) (pairs int, problems []string, err error) {
	t.Helper()
	f, err := pages.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return 0, nil, err
	}
	problems, err = f.Walk(func(_ string, key, value []byte) error { pairs++; return nil })
	if err != nil {
		t.Errorf("Walk: %v", err)
	}
	return pairs, append(problems, f.Warnings...), nil
}

func TestWalk(t *testing.T) {
	for _, n := range []int{0, 1, 5, 100, 1000} {
		pairs, problems, err := walk(t, file(t, n))
		if pairs != n || len(problems) > 0 || err != nil {
			t.Errorf("%d pairs of %d, problems %q, error %v", pairs, n, problems, err)
		}
	}
}

func TestOneCommitRecordIsEnough(t *testing.T) {
	for page, offset := range []int{20, 1024 + 20} {
		b := file(t, 5)
		b[offset] ^= 1
		_, problems, err := walk(t, b)
		if err != nil || len(problems) == 0 {
			t.Errorf("page %d damaged: problems %q, error %v", page, problems, err)
		}
	}
	b := file(t, 5)
	b[20] ^= 1
	b[1024+20] ^= 1
	if _, _, err := walk(t, b); err == nil {
		t.Error("a file without a commit record was opened")
	}
}

// FuzzWalk damages a file: whatever it is, walking ends without a panic, and a
// file without problems has the pairs that bbolt would read.
func FuzzWalk(f *testing.F) {
	good := file(f, 200)
	f.Add(uint32(2048+8), []byte{2})
	f.Add(uint32(3*1024+12), []byte{0xff, 0xff})
	f.Add(uint32(16), []byte{0})
	f.Fuzz(func(t *testing.T, offset uint32, damage []byte) {
		b := bytes.Clone(good)
		copy(b[int(offset)%len(b):], damage)
		pairs, problems, err := walk(t, b)
		if pairs > 200 {
			t.Errorf("%d pairs of 200", pairs)
		}
		if bytes.Equal(b, good) && (pairs != 200 || len(problems) > 0 || err != nil) {
			t.Errorf("sound file: %d pairs, problems %q, error %v", pairs, problems, err)
		}
	})
}
