package rotatetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
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

// SelfSigned is a certificate for a name, which is its own authority.
func SelfSigned(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// PEM is the first certificate of c, as a value of a secret.
func PEM(c *tls.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
}
