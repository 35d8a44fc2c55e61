package server

import (
	"context"
	"runtime"
	"time"
)

// How the network is asked while the collector sweeps.
const (
	pollEvery = 50 * time.Microsecond
	pollFor   = 10 * time.Millisecond // at most: with that much other work, the scheduler asks by itself
	// alone is how long a yield takes at most when nobody else wants to run, and
	// aloneTimes how many of them in a row say that the sweeper is done.
	alone      = 500 * time.Nanosecond
	aloneTimes = 3
)

// pollWhileSweeping keeps requests from waiting for Go's background sweeper on
// one processor, until ctx ends.
//
// The sweeper yields again and again, but with one processor it is at once the
// next to run, and the scheduler does not ask the network before that
// (https://go.dev/issue/56060): nothing that arrives is answered until the heap
// is swept, which takes a millisecond for 12 MiB and is followed by as long a
// queue. Nothing in Go asks the network on demand, but starting the world does,
// and to stop and start it takes a few microseconds on one processor.
func pollWhileSweeping(ctx context.Context) {
	sweeps := make(chan struct{}, 1)
	onSweep(ctx, func() {
		select {
		case sweeps <- struct{}{}:
		default:
		}
	})
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweeps:
		}
		if runtime.GOMAXPROCS(0) == 1 {
			pollUntilSwept()
		}
	}
}

// onSweep calls f early in each sweep until ctx ends. f must not wait.
//
// The sweeper begins with the smallest objects that have a pointer, and queues the
// finalizers of those that are garbage.
func onSweep(ctx context.Context, f func()) {
	type smallest struct{ _ *byte }
	runtime.SetFinalizer(new(smallest), func(*smallest) {
		if ctx.Err() == nil {
			f()
			onSweep(ctx, f)
		}
	})
}

// pollUntilSwept takes turns with the sweeper, and asks the network in between.
func pollUntilSwept() {
	begin := time.Now()
	for now, polled, times := begin, begin, 0; times < aloneTimes && now.Sub(begin) < pollFor; {
		runtime.Gosched()
		before := now
		if now = time.Now(); now.Sub(before) < alone {
			times++
		} else {
			times = 0
		}
		if now.Sub(polled) >= pollEvery {
			runtime.Stack(nil, true) // stops and starts the world, and writes nothing
			polled = now
		}
	}
}
