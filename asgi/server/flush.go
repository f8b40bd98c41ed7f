package server

import (
	"bytes"
	"errors"
	"net"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// maxRounds bounds how often one writer comes back to a queue that others keep filling.
const maxRounds = 4

// waitingLocked reports whether something is to be written.
func (c *conn) waitingLocked() bool { return c.out.count > 0 || c.pong != nil }

// scheduleLocked sees to it that what waits is written soon, by somebody else.
func (c *conn) scheduleLocked() {
	if c.writing || c.queued || c.cut || !c.waitingLocked() {
		return
	}
	if c.raw == nil {
		c.writing = true
		c.srv.helpers.Go(func() { c.writeBlocking(nil) })
		return
	}
	c.queued = true
	c.srv.flushers.add(c)
}

// flush writes what waits on the caller's goroutine, without blocking.
func (c *conn) flush() {
	if !c.startWrite(false) {
		return
	}
	w := c.srv.writers.get()
	c.writeUnlock(w)
	c.srv.writers.put(w)
}

// startWrite claims the writer's role if there is something to write, nobody has the role, and it can be done without
// blocking; then mu stays locked for writeUnlock. A flusher calls it for a connection that it has just taken off the run queue.
func (c *conn) startWrite(unqueued bool) bool {
	c.mu.Lock()
	c.queued = c.queued && !unqueued
	switch {
	case c.writing || c.cut:
	case !c.waitingLocked():
		c.unlockDone()
		return false
	case c.raw == nil:
		c.scheduleLocked()
	default:
		c.writing = true
		return true
	}
	c.mu.Unlock()
	return false
}

// writeUnlock has the writer's role. It writes until nothing waits, hands a socket that takes no more to a goroutine, and
// unlocks mu.
func (c *conn) writeUnlock(w *writer) {
	for rounds := 0; c.waitingLocked() && rounds < maxRounds; rounds++ {
		p, joined := c.takeLocked(w.scratch)
		c.mu.Unlock()
		n, err := w.write(c.raw, p)
		c.mu.Lock()
		if c.cut {
			break
		}
		c.out.written(n)
		c.traffic.bytesOut.Add(uint64(n))
		if err != nil {
			c.writing = false
			c.mu.Unlock()
			c.writeFailed(err)
			return
		}
		if n < len(p) {
			rest := p[n:]
			if joined {
				rest = bytes.Clone(rest)
			}
			c.srv.helpers.Go(func() { c.writeBlocking(rest) })
			c.mu.Unlock()
			return
		}
		c.wakeLocked()
	}
	c.writing = false
	c.scheduleLocked()
	c.unlockDone()
}

// writePiece is what has to leave within one WriteTimeout.
const writePiece = 64 << 10

// writeBlocking has the writer's role, on a goroutine of its own. It ends when nothing waits.
func (c *conn) writeBlocking(rest []byte) {
	var scratch []byte
	c.mu.Lock()
	for !c.cut {
		if len(rest) == 0 {
			if !c.waitingLocked() {
				break
			}
			if scratch == nil {
				scratch = make([]byte, 0, min(writePiece, c.out.bytes+512)) // with room for a pong
			}
			rest, _ = c.takeLocked(scratch)
		}
		piece := rest[:min(len(rest), writePiece)]
		c.mu.Unlock()
		c.net.SetWriteDeadline(time.Now().Add(c.srv.opts.WriteTimeout))
		n, err := c.net.Write(piece)
		c.traffic.bytesOut.Add(uint64(n))
		if err != nil {
			c.writeFailed(err)
			c.mu.Lock()
			break
		}
		rest = rest[len(piece):]
		c.mu.Lock()
		if !c.cut {
			c.out.written(len(piece))
			c.wakeLocked()
		}
	}
	if !c.cut {
		c.net.SetWriteDeadline(time.Time{})
	}
	c.writing = false
	c.unlockDone()
}

// takeLocked takes bytes to write next, and reports whether they are in scratch.
func (c *conn) takeLocked(scratch []byte) (p []byte, joined bool) {
	if c.pong == nil {
		return c.out.fill(&c.srv.entries, scratch[:0])
	}
	pong := *c.pong
	c.pong = nil
	c.out.bytes += len(pong)
	if c.out.count == 0 {
		return pong, false
	}
	return c.out.fill(&c.srv.entries, append(scratch[:0], pong...))
}

// unlockDone unlocks mu when a writer has found nothing more to do. If no more is to come, it closes the socket.
func (c *conn) unlockDone() {
	c.wakeLocked()
	over := c.hangUp && !c.cut && !c.writing && !c.waitingLocked()
	c.cut = c.cut || over
	c.mu.Unlock()
	if over {
		c.net.Close()
	}
}

// roomLocked returns a channel that is closed at the writer's next progress.
func (c *conn) roomLocked() chan struct{} {
	if c.room == nil {
		c.room = make(chan struct{})
	}
	return c.room
}

func (c *conn) wakeLocked() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// awaitWritten waits until all is written, the socket is cut, or limit is over.
func (c *conn) awaitWritten(limit time.Duration) {
	var late <-chan time.Time
	for {
		c.mu.Lock()
		if c.cut || !c.writing && !c.waitingLocked() {
			c.mu.Unlock()
			return
		}
		c.scheduleLocked()
		room := c.roomLocked()
		c.mu.Unlock()
		if late == nil {
			t := time.NewTimer(limit)
			defer t.Stop()
			late = t.C
		}
		select {
		case <-room:
		case <-late:
			return
		}
	}
}

// writeFailed ends a connection that cannot be written to. A peer that does not read is worth a line; one that has gone
// is everyday life.
func (c *conn) writeFailed(err error) {
	d := asgi.DisconnectError{Code: codeAbnormal, Reason: "write: " + err.Error(), By: asgi.ByNetwork}
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if late {
		c.srv.counts.slowReaders.Add(1)
		d.Reason, d.By = "the peer does not read: a write took longer than "+c.srv.opts.WriteTimeout.String(), asgi.ByServer
		c.srv.log.Warn("websocket: cut", about(c.scope, zap.String("reason", d.Reason))...)
	} else if errors.Is(err, net.ErrClosed) {
		d.Reason = "connection closed"
	}
	c.lose(d, late)
}
