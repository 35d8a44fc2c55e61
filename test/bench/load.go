package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// source returns the bytes of the next request. Each connection has its own
// random numbers; the bytes are not changed and used before the next call on
// the same connection.
type source func(rng *rand.Rand) []byte

// same is a source of one request.
func same(request []byte) source { return func(*rand.Rand) []byte { return request } }

// each is a source of all requests in turn.
func each(requests [][]byte) source {
	i := 0
	return func(*rand.Rand) []byte {
		i++
		return requests[i%len(requests)]
	}
}

// among is a source that draws from requests.
func among(requests [][]byte) source {
	return func(rng *rand.Rand) []byte { return requests[rng.IntN(len(requests))] }
}

// pool is open keep-alive connections to one server.
//
// One goroutine serves all of them, and asks for events without ever waiting
// for them: a generator that sleeps has to be woken by the server's writes, and
// that would count as the server's processor time, the more the slower the
// server is.
type pool struct {
	conns []*conn
	epoll int
	ready []unix.EpollEvent
}

// conn is one HTTP/1.1 connection. It knows as much of the protocol as it
// takes to find the end of an answer, so that the generator stays cheap.
type conn struct {
	fd   int
	rng  *rand.Rand
	buf  []byte // of the answer, as far as it came
	n    int
	busy bool
	from time.Time // what the latency is measured from
	due  time.Time // of the next request, when paced
}

func dial(addr string, n int) (*pool, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dialing: %w", err)
	}
	p := &pool{ready: make([]unix.EpollEvent, n)}
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("making an epoll: %w", err)
	}
	for i := range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			p.conns = append(p.conns, &conn{fd: fd, rng: rand.New(rand.NewPCG(1, uint64(i))), buf: make([]byte, 16<<10)})
			err = errors.Join(
				unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
				unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
				unix.SetNonblock(fd, true),
				unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}))
		}
		if err != nil {
			p.close()
			return nil, fmt.Errorf("dialing: %w", err)
		}
	}
	return p, nil
}

func (p *pool) close() {
	for _, c := range p.conns {
		_ = unix.Close(c.fd)
	}
	_ = unix.Close(p.epoll)
}

// outcome is what a run over all connections of a pool measured.
type outcome struct {
	requests int
	elapsed  time.Duration
	sorted   []time.Duration
}

func (o outcome) rate() float64 { return float64(o.requests) / o.elapsed.Seconds() }

// percentile is the latency that a share q of the requests stayed under.
func (o outcome) percentile(q float64) time.Duration {
	if len(o.sorted) == 0 {
		return 0
	}
	return o.sorted[min(int(q*float64(len(o.sorted))), len(o.sorted)-1)]
}

// closed keeps every connection busy for d: the next request follows the
// answer.
func (p *pool) closed(d time.Duration, next source) (outcome, error) {
	return p.run(d, next, func(*conn, time.Time) bool { return true })
}

// paced sends rate requests a second for d, whether or not the answers keep up.
// A request that had to wait for its connection's previous answer is measured
// from when it was due.
func (p *pool) paced(d time.Duration, rate float64, next source) (outcome, error) {
	every := time.Duration(float64(len(p.conns)) / rate * float64(time.Second))
	begin := time.Now()
	for i, c := range p.conns {
		c.due = begin.Add(every * time.Duration(i) / time.Duration(len(p.conns)))
	}
	return p.run(d, next, func(c *conn, now time.Time) bool {
		if now.Before(c.due) {
			return false
		}
		c.from, c.due = c.due, c.due.Add(every)
		return true
	})
}

// run sends on each idle connection whenever due says so, until d is over and
// all answers are there. due may set what the latency counts from.
func (p *pool) run(d time.Duration, next source, due func(*conn, time.Time) bool) (outcome, error) {
	begin := time.Now()
	end := begin.Add(d)
	var lat []time.Duration
	for now, under := begin, 0; now.Before(end) || under > 0; now = time.Now() {
		if now.Sub(end) > giveUp {
			return outcome{}, fmt.Errorf("%d answers did not come within %v", under, giveUp)
		}
		for _, c := range p.conns {
			if c.busy || !now.Before(end) {
				continue
			}
			if c.from = now; !due(c, now) {
				continue
			}
			if err := c.send(next(c.rng)); err != nil {
				return outcome{}, err
			}
			under++
		}
		n, err := unix.EpollWait(p.epoll, p.ready, 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return outcome{}, fmt.Errorf("waiting for answers: %w", err)
		}
		for _, e := range p.ready[:max(n, 0)] {
			c := p.conns[e.Fd]
			done, err := c.receive()
			if err != nil {
				return outcome{}, err
			}
			if done {
				lat = append(lat, time.Since(c.from))
				under--
			}
		}
	}
	o := outcome{requests: len(lat), elapsed: time.Since(begin), sorted: lat}
	slices.Sort(o.sorted)
	return o, nil
}

// giveUp is how long an answer may take.
const giveUp = 20 * time.Second

func (c *conn) send(request []byte) error {
	// A request is much smaller than the socket's buffer, which is empty.
	if n, err := unix.Write(c.fd, request); err != nil || n < len(request) {
		return fmt.Errorf("sending %d of %d bytes: %w", n, len(request), err)
	}
	c.busy, c.n = true, 0
	return nil
}

// receive reads what came and tells whether it is the whole answer, which must
// be 200.
func (c *conn) receive() (done bool, err error) {
	n, err := unix.Read(c.fd, c.buf[c.n:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading an answer: %w", err)
	case n == 0 || !c.busy:
		return false, fmt.Errorf("the server closed a connection or sent too much: %q", c.buf[:c.n+n])
	}
	c.n += n
	got := c.buf[:c.n]
	head := bytes.Index(got, []byte("\r\n\r\n"))
	if head < 0 {
		return false, nil
	}
	length, err := contentLength(got[:head+2])
	if err != nil {
		return false, err
	}
	if len(got) < head+4+length {
		return false, nil
	}
	if !bytes.HasPrefix(got, []byte("HTTP/1.1 200 ")) {
		return false, fmt.Errorf("the server answered %q", got)
	}
	c.busy = false
	return true, nil
}

func contentLength(head []byte) (int, error) {
	_, rest, ok := bytes.Cut(head, []byte("\r\nContent-Length: "))
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(digits))
	if !ok || err != nil || n > 8<<10 {
		return 0, fmt.Errorf("an answer without a usable Content-Length: %q", head)
	}
	return n, nil
}

// exchange sends one request on the first connection and waits for the answer.
func (p *pool) exchange(request []byte) error {
	c := p.conns[0]
	if err := c.send(request); err != nil {
		return err
	}
	for begin := time.Now(); time.Since(begin) < giveUp; {
		if done, err := c.receive(); done || err != nil {
			return err
		}
		time.Sleep(50 * time.Microsecond)
	}
	return errors.New("an answer did not come")
}
