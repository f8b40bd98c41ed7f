//go:build unix

package server

import (
	"net"
	"syscall"
)

// rawConn returns what a writer needs, or nil where a write to the descriptor would not be a write to the connection:
// a TLS connection, a pipe, somebody's wrapper.
func rawConn(c net.Conn) syscall.RawConn {
	var sc syscall.Conn
	switch c := c.(type) {
	case *net.TCPConn:
		sc = c
	case *net.UnixConn:
		sc = c
	default:
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// write writes what the socket takes at once. Fewer bytes than asked, without an error, mean that it takes no more.
func (w *writer) write(raw syscall.RawConn, p []byte) (int, error) {
	w.out = p
	err := raw.Write(w.try)
	w.out = nil
	if err != nil {
		return 0, err
	}
	return w.n, w.err
}

// tryWrite is called with the descriptor. It always says that it is done, so the runtime does not wait for the socket.
func (w *writer) tryWrite(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), w.out)
		switch err {
		case nil:
			w.n, w.err = n, nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			w.n, w.err = 0, nil
		default:
			w.n, w.err = 0, err
		}
		return true
	}
}
