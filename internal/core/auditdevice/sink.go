package auditdevice

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// sink is where lines go. One goroutine uses it, in this order: open, then write
// and check any number of times, then close; after an error of write or check only
// close.
type sink interface {
	// open makes it ready, and tells what it ends with when it can be read back.
	open(ctx context.Context) (ending, error)
	// write writes the lines of some records. It returns how many of the records are
	// written whole for certain.
	write(ctx context.Context, records [][]byte) (int, error)
	// check finds out whether what was opened is still what the device is about:
	// errMoved when it is not, another error when it is broken.
	check() error
	// sync returns once what was written survives a power cut, as far as it can.
	sync() error
	// unsure is for how long what was written may turn out not to have arrived.
	unsure() time.Duration
	close()
}

// ending is the end of what was written before.
type ending struct {
	id          string // of the last record; empty when that is not known
	onlyRequest bool   // its response is missing
}

// errMoved says that a file is not there any more under its name.
var errMoved = errors.New("the file was moved or deleted")

// errOf is an error whose text is safe to show.
type errOf string

func (e errOf) Error() string { return string(e) }

// unread is why the log could not be read.
type unread struct{ err error }

func (e unread) Error() string { return "reading the audit log: " + e.err.Error() }
func (e unread) Unwrap() error { return e.err }

// why says an error in words that may be shown.
func why(err error) string {
	if e, ok := errors.AsType[unread](err); ok {
		return "the audit log, or the folder of its exports, cannot be read: " + why(e.err)
	}
	var own errOf
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &own):
		return string(own)
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "it took too long"
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return "the connection was closed"
	}
	return "it does not work"
}

// sinkOf makes the sink of a device.
func (s *Service) sinkOf(account string, d *stored) (sink, settings, error) {
	set, err := s.settle(account, d.Type, d.Options)
	if err != nil {
		return nil, set, errOf("the server's configuration does not allow it any more")
	}
	switch {
	case d.Type == Socket:
		return &socketSink{s: s, set: set}, set, nil
	case d.Type == Syslog:
		return &syslogSink{paths: s.Syslog, set: set}, set, nil
	case set.path == toDiscard:
		return discardSink{}, set, nil
	case set.path == toStdout:
		return &stdoutSink{w: s.Stdout, mu: &s.stdout}, set, nil
	}
	path := set.path
	if account != s.Home {
		path = account + "/" + path
	}
	return &fileSink{dir: s.Dir, path: path, set: set, wrap: s.wrap}, set, nil
}

// discardSink takes everything to nowhere.
type discardSink struct{}

func (discardSink) open(context.Context) (ending, error) { return ending{}, nil }
func (discardSink) write(_ context.Context, records [][]byte) (int, error) {
	return len(records), nil
}
func (discardSink) check() error          { return nil }
func (discardSink) sync() error           { return nil }
func (discardSink) unsure() time.Duration { return 0 }
func (discardSink) close()                {}

// stdoutSink writes to the server's standard output. Who reads that may have
// stopped, and then a write ends never: it is left behind when the server stops.
type stdoutSink struct {
	discardSink
	w  io.Writer
	mu *sync.Mutex
}

func (k *stdoutSink) write(ctx context.Context, records [][]byte) (int, error) {
	text := []byte{}
	for _, r := range records {
		text = append(text, r...)
	}
	done := make(chan error, 1)
	go func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		_, err := k.w.Write(text)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return 0, err
		}
		return len(records), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
