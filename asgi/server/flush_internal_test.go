package server

import (
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"
)

// deadlines remembers the last write deadline of a connection.
type deadlines struct {
	net.Conn
	seen int
	last time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.seen++
	d.last = t
	return nil
}

// A blocking write leaves no deadline behind: the next one may be by a flusher, long after, and would fail at once.
func TestBlockingWriteClearsItsDeadline(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go io.Copy(io.Discard, far) // ends with the pipe
	srv := &Server{log: zap.NewNop()}
	srv.opts.WriteTimeout = time.Hour
	nc := &deadlines{Conn: near}
	c := &conn{srv: srv, net: nc, open: true, writing: true}
	c.out.push(&srv.entries, entry{body: []byte("tideway")})
	c.writeBlocking(nil)
	if nc.seen < 2 || !nc.last.IsZero() {
		t.Errorf("after %d deadlines the last is %v, want none", nc.seen, nc.last)
	}
}
