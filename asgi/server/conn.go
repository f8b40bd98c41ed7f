package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// lingerTime is how long a connection waits for the peer's half of the closing handshake.
const lingerTime = 5 * time.Second

// A conn is one WebSocket, from the handshake to the end. There may be very many that do nothing, so a field counts, and
// timers, channels and buffers are made when they are needed. Fields are in an order that leaves no gaps.
type conn struct {
	srv    *Server
	ctx    context.Context
	cancel context.CancelCauseFunc
	scope  *asgi.Scope // as this server made it, for the log

	older, newer *conn // in the server's list; under its mu
	traffic      traffic

	// Set once by the handshake, before open is.
	net net.Conn
	raw syscall.RawConn // nil where there is no descriptor to write to without blocking
	ws  *websocket.Conn

	// The reader's side: touched by whoever calls Receive, or by the goroutine that took over.
	early     *bytes.Reader // what net/http had read already
	in        *bufio.Reader // gorilla reads from it too
	watch     observer
	inbox     chan asgi.Event // non-nil once a goroutine has the reader's role
	connected bool            // the connect event was given
	answered  bool            // the handshake was
	delivered bool            // the disconnect event was given
	readDone  bool            // gorilla can read no more
	direct    bool            // this server has accepted it; set before the handshake

	// Under mu, like everything that follows but end and reads.
	open     bool // accepted
	returned bool // the application has
	named    bool // as one that goes on after the end
	pinged   bool // a ping is waiting for a sign of life
	lastCall bool // and the next tick is its last
	logged   bool // the line about what the application returned is written

	// end is set once, under mu, and read without.
	end atomic.Pointer[asgi.DisconnectError]

	beat beat // its place in the pulse

	old time.Duration // when it is, since Server.begun; 0: never

	// reads is odd while somebody waits in a Read of the socket, and grows with each: the ping timer's sign of life.
	reads     atomic.Uint32
	tickReads uint32 // reads at the last tick

	mu    sync.Mutex
	hs    *handshake  // nil once it is decided
	timer *time.Timer // for the answer to a ping, then the limit on the application's farewell

	// The outbound side.
	out     queue
	pong    *[]byte       // only the latest waits
	room    chan struct{} // closed when a full queue has room, or none will ever be
	deflate bool          // compression was negotiated; set with net
	writing bool          // somebody writes: one at a time
	queued  bool          // in the run queue
	closing bool          // the close frame is in the queue: nothing comes after it
	hangUp  bool          // both close frames are through, or no more is to come: close the socket when all is written
	cut     bool          // the socket is closed
}

// runner serves the connection on a goroutine of its own. An idle connection waits below it, and the collector looks at each
// frame there in each of its cycles; hence one function that does it all. A panic of the application is an error like another, so
// no other connection notices.
func (c *conn) runner() func() {
	return func() {
		defer c.srv.leave(c)
		err := errGoexit
		defer func() { // also when the application calls runtime.Goexit, as a test's FailNow does
			if v := recover(); v != nil {
				err = &asgi.PanicError{Value: v, Stack: debug.Stack()}
			}
			c.conclude(err)
		}()
		app, scope, failed := choose(c.srv.app, c.scope)
		if app == nil {
			err = failed
			return
		}
		err = app.Serve(c.ctx, scope, c.receiver(), c.send)
	}
}

// A chooser is an application that only hands connections on, as the routers of package routing are. It is asked for the
// application behind it, so that none of its frames is below those of a connection that waits.
type chooser interface {
	// Choose returns the application and its scope, or what Serve would return.
	Choose(scope *asgi.Scope) (asgi.App, *asgi.Scope, error)
}

// choose asks one router after the other. Without an application err is the result of the connection.
func choose(app asgi.App, scope *asgi.Scope) (_ asgi.App, _ *asgi.Scope, err error) {
	for {
		router, ok := app.(chooser)
		if !ok {
			return app, scope, nil
		}
		if app, scope, err = router.Choose(scope); app == nil {
			return nil, nil, err
		}
	}
}

var errGoexit = errors.New("the application ended its goroutine: return from Serve instead")

// finish records who ended the connection. The first one to say so is right.
func (c *conn) finish(d asgi.DisconnectError) {
	c.mu.Lock()
	c.finishLocked(d)
	c.mu.Unlock()
}

func (c *conn) finishLocked(d asgi.DisconnectError) {
	if c.end.Load() != nil {
		return
	}
	c.end.Store(&d)
	c.srv.pulse.remove(c)
	if limit := c.srv.opts.AppCloseTimeout; limit > 0 && c.open && !c.returned {
		if d.By == asgi.ByApp || d.By == asgi.ByServer {
			limit += lingerTime // a Receive that waits hears of it when the peer has answered
		}
		c.setTimerLocked(limit)
	} else if c.timer != nil {
		c.timer.Stop()
	}
}

// lose ends a connection that cannot go on: it forgets what was to be written, closes the socket and cancels ctx.
// With reset the kernel forgets unsent bytes too, instead of keeping them for a peer that does not read.
func (c *conn) lose(d asgi.DisconnectError, reset bool) {
	c.mu.Lock()
	c.finishLocked(d)
	end := *c.end.Load()
	first := !c.cut && c.net != nil
	c.cut = true
	c.out.drop(&c.srv.entries)
	c.pong = nil
	c.wakeLocked()
	c.mu.Unlock()
	if first {
		closeSocket(c.net, reset)
	}
	c.cancel(end)
}

// closeSocket closes a connection, with reset also the one below TLS first: saying goodbye there would wait for the peer.
func closeSocket(nc net.Conn, reset bool) {
	below := nc
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		below = t.NetConn()
	}
	if reset {
		if tcp, ok := below.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		below.Close()
	}
	nc.Close()
}

// close queues a close frame, unless there was one, and records the end. The peer has lingerTime to answer.
func (c *conn) close(d asgi.DisconnectError) error {
	c.mu.Lock()
	if c.closing || c.cut || !c.open {
		c.mu.Unlock()
		return asgi.ErrClosed
	}
	c.finishLocked(d)
	c.pushCloseLocked(closeFrame(d.Code, d.Reason))
	c.mu.Unlock()
	c.net.SetReadDeadline(time.Now().Add(lingerTime))
	return nil
}

// pushCloseLocked makes frame the last one.
func (c *conn) pushCloseLocked(frame []byte) {
	c.closing = true
	c.out.push(&c.srv.entries, entry{body: frame})
	c.scheduleLocked()
}

// protocolEnd fails the connection because of what the peer sent.
func (c *conn) protocolEnd(code int, reason string, more ...zap.Field) {
	if c.close(asgi.DisconnectError{Code: code, Reason: reason, By: asgi.ByServer}) == nil {
		c.srv.counts.protocolErrors.Add(1)
		c.srv.log.Warn("websocket: peer broke the protocol", about(c.scope, append(more, zap.Int("code", code), zap.String("reason", reason))...)...)
	}
}

// conclude ends the connection after the application has returned.
func (c *conn) conclude(err error) {
	if c.refused(err) {
		c.logRefused(err)
		return
	}
	c.farewell(err)
	c.flush()
	if c.inbox != nil {
		for range c.inbox {
		}
	}
	if !c.readDone {
		c.discard()
	}
	c.drain()
	c.awaitWritten(c.srv.opts.WriteTimeout)
	c.lose(asgi.DisconnectError{Code: codeAbnormal, By: asgi.ByNetwork}, false)
}

// logRefused is the line about an application that failed after its handshake had been answered.
func (c *conn) logRefused(err error) {
	var deny asgi.Deny
	if _, says := asgi.StatusOf(err); says || errors.As(err, &deny) {
		return // there is a line, or it came too late, to a client that had gone
	}
	_, _, failure := result(err, true)
	c.logFailure(failure)
}

// farewell closes the connection as the application's result demands, unless it has ended already.
func (c *conn) farewell(err error) {
	c.mu.Lock()
	c.returned = true
	c.srv.pulse.remove(c)
	if c.timer != nil {
		c.timer.Stop()
	}
	over := c.end.Load() != nil
	c.mu.Unlock()
	code, reason, failure := result(err, over)
	if _, chosen := chosenEnd(failure); failure != nil && !chosen {
		c.srv.counts.failures.Add(1)
	}
	c.logFailure(failure)
	if !over {
		c.close(asgi.DisconnectError{Code: code, Reason: reason, By: asgi.ByApp})
	}
}

// result is what the error that an application returned means: how to close, and whether it is worth a line. A bare
// CloseError is a deliberate end. One that is wrapped has a story to tell, such as what was wrong with a message.
func result(err error, over bool) (code int, reason string, failure error) {
	var panicked *asgi.PanicError
	switch {
	case errors.As(err, &panicked):
		return codeInternal, "", err
	case err == nil, errors.Is(err, asgi.ErrClosed), over && errors.Is(err, context.Canceled):
		return codeNormal, "", nil
	}
	chosen, ok := chosenEnd(err)
	if !ok {
		return codeInternal, "", err
	}
	if chosen.Code == 0 {
		chosen.Code = codeNormal
	}
	if wrong := checkClose(chosen.Code, chosen.Reason); wrong != nil {
		return codeInternal, "", wrong
	}
	if isBare(err) {
		err = nil
	}
	return chosen.Code, chosen.Reason, err
}

// chosenEnd finds the code that an error carries for the peer. A panic chooses nothing, whatever its value.
func chosenEnd(err error) (chosen asgi.CloseError, ok bool) {
	var panicked *asgi.PanicError
	ok = errors.As(err, &chosen) && !errors.As(err, &panicked)
	return chosen, ok
}

// isBare reports whether err is a CloseError and nothing else. errors.Join adds nothing to it.
func isBare(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(joined.Unwrap(), func(err error) bool { return !isBare(err) })
	}
	_, bare := err.(asgi.CloseError)
	return bare
}

// logFailure is the one line about what an application returned, if that is a failure: an error, or a warning where it has
// chosen a code for the peer.
func (c *conn) logFailure(err error) {
	c.mu.Lock()
	done := c.logged || err == nil
	c.logged = c.logged || err != nil
	c.mu.Unlock()
	if done {
		return
	}
	if chosen, ok := chosenEnd(err); ok {
		c.srv.log.Warn("websocket: closed because of an error", about(c.scope, zap.Int("code", chosen.Code), zap.Error(err))...)
		return
	}
	c.srv.log.Error("websocket: application failed", failure(c.scope, err)...)
}
