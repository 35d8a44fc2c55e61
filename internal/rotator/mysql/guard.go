package mysql

import (
	"net"

	"countersign/internal/rotator"
)

// Limits of a connection, in bytes: what a server may send altogether, and the
// longest answer of a login that is computed from a password (of ed25519).
const (
	maxRead   = 16 << 20
	maxAnswer = 64
)

// guard watches a connection. The plugins of MySQL's SHA-2 passwords send the password
// itself, where there is no TLS encrypted by a key that the server names; whoever
// answers could name one. The client cannot be told not to, so its answer is stopped
// here.
type guard struct {
	net.Conn
	bare bool // there is no TLS
	read int
	// stopped is why it ended the connection. The client loses it.
	stopped error
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if g.read += n; g.read > maxRead {
		g.stopped = rotator.Fail(rotator.Rejected, nil, "the server sends too much")
		return 0, g.stopped
	}
	return n, err
}

// Write sends one packet: three bytes of length, one of its number in the exchange, and
// what it holds. The client writes each at once. A login begins with number 1; commands
// have 0. So what has more is a further answer in a login, and but for the hashes of
// passwords none is needed.
func (g *guard) Write(p []byte) (int, error) {
	if g.bare && len(p) >= 4 && p[3] > 1 {
		if body := p[4:]; len(body) > maxAnswer || len(body) == 1 && (body[0] == 1 || body[0] == 2) {
			g.stopped = rotator.Fail(rotator.Unsuitable, nil,
				"the account's plugin sends the password itself, which is done only with TLS")
			return 0, g.stopped
		}
	}
	return g.Conn.Write(p)
}
