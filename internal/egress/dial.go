package egress

import (
	"context"
	"net"
)

// Dial connects over TCP to host:port, if the guard lets it. Whether what is sent is
// encrypted is up to the caller; see Sockets for what is not. The text of an error is
// that of Reason; it wraps ErrAddress and ErrName.
func (g *Guard) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	return g.connect(ctx, "tcp", address, false)
}
