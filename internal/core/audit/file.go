package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Names in the folder of a log.
const (
	headName   = "HEAD"
	pubName    = "audit.pub"
	lockName   = "LOCK"
	proofName  = "export.json"
	segmentExt = ".log"
	tempExt    = ".tmp"
)

// file is what the log needs of a segment that it writes. Sync returns once
// data and length are on stable storage.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	// Push begins to write a part of the file to the disk, so that the next
	// Sync has less to do. It promises nothing.
	Push(at, size int64)
	// Evict takes what was written of a part of the file to the disk out of
	// memory. It promises nothing either.
	Evict(at, size int64)
	Sync() error
	Close() error
}

// disk is the file system as the writer sees it; tests put failures there.
type disk interface {
	open(path string, flag int) (file, error)
	// free is the number of bytes that the process may still write.
	free(dir string) (int64, error)
}

type realDisk struct{}

type realFile struct{ *os.File }

func (f realFile) Sync() error { return datasync(f.File) }

func (f realFile) Push(at, size int64) { push(f.File, at, size) }

func (f realFile) Evict(at, size int64) { evict(f.File, at, size) }

func (realDisk) open(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return realFile{f}, nil
}

func (realDisk) free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking for free space of %q: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// segment is one file of the log.
type segment struct {
	path  string
	first uint64
}

func (s segment) name() string { return filepath.Base(s.path) }

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d", first)+segmentExt)
}

// listSegments returns the segments of a folder in order.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing audit log: %w", err)
	}
	var list []segment
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), segmentExt)
		if !ok {
			continue
		}
		first, err := strconv.ParseUint(stem, 10, 64)
		if err != nil || len(stem) != 20 || first == 0 {
			return nil, fmt.Errorf("listing audit log: %q is not the name of a segment", e.Name())
		}
		list = append(list, segment{filepath.Join(dir, e.Name()), first})
	}
	slices.SortFunc(list, func(a, b segment) int { return strings.Compare(a.path, b.path) })
	return list, nil
}

// lockDir makes this process the one writer of the folder until the file is
// closed.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking audit log: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking audit log: another process writes the log in %q", dir)
		}
		return nil, fmt.Errorf("locking audit log: %w", err)
	}
	return f, nil
}

// replaceFile puts data at path in one step: after a crash the file has
// either its old or its new content.
func replaceFile(path string, data []byte) error {
	tmp := path + tempExt
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// removeTemps deletes what a crash left half-written under a temporary name.
func removeTemps(dir string) error {
	list, err := filepath.Glob(filepath.Join(dir, "*"+tempExt))
	if err != nil {
		return err
	}
	for _, p := range list {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing leftover: %w", err)
		}
	}
	return nil
}
