package auditdevice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"
)

// doubt is for how long a connection may turn out to have been broken when
// something was sent over it.
const doubt = 10 * time.Second

// socketSink writes to a socket.
type socketSink struct {
	s    *Service
	set  settings
	conn net.Conn
}

func (k *socketSink) open(ctx context.Context) (ending, error) {
	ctx, cancel := context.WithTimeout(ctx, doubt)
	defer cancel()
	var err error
	if k.set.network == "unix" {
		k.conn, err = dialUnix(ctx, k.set.address)
		return ending{}, err
	}
	if k.conn, err = k.s.Dialer.Dial(ctx, k.set.network, k.set.address); err != nil {
		k.conn = nil
		return ending{}, errOf(err.Error())
	}
	failEarly(k.conn, doubt/2)
	return ending{}, nil
}

// dialUnix connects to a unix socket that is one: not a link to one elsewhere.
func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Type() != os.ModeSocket {
		return nil, errOf("that is not a socket")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (k *socketSink) write(_ context.Context, records [][]byte) (int, error) {
	for i, r := range records {
		if err := k.conn.SetWriteDeadline(time.Now().Add(k.set.timeout)); err != nil {
			return i, err
		}
		for _, packet := range k.packets(r) {
			if _, err := k.conn.Write(packet); err != nil {
				return i, err
			}
		}
	}
	return len(records), nil
}

// packets cuts the lines of a record into what is sent at once: each line by
// itself where what is sent is a packet.
func (k *socketSink) packets(r []byte) [][]byte {
	if k.set.network == "udp" {
		return slices.Collect(bytes.Lines(r))
	}
	return [][]byte{r}
}

// check finds out whether the other side is still there: it says nothing as long
// as it is.
func (k *socketSink) check() error {
	if err := k.conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return err
	}
	var b [512]byte
	if _, err := k.conn.Read(b[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

func (k *socketSink) sync() error           { return nil }
func (k *socketSink) unsure() time.Duration { return doubt }

func (k *socketSink) close() {
	if k.conn != nil {
		_ = k.conn.Close()
	}
	k.conn = nil
}

// syslogSink writes to the syslog of this machine, which listens at a unix socket.
type syslogSink struct {
	paths  []string
	set    settings
	conn   net.Conn
	stream bool
}

func (k *syslogSink) open(ctx context.Context) (ending, error) {
	ctx, cancel := context.WithTimeout(ctx, doubt)
	defer cancel()
	last := error(errOf("no syslog listens on this machine"))
	for _, path := range k.paths {
		for _, network := range []string{"unixgram", "unix"} {
			conn, err := new(net.Dialer).DialContext(ctx, network, path)
			if err == nil {
				k.conn, k.stream = conn, network == "unix"
				return ending{}, nil
			}
			if !errors.Is(err, os.ErrNotExist) {
				last = err
			}
		}
	}
	return ending{}, last
}

// severity of every line (RFC 5424, section 6.2.1).
const informational = 6

func (k *syslogSink) write(_ context.Context, records [][]byte) (int, error) {
	for i, r := range records {
		head := fmt.Sprintf("<%d>%s %s[%d]: ", k.set.facility<<3|informational, time.Now().Format(time.Stamp), k.set.tag, os.Getpid())
		if err := k.conn.SetWriteDeadline(time.Now().Add(defaultWait)); err != nil {
			return i, err
		}
		for l := range bytes.Lines(r) {
			if !k.stream {
				l = bytes.TrimSuffix(l, []byte{'\n'})
			}
			if _, err := k.conn.Write(append([]byte(head), l...)); err != nil {
				return i, err
			}
		}
	}
	return len(records), nil
}

func (k *syslogSink) check() error          { return nil }
func (k *syslogSink) sync() error           { return nil }
func (k *syslogSink) unsure() time.Duration { return 0 }

func (k *syslogSink) close() {
	if k.conn != nil {
		_ = k.conn.Close()
	}
	k.conn = nil
}
