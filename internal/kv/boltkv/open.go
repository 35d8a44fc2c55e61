package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"countersign/internal/kv"
	"countersign/internal/kv/boltkv/pages"
)

// Open opens a store file, and creates it when it is absent. It refuses a file
// that another process has open, one that is no store or of an unknown format,
// and one whose damage shows without reading it whole (kv.ErrCorrupt).
func Open(c Config) (*DB, error) {
	c = c.withDefaults()
	if c.Path == "" {
		return nil, errors.New("opening the store: no path")
	}
	if _, err := os.Stat(c.Path); errors.Is(err, fs.ErrNotExist) && !c.ReadOnly {
		if err := create(c.Path); err != nil {
			return nil, fmt.Errorf("creating the store %q: %w", c.Path, err)
		}
	}
	d, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("opening the store %q: %w", c.Path, err)
	}
	return d, nil
}

func (c Config) withDefaults() Config {
	if c.LockTimeout <= 0 {
		c.LockTimeout = time.Second
	}
	if c.WatchCommits <= 0 {
		c.WatchCommits = 8192
	}
	if c.WatchBytes <= 0 {
		c.WatchBytes = 4 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) options() *bbolt.Options {
	return &bbolt.Options{
		Timeout:         c.LockTimeout,
		FreelistType:    bbolt.FreelistMapType,
		ReadOnly:        c.ReadOnly,
		MaxSize:         c.MaxSize,
		InitialMmapSize: mapSize,
		NoStatistics:    true,
	}
}

func open(c Config) (*DB, error) {
	d := &DB{readOnly: c.ReadOnly, turn: make(chan struct{}, 1)}
	opts := c.options()
	opts.OpenFile = func(path string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(path, flag&^os.O_CREATE, mode)
		if err != nil {
			return nil, err
		}
		if err := c.inspect(f); err != nil {
			f.Close()
			return nil, err
		}
		d.file = f
		return f, nil
	}
	var err error
	if d.bolt, err = openBolt(c.Path, opts); err != nil {
		return nil, err
	}
	d.bolt.AllocSize = growStep
	st, err := d.load()
	if err != nil {
		d.bolt.Close()
		return nil, err
	}
	d.rev.Store(st.Revision)
	d.ring = ring{maxCommits: c.WatchCommits, maxBytes: c.WatchBytes, floor: st.Revision}
	return d, nil
}

// openBolt turns bbolt's panics at a damaged file into errors.
func openBolt(path string, opts *bbolt.Options) (b *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recovered(&err)
	b, err = bbolt.Open(path, 0o600, opts)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, kv.ErrInUse
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
	}
	return b, err
}

// inspect locks the file and looks at what bbolt would take for granted: a
// damaged page that it maps can end the process. It then makes durable what the
// file shows, in case a process before died between its last two syncs.
func (c Config) inspect(f *os.File) error {
	if err := lock(f, !c.ReadOnly, c.LockTimeout); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p, err := pages.Open(f, info.Size())
	if err != nil {
		return fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
	}
	for _, w := range p.Warnings {
		c.Log.Warn("store file is damaged; its other commit record is used", "path", c.Path, "problem", w)
	}
	if _, err := p.Freelist(); err != nil {
		return fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
	}
	if c.ReadOnly {
		return nil
	}
	return p.Settle(f)
}

func (d *DB) load() (st State, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recovered(&err)
	err = d.bolt.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil || tx.Bucket(dataBucket) == nil {
			return fmt.Errorf("%w: not a store of this program", kv.ErrCorrupt)
		}
		if v := string(meta.Get(formatKey)); v != strconv.Itoa(Format) {
			return fmt.Errorf("unknown store format %q: this program knows format %d", v, Format)
		}
		st, err = parseState(meta.Get(stateKey))
		return err
	})
	return st, err
}

// create makes an empty store under another name and gives it its own only when
// it is complete, so that a crash leaves a store or none.
func create(path string) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return err
	}
	b, err := bbolt.Open(f.Name(), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	b.AllocSize = growStep
	err = b.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucket(dataBucket); err != nil {
			return err
		}
		if err := meta.Put(formatKey, []byte(strconv.Itoa(Format))); err != nil {
			return err
		}
		return meta.Put(stateKey, new(State).encode())
	})
	if err := errors.Join(err, b.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces the store of another process
	// that was quicker.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Check reads every page of the newest commit and compares the pairs with what
// the store says of itself. The store stays in use. What it finds is
// kv.ErrCorrupt, with up to 20 problems.
func (d *DB) Check(ctx context.Context) error {
	if err := d.holdTurn(ctx); err != nil {
		return err
	}
	tx, p, err := d.hold()
	d.release()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	r, err := inspect(ctx, p, nil)
	if err != nil {
		return err
	}
	var errs []error
	for _, x := range r.Problems[:min(len(r.Problems), 20)] {
		errs = append(errs, errors.New(x))
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %d problems: %w", kv.ErrCorrupt, len(r.Problems), errors.Join(errs...))
	}
	return nil
}

func (d *DB) holdTurn(ctx context.Context) error {
	if err := d.acquire(ctx); err != nil {
		return err
	}
	if d.closed {
		d.release()
		return kv.ErrClosed
	}
	return nil
}

// hold opens the pages of the newest commit and keeps them from being reused.
// The turn is held, so the file's newest commit record is the transaction's.
func (d *DB) hold() (*bbolt.Tx, *pages.File, error) {
	tx, err := d.bolt.Begin(false)
	if err != nil {
		return nil, nil, beginError(err)
	}
	info, err := d.file.Stat()
	if err == nil {
		var p *pages.File
		if p, err = pages.Open(d.file, info.Size()); err == nil {
			return tx, p, nil
		}
	}
	tx.Rollback()
	return nil, nil, fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
}
