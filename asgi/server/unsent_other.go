//go:build !(darwin || linux)

package server

import "syscall"

// limitUnsent does nothing where TCP_NOTSENT_LOWAT is not to be had.
func limitUnsent(syscall.RawConn) {}
