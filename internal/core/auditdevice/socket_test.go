package auditdevice_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"

	"countersign/internal/core/auditdevice"
	"countersign/internal/core/coretest"
)

// plainly dials whatever it is told to.
type plainly struct{ net.Dialer }

func (p plainly) Check(string) error { return nil }
func (p plainly) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := p.DialContext(ctx, network, address)
	if err != nil {
		return nil, errors.New("the connection was refused")
	}
	return conn, nil
}

// collector takes lines at a socket, which can be taken away and put back.
type collector struct {
	network, address string

	mu    sync.Mutex
	ln    net.Listener
	conns []net.Conn
	lines []string
}

func (c *collector) up(t *testing.T) {
	t.Helper()
	ln, err := net.Listen(c.network, c.address)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.ln, c.address = ln, ln.Addr().String()
	c.mu.Unlock()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			go c.read(conn)
		}
	}()
}

func (c *collector) read(conn net.Conn) {
	s := bufio.NewScanner(conn)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		c.mu.Lock()
		c.lines = append(c.lines, s.Text())
		c.mu.Unlock()
	}
}

func (c *collector) down() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ln.Close()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// has tells what is missing of the responses to records, and whether their order
// is wrong. Some may have come twice.
func (c *collector) has(t *testing.T, ids []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var seen []string
	for _, l := range c.lines {
		p := parse(t, []byte(l), "")[0]
		if id := p.Countersign.Record; p.Type == "response" && !slices.Contains(seen, id) {
			seen = append(seen, id)
		}
	}
	if !slices.Equal(seen, ids) {
		return fmt.Errorf("%d of %d records came, or in another order", len(seen), len(ids))
	}
	return nil
}

func TestSocketThatIsDown(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			r := newRig(t, func(c *auditdevice.Config) { c.Dialer = plainly{} })
			c := &collector{network: network, address: "127.0.0.1:0"}
			if network == "unix" {
				if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
					t.Fatal(err)
				}
				c.address = r.file("s")
			}
			c.up(t)
			since := r.here(t)
			r.enable(t, r.Admin, "sock", "socket", map[string]string{"address": c.address, "socket_type": network})
			r.requests(t, r.Admin, 5)
			eventually(t, func() error { return c.has(t, r.expected(t, coretest.Home, since)) })
			for range 2 {
				c.down()
				r.requests(t, r.Admin, 5)
				r.becomes(t, "sock", auditdevice.Failing, "")
				r.requests(t, r.Admin, 5)
				c.up(t)
				eventually(t, func() error { return c.has(t, r.expected(t, coretest.Home, since)) })
			}
			r.crash() // what was sent and not kept as sent is sent again
			r.requests(t, r.Admin, 5)
			r.start(t)
			eventually(t, func() error { return c.has(t, r.expected(t, coretest.Home, since)) })
		})
	}
}

func TestDatagrams(t *testing.T) {
	r := newRig(t, func(c *auditdevice.Config) { c.Dialer = plainly{} })
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &collector{}
	go c.packets(conn, nil)
	since := r.here(t)
	r.enable(t, r.Admin, "udp", "socket", map[string]string{"address": conn.LocalAddr().String(), "socket_type": "udp", "write_timeout": "1"})
	r.requests(t, r.Admin, 5)
	eventually(t, func() error { return c.has(t, r.expected(t, coretest.Home, since)) })
}

// packets takes lines as datagrams, each after a head that is cut off.
func (c *collector) packets(conn net.PacketConn, head *regexp.Regexp) {
	b := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		l := string(b[:n])
		if head != nil {
			loc := head.FindStringIndex(l)
			if loc == nil {
				loc = []int{0, 0} // it will not parse
			}
			l = l[loc[1]:]
		}
		c.mu.Lock()
		c.lines = append(c.lines, l)
		c.mu.Unlock()
	}
}

func TestSyslog(t *testing.T) {
	r := newRig(t, nil)
	since := r.here(t)
	r.enable(t, r.Admin, "syslog", "syslog", map[string]string{"facility": "local1", "tag": "vault"})
	r.requests(t, r.Admin, 2)
	r.becomes(t, "syslog", auditdevice.Failing, "no syslog listens")
	path := filepath.Join(r.Dir, "syslog")
	conn, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &collector{}
	go c.packets(conn, regexp.MustCompile(`^<142>[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d vault\[\d+\]: `)) // 17*8+6
	r.requests(t, r.Admin, 300)
	eventually(t, func() error { return c.has(t, r.expected(t, coretest.Home, since)) })
}
