package server

import (
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// setTimerLocked starts the connection's own timer anew, for what is not due in the common pulse.
func (c *conn) setTimerLocked(d time.Duration) {
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.tick)
		return
	}
	c.timer.Reset(d)
}

// pingFrame is shared: it has no payload, because any byte from the peer is sign of life enough.
var pingFrame = []byte{bitFin | opPing, 0}

// tick is the connection's own timer.
func (c *conn) tick() {
	if c.end.Load() != nil {
		c.overdue()
		return
	}
	c.ping()
}

// ping asks for a sign of life, or notices that none has come. c.reads grows when a Read of the socket begins and again
// when it has brought something. An odd number means that somebody listens, and half of it counts what was heard; while
// nobody listens the clock stands still.
func (c *conn) ping() {
	if c.old > 0 && time.Since(c.srv.begun) >= c.old {
		c.close(asgi.DisconnectError{Code: c.srv.opts.ShutdownCode, Reason: "the connection is old", By: asgi.ByServer})
		return
	}
	c.mu.Lock()
	if c.end.Load() != nil {
		c.mu.Unlock()
		return
	}
	reads := c.reads.Load()
	listening, heard := reads%2 == 1, reads/2-c.tickReads/2
	c.tickReads = reads
	interval, timeout := c.srv.opts.PingInterval, c.srv.opts.PingTimeout
	switch {
	case listening && heard == 0 && c.pinged && (c.lastCall || timeout <= interval):
		c.mu.Unlock()
		c.srv.counts.pingsUnanswered.Add(1)
		end := asgi.DisconnectError{Code: codeAbnormal, Reason: "the peer did not answer a ping", By: asgi.ByServer}
		c.srv.log.Warn("websocket: cut", about(c.scope, zap.String("reason", end.Reason), zap.Duration("limit", timeout))...)
		c.lose(end, true)
		return
	case listening && heard == 0 && c.pinged:
		c.lastCall = true
		c.setTimerLocked(timeout - interval)
	case listening && (heard == 0 || heard == 1 && c.pinged): // silence but for a pong
		c.pinged, c.lastCall = true, false
		c.srv.counts.pings.Add(1)
		c.out.push(&c.srv.entries, entry{body: pingFrame})
		c.scheduleLocked()
		if timeout < interval {
			c.setTimerLocked(timeout)
		} else {
			c.srv.pulse.add(c)
		}
	default:
		c.pinged, c.lastCall = false, false
		c.srv.pulse.add(c)
	}
	c.mu.Unlock()
}

// overdue cuts a connection whose application goes on long after the end.
func (c *conn) overdue() {
	c.mu.Lock()
	if c.returned {
		c.mu.Unlock()
		return
	}
	end := *c.end.Load()
	c.mu.Unlock()
	c.logOverdue()
	c.lose(end, true)
}

// logOverdue names an application that cannot be ended, once.
func (c *conn) logOverdue() {
	c.mu.Lock()
	named := c.named
	c.named = true
	c.mu.Unlock()
	if !named {
		c.srv.counts.overdue.Add(1)
		c.srv.log.Error("websocket: application ignores the end of its connection", about(c.scope, zap.Error(c.end.Load()),
			zap.Duration("limit", c.srv.opts.AppCloseTimeout))...)
	}
}
