package auditdevice

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxTail is how much of the end of a file is read back: more than the longest
// line.
const maxTail = 1 << 20

// file is what a fileSink needs of one.
type file interface {
	io.ReaderAt
	io.Writer
	Truncate(size int64) error
	Sync() error
	Close() error
}

// fileSink appends to a file.
type fileSink struct {
	dir  string // of all accounts' files
	path string // below it
	set  settings
	root *os.Root
	wrap func(file) file // for tests; nil: the file as it is
	f    file
	info fs.FileInfo // of f
	last error       // of the sync before it was closed
}

func (k *fileSink) open(context.Context) (ending, error) {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return ending{}, err
	}
	var err error
	if k.root, err = os.OpenRoot(k.dir); err != nil {
		return ending{}, err
	}
	if err := k.plainWay(); err != nil {
		return ending{}, err
	}
	mode := k.set.mode
	if !k.set.setMode {
		mode = 0o600
	}
	// Not to wait for the other end of what became a pipe just now.
	const flags = os.O_RDWR | os.O_APPEND | os.O_CREATE | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	f, err := k.root.OpenFile(k.path, flags, mode)
	if err != nil {
		return ending{}, err
	}
	if k.f = f; k.wrap != nil {
		k.f = k.wrap(f)
	}
	if k.info, err = f.Stat(); err != nil {
		return ending{}, err
	}
	if !k.info.Mode().IsRegular() {
		return ending{}, errOf("that is not a plain file")
	}
	if k.set.setMode && k.info.Mode().Perm() != mode {
		if err := f.Chmod(mode); err != nil {
			return ending{}, err
		}
	}
	return k.ending()
}

// plainWay makes the folders on the way to the file, and refuses what is there
// already and is none, or no plain file: a link, a pipe, a device. An os.Root lets
// no link lead out of it; those within could lead to another account's files.
func (k *fileSink) plainWay() error {
	for i := 0; i <= len(k.path); i++ {
		if i < len(k.path) && k.path[i] != '/' {
			continue
		}
		info, err := k.root.Lstat(k.path[:i])
		switch {
		case errors.Is(err, fs.ErrNotExist) && i < len(k.path):
			err = k.root.Mkdir(k.path[:i], 0o700)
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil && i < len(k.path) && !info.IsDir():
			return errOf("a folder on the way to the file is none")
		case err == nil && i == len(k.path) && !info.Mode().IsRegular():
			return errOf("that is not a plain file")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ending reads what the file ends with. Half a line of ours is cut off; another's
// is ended.
func (k *fileSink) ending() (ending, error) {
	size := k.info.Size()
	tail := make([]byte, min(size, maxTail))
	if _, err := k.f.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return ending{}, err
	}
	whole := tail[:bytes.LastIndexByte(tail, '\n')+1]
	if torn := tail[len(whole):]; len(torn) > 0 {
		if err := k.mend(torn, size); err != nil {
			return ending{}, err
		}
	}
	if len(whole) == 0 {
		return ending{}, nil
	}
	last := whole[:len(whole)-1]
	last = last[bytes.LastIndexByte(last, '\n')+1:]
	id, onlyRequest, ok := readBack(last, k.set.prefix)
	if !ok {
		return ending{}, nil
	}
	return ending{id, onlyRequest}, nil
}

func (k *fileSink) mend(torn []byte, size int64) error {
	begin := []byte(k.set.prefix + `{"time":"`)
	n := min(len(begin), len(torn))
	if bytes.Equal(begin[:n], torn[:n]) {
		return k.f.Truncate(size - int64(len(torn)))
	}
	_, err := k.f.Write([]byte{'\n'})
	return err
}

func (k *fileSink) write(_ context.Context, records [][]byte) (int, error) {
	if _, err := k.f.Write(bytes.Join(records, nil)); err != nil {
		return 0, err // how much is there, its end tells
	}
	return len(records), nil
}

func (k *fileSink) check() error {
	info, err := k.root.Lstat(k.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(info, k.info) {
		return errMoved
	}
	if err != nil {
		return err
	}
	// The folder itself may have been moved.
	if there, err := os.Stat(filepath.Join(k.dir, k.path)); err != nil || !os.SameFile(there, k.info) {
		return errMoved
	}
	return nil
}

func (k *fileSink) sync() error {
	if k.f == nil {
		return k.last
	}
	return k.f.Sync()
}

func (k *fileSink) unsure() time.Duration { return 0 }

func (k *fileSink) close() {
	if k.f != nil {
		k.last = k.f.Sync()
		_ = k.f.Close() // what had to be durable is
	}
	if k.root != nil {
		_ = k.root.Close()
	}
	k.f, k.root = nil, nil
}
