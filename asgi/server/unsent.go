package server

import (
	"crypto/tls"
	"net"
)

// maxUnsent is how many bytes the system holds for a peer that does not read them, besides those that the peer's window and
// the line have room for. The system's own limit, 4 MB on Linux, times some hundred peers that never read is all the memory
// that it has for TCP; then it makes the windows of everybody small, and others wait. Two pieces of a writer fit.
const maxUnsent = 2 * writePiece

// limitUnsentOf is limitUnsent for a connection that net/http has accepted.
func limitUnsentOf(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	limitUnsent(rawConn(below(nc)))
}
