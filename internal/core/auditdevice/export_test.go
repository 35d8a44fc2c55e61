package auditdevice

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"

	"countersign/internal/core/audit"
	"countersign/internal/core/mount"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// Render returns the lines of a record.
func Render(s *Service, salt []byte, options map[string]string, account string, rec audit.Record, table *mount.Table) string {
	d := &stored{Type: File, Options: options, Salt: salt}
	set, err := s.settle(account, File, options)
	if err != nil {
		panic(err)
	}
	x := renderer{device: d, set: set, home: s.Home}
	return string(x.lines(nil, &rec, table, false))
}

// BadDisk makes files of a Config fail.
type BadDisk struct {
	// Room is how many bytes can still be written; below 0: any number.
	Room atomic.Int64
	// Short says that a write which does not fit is done in part.
	Short atomic.Bool
}

// Of returns c with the disk under it.
func (d *BadDisk) Of(c Config) Config {
	d.Room.Store(-1)
	c.wrap = func(f file) file { return &badFile{f, d} }
	return c
}

type badFile struct {
	file
	d *BadDisk
}

func (f *badFile) Write(b []byte) (int, error) {
	room := f.d.Room.Load()
	if room < 0 || room >= int64(len(b)) {
		if room >= 0 {
			f.d.Room.Add(-int64(len(b)))
		}
		return f.file.Write(b)
	}
	n := 0
	if f.d.Short.Load() {
		n, _ = f.file.Write(b[:room])
		f.d.Room.Add(-int64(n))
	}
	return n, errors.Join(syscall.ENOSPC)
}

// Ahead makes the note of how far a device came say that it was further.
func Ahead(db kv.DB, account, n string, by uint64) error {
	p := place{account, n}
	_, err := db.Update(context.Background(), func(tx kv.Txn) error {
		at, _, err := record.Get[cursor](tx, p.cursorKey())
		if err != nil {
			return err
		}
		at.Seq += by
		return record.Put(tx, p.cursorKey(), at)
	})
	return err
}
