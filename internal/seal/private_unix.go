//go:build unix

package seal

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openPrivate does not wait for the other end when the path is a named pipe.
func openPrivate(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func checkOwner(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("has no owner that could be checked")
	}
	return sameOwner(int(st.Uid), os.Geteuid())
}

func sameOwner(owner, us int) error {
	if owner != us {
		return errOwner(owner, us)
	}
	return nil
}
