package mysql_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/mysql"
	"countersign/internal/rotator/rotatetest"
)

const hidden = "the-password-that-is-hidden"

// hostile is a server that a stranger has put in the place of the right one. It
// greets, and then says what it is told to, and keeps all that it is sent.
type hostile struct {
	plugin  string
	cert    *tls.Certificate
	answers [][]byte // each after one packet of the client
	flood   func(net.Conn)

	mu      sync.Mutex
	read    bytes.Buffer
	longest int // of what the client answered after its greeting
}

func packet(seq byte, body []byte) []byte {
	n := len(body)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}, body...)
}

func (h *hostile) greeting() []byte {
	s := []byte("01234567890123456789")
	flags := uint32(0x00000200 | 0x00008000 | 0x00080000 | 0x00000080 | 0x1 | 0x2000) // 41, secure, plugin, local files, long password, transactions
	if h.cert != nil {
		flags |= 0x800
	}
	b := append([]byte{10}, "5.7.0\x00"...)
	b = append(b, 1, 0, 0, 0)
	b = append(append(b, s[:8]...), 0)
	b = append(b, byte(flags), byte(flags>>8), 45, 2, 0, byte(flags>>16), byte(flags>>24), 21)
	b = append(append(b, make([]byte, 10)...), s[8:]...)
	return append(append(append(b, 0), h.plugin...), 0)
}

// next reads one packet, and keeps it.
func (h *hostile) next(c net.Conn) (seq byte, ok bool) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return 0, false
	}
	body := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	_, err := io.ReadFull(c, body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.read.Write(body)
	if head[3] > 1 {
		h.longest = max(h.longest, len(body))
	}
	return head[3], err == nil
}

func (h *hostile) serve(c net.Conn) {
	defer c.Close()
	c.Write(packet(0, h.greeting()))
	if h.cert != nil {
		if _, err := io.ReadFull(c, make([]byte, 36)); err != nil { // SSLRequest
			return
		}
		c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*h.cert}})
	}
	for _, a := range h.answers {
		seq, ok := h.next(c)
		if !ok {
			return
		}
		c.Write(packet(seq+1, a))
	}
	for {
		if _, ok := h.next(c); !ok {
			return
		}
		if h.flood != nil {
			h.flood(c)
		}
	}
}

func (h *hostile) test(t *testing.T, options map[string]string) error {
	t.Helper()
	dial := func(context.Context, string, string) (net.Conn, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		its, err := l.Accept()
		if err != nil {
			return nil, err
		}
		go h.serve(its)
		return c, nil
	}
	j := rotator.Job{Options: options, Pending: value(t, "host", "db", "username", "app", "password", hidden)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return mysql.Kind().New(rotator.Env{Dial: dial}).Test(ctx, j)
}

func (h *hostile) got() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.read.String()
}

func change(plugin string, data ...byte) []byte {
	return append(append([]byte{0xfe}, plugin+"\x00"...), data...)
}

var (
	scramble = []byte("98765432109876543210\x00")
	okPacket = []byte{0, 0, 0, 2, 0, 0, 0}
)

// TestHostile holds what a server gets that has not proved who it is.
func TestHostile(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	more := func(b ...byte) []byte { return append([]byte{1}, b...) }
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("of this machine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		plugin  string
		answers [][]byte
		class   rotator.Class
		text    string
	}{
		"clear":         {"mysql_clear_password", nil, rotator.Unreachable, "in time"},
		"clear-change":  {"mysql_native_password", [][]byte{change("mysql_clear_password")}, rotator.Unsuitable, "in clear"},
		"old":           {"mysql_native_password", [][]byte{{0xfe}}, rotator.Unsuitable, "in clear"},
		"unknown":       {"mysql_native_password", [][]byte{change("dialog", 2)}, rotator.Unsuitable, "plugin"},
		"sha2-key":      {"caching_sha2_password", [][]byte{more(4), more(public...)}, rotator.Unsuitable, "only with TLS"},
		"sha2-change":   {"mysql_native_password", [][]byte{change("caching_sha2_password", scramble...), more(4), more(public...)}, rotator.Unsuitable, "only with TLS"},
		"sha256":        {"sha256_password", [][]byte{more(public...)}, rotator.Unsuitable, "only with TLS"},
		"sha256-change": {"mysql_native_password", [][]byte{change("sha256_password", scramble...), more(public...)}, rotator.Unsuitable, "only with TLS"},
		"short":         {"mysql_native_password", [][]byte{change("mysql_native_password", 1, 2, 3, 4)}, rotator.Rejected, "protocol"},
		"empty":         {"mysql_native_password", [][]byte{{}}, rotator.Unreachable, "broke"},
		"file":          {"mysql_native_password", [][]byte{okPacket, append([]byte{0xfb}, file...)}, rotator.Unreachable, "in time"},
		"error":         {"mysql_native_password", [][]byte{append([]byte{0xff, 0xe8, 0x03, '#', 'H', 'Y', '0', '0', '0'}, hidden...)}, rotator.Rejected, "error 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hostile{plugin: tt.plugin, answers: tt.answers}
			err := h.test(t, map[string]string{"tls": "disable"})
			class(t, err, tt.class, tt.text)
			if strings.Contains(h.got(), hidden) || strings.Contains(h.got(), "of this machine") {
				t.Error("the server has what it should not have")
			}
			if err != nil && strings.Contains(err.Error(), hidden) {
				t.Error("what the server says stands in the failure")
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.longest > 64 {
				t.Errorf("the server got an answer of %d bytes: so long is what its key opens", h.longest)
			}
		})
	}
}

// TestLarge has servers whose answer to the first question never ends.
func TestLarge(t *testing.T) {
	column := append([]byte("\x03def\x00\x00\x00\x01v\x00\x0c"), 45, 0, 255, 0, 0, 0, 253, 0, 0, 0, 0, 0)
	head := append(append(packet(1, []byte{1}), packet(2, column)...), packet(3, []byte{0xfe, 0, 0, 2, 0})...)
	for name, tt := range map[string]struct {
		row  func(i int) []byte
		text string
	}{
		"rows": {func(i int) []byte { return packet(byte(4+i), []byte{1, 'x'}) }, "too many rows"},
		"row":  {func(i int) []byte { return packet(byte(4+i), make([]byte, 1<<24-1)) }, "too much"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hostile{plugin: "mysql_native_password", answers: [][]byte{okPacket, okPacket}, flood: func(c net.Conn) {
				for i := 0; ; i++ {
					if i == 0 {
						c.Write(head)
					}
					if _, err := c.Write(tt.row(i)); err != nil {
						return
					}
				}
			}}
			class(t, h.test(t, map[string]string{"tls": "disable"}), rotator.Rejected, tt.text)
		})
	}
}

func TestNoTLS(t *testing.T) {
	for _, how := range []string{"require", "verify-full"} {
		h := &hostile{plugin: "mysql_native_password"}
		class(t, h.test(t, map[string]string{"tls": how}), rotator.Unsuitable, "does not speak TLS")
		if h.got() != "" {
			t.Error("something was sent without TLS")
		}
	}
	// One that cannot prove its name is told nothing.
	h := &hostile{plugin: "sha256_password", cert: rotatetest.SelfSigned(t, "db")}
	class(t, h.test(t, nil), rotator.Unsuitable, "signed by nobody")
	if h.got() != "" {
		t.Error("something was sent")
	}
	h = &hostile{plugin: "mysql_native_password", answers: [][]byte{change("mysql_clear_password")}, cert: rotatetest.SelfSigned(t, "db")}
	class(t, h.test(t, map[string]string{"tls": "require"}), rotator.Unsuitable, "in clear")
	if strings.Contains(h.got(), hidden) {
		t.Error("the server has the password")
	}
}
