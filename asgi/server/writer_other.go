//go:build !unix

package server

import (
	"net"
	"syscall"
)

// rawConn returns nil: without a descriptor that can be written to without blocking, a goroutine on demand writes.
func rawConn(net.Conn) syscall.RawConn { return nil }

func (w *writer) write(syscall.RawConn, []byte) (int, error) { return 0, net.ErrClosed }

func (w *writer) tryWrite(uintptr) bool { return true }
