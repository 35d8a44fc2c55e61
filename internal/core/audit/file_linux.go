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

// push has the kernel begin to write a part of f to the disk. What fails is
// found by the next datasync.
func push(f *os.File, at, size int64) {
	_ = unix.SyncFileRange(int(f.Fd()), at, size, unix.SYNC_FILE_RANGE_WRITE)
}

// evict takes those pages of a part of f that are on the disk out of the page
// cache.
func evict(f *os.File, at, size int64) {
	_ = unix.Fadvise(int(f.Fd()), at, size, unix.FADV_DONTNEED)
}
