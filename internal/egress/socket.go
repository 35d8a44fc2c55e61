package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"

	"countersign/internal/errs"
)

// Sockets connects without encryption to addresses that somebody else named, and
// so only to those that the configuration allows: that one is public does not do.
type Sockets struct{ guard *Guard }

// Sockets returns one that reaches what the guard allows by name.
func (g *Guard) Sockets() Sockets { return Sockets{g} }

// Check refuses an address that would not be dialled, as far as it itself tells.
func (s Sockets) Check(address string) error {
	wrong := func(msg string) error { return errs.InvalidField("address", "%s", msg) }
	host, port, err := net.SplitHostPort(address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || !validHost(host, len(host) > 0 && address[0] == '[') {
		return wrong("an address is HOST:PORT, the host a name or an address as it is usually written")
	}
	a, err := netip.ParseAddr(host)
	if len(s.guard.allow) == 0 || err == nil && !s.guard.Allowed(a) {
		return wrong(ErrBare.Error())
	}
	return nil
}

// Dial connects over "tcp" or "udp". The text of an error is that of Reason and
// wraps nothing.
func (s Sockets) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "udp" {
		return nil, errors.New("that is no network to dial")
	}
	ctx, cancel := context.WithTimeout(ctx, s.guard.timeout)
	defer cancel()
	conn, err := s.guard.connect(ctx, network, address, true)
	if errors.Is(err, ErrPlain) || errors.Is(err, ErrAddress) {
		err = ErrBare
	}
	if err != nil {
		return nil, errors.New(Reason(err))
	}
	return conn, nil
}
