package rotatetest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy stands before a target on a port of its own, so that a test can break what is
// behind it.
type Proxy struct {
	Host string
	Port int

	listener net.Listener
	target   string
	mu       sync.Mutex
	hangs    bool
	open     map[net.Conn]bool
}

// NewProxy makes a Proxy before host:port, until the end of the test.
func NewProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, listener: l, target: target, open: map[net.Conn]bool{}}
	go p.serve()
	t.Cleanup(p.Refuse)
	return p
}

// Hang breaks what is open, and lets every connection from now on wait for ever.
func (p *Proxy) Hang() {
	p.mu.Lock()
	p.hangs = true
	p.mu.Unlock()
	p.closeAll()
}

// Refuse breaks what is open, and accepts no connection from now on.
func (p *Proxy) Refuse() {
	p.listener.Close()
	p.closeAll()
}

func (p *Proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
	clear(p.open)
}

// keep notes an open connection, and reports whether it is to hang.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return p.hangs
}

func (p *Proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.keep(c) {
			continue
		}
		go func() {
			defer c.Close()
			s, err := net.Dial("tcp", p.target)
			if err != nil {
				return
			}
			defer s.Close()
			p.keep(s)
			go func() {
				io.Copy(s, c)
				s.Close()
			}()
			io.Copy(c, s)
		}()
	}
}
