package auditdevice

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// failEarly breaks a connection once something that was sent has found no answer
// for so long: otherwise a machine that is gone is believed in for minutes.
func failEarly(conn net.Conn, after time.Duration) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // a datagram socket has no such option
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
	})
}
