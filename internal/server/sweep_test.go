package server

import (
	"context"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// kept is a heap of many small objects, every second of which is garbage.
var kept [][]*[2]int

func fillHeap(mib int) {
	kept = nil
	for range mib {
		block := make([]*[2]int, 0, 32<<10)
		for i := range 64 << 10 {
			if o := new([2]int); i%2 == 0 {
				block = append(block, o)
			}
		}
		kept = append(kept, block)
	}
}

// While the collector sweeps on one processor, what arrives is read before the
// sweep is over.
func TestPollWhileSweeping(t *testing.T) {
	old := runtime.GOMAXPROCS(1)
	defer func() { runtime.GOMAXPROCS(old); kept = nil }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	fd := int(w.Fd()) // written to without the scheduler, as if by another process
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	got := make(chan time.Time, 1)
	go func() {
		b := make([]byte, 1)
		for {
			if _, err := r.Read(b); err != nil {
				return
			}
			got <- time.Now()
		}
	}()
	var on atomic.Bool
	sent := make(chan time.Time, 1)
	onSweep(ctx, func() {
		if on.CompareAndSwap(true, false) {
			sent <- time.Now()
			_, _ = syscall.Write(fd, []byte{1})
		}
	})
	go pollWhileSweeping(ctx)

	// A machine that is busy may be late once.
	for range 5 {
		fillHeap(64)
		runtime.Gosched() // let the reader wait
		time.Sleep(5 * time.Millisecond)
		on.Store(true)
		runtime.GC() // returns when the sweep is over
		over, begun, read := time.Now(), <-sent, <-got
		t.Logf("swept %v after it began, read after %v", over.Sub(begun), read.Sub(begun))
		if read.Sub(begun) < over.Sub(begun)/4 {
			return
		}
	}
	t.Error("what arrived at the beginning of a sweep was read when it was nearly over, five times")
}
