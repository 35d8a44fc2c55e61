//go:build unix && !solaris && !aix

package boltkv

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"countersign/internal/kv"
)

// lock takes the lock that bbolt takes right after, so that the file can be
// inspected under it.
func lock(f *os.File, exclusive bool, timeout time.Duration) error {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(deadline) {
			return kv.ErrInUse
		}
	}
}
