//go:build darwin || linux

package server

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnsent makes the system take no more for a peer than maxUnsent beyond what is on the way to it. A socket that refuses
// works as before.
func limitUnsent(raw syscall.RawConn) {
	if raw == nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent) })
}
