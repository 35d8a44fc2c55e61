package audit

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cached says of each page of a file whether the page cache holds it.
func cached(t *testing.T, path string) []bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	vec := make([]byte, (len(b)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&vec[0]))); errno != 0 {
		t.Fatal(errno)
	}
	pages := make([]bool, len(vec))
	for i, v := range vec {
		pages[i] = v&1 != 0
	}
	return pages
}

// TestCacheHoldsTheEnd: of a log that grows, only the end stays in memory. What is
// asked of the kernel, TestEvict holds on any file system.
func TestCacheHoldsTheEnd(t *testing.T) {
	cfg := testConfig(t.TempDir())
	var st unix.Statfs_t
	if err := unix.Statfs(cfg.Dir, &st); err != nil {
		t.Fatal(err)
	}
	if st.Type == unix.TMPFS_MAGIC {
		t.Skip("the temporary folder is a tmpfs, whose files are nowhere but in memory: set TMPDIR to a disk")
	}
	l := mustOpen(t, cfg)
	path := segmentPath(cfg.Dir, 1)
	for n := 1; l.Stats().SegmentSize < 3*keepCached; n += 1000 {
		fill(t, l, n, n+999)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	before := cached(t, path)
	l.push()
	after := cached(t, path)
	kept := keepCached / os.Getpagesize()
	count := func(pages []bool) (n int) {
		for _, in := range pages {
			if in {
				n++
			}
		}
		return n
	}
	if n := count(after[:len(after)-kept-1]); n > kept/8 || n >= count(before)/2 {
		t.Errorf("%d pages before the end are cached, %d were before; %d in all", n, count(before), len(after))
	}
	if n := count(after[len(after)-kept:]); n < kept-kept/8 {
		t.Errorf("%d of the last %d pages are cached", n, kept)
	}
	wantWhole(t, l, l.Stats().Seq)
}
