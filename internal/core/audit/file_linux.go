package audit

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync waits until data and length of f are on stable storage.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
