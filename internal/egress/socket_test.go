package egress

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"countersign/internal/errs"
)

func TestSockets(t *testing.T) {
	ctx := context.Background()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	names := map[string]string{"log.example": "127.0.0.1", "public.example": "8.8.8.8", "evil.example": "169.254.169.254"}
	g := New(Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr(names[host])}, nil
	}}).Sockets()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for _, address := range []string{ln.Addr().String(), "log.example:" + port} {
		if err := g.Check(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		conn, err := g.Dial(ctx, "tcp", address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		there, _ := ln.Accept()
		_, _ = conn.Write([]byte("x"))
		conn.Close()
		if b, _ := io.ReadAll(there); string(b) != "x" {
			t.Errorf("%s: got %q", address, b)
		}
	}
	for _, address := range []string{"public.example:1", "evil.example:1", "8.8.8.8:1", "[::1]:1", "10.0.0.1:514"} {
		if _, err := g.Dial(ctx, "udp", address); err == nil || err.Error() != ErrBare.Error() {
			t.Errorf("dialled %s: %v", address, err)
		}
	}
	if _, err := g.Dial(ctx, "unix", "/dev/log"); err == nil {
		t.Error("dialled a unix socket")
	}
	for _, address := range []string{"", "x", "x:", "x:0", "x:70000", "x:http", "8.8.8.8:1", "127.1:1", "a b:1", "[127.0.0.1]:1", "u@h:1", "::1:5"} {
		if err := g.Check(address); !errs.Is(err, errs.Invalid) {
			t.Errorf("Check(%q) = %v", address, err)
		}
	}
	if err := New(Config{}).Sockets().Check("log.example:1"); !errs.Is(err, errs.Invalid) {
		t.Errorf("nothing is allowed, and Check says %v", err)
	}
}
