package server

import (
	"compress/flate"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// receiver is the connection's asgi.Receive. With the connection's own ctx it reads on the caller's goroutine. gorilla's
// read errors are final, so a read cannot be given up: before it obeys another ctx, a goroutine takes the reader's role, and
// keeps it.
func (c *conn) receiver() asgi.Receive {
	return func(ctx context.Context) (asgi.Event, error) {
		switch {
		case !c.connected:
			c.connected = true
			return asgi.WebSocketConnect{}, nil
		case c.delivered:
			return nil, asgi.ErrClosed
		case !c.answered:
			if err := c.awaitDecision(ctx); err != nil {
				return nil, err
			}
			c.answered = true
		}
		if c.inbox != nil || ctx != c.ctx && ctx.Done() != nil && ctx.Done() != c.ctx.Done() {
			return c.receiveRead(ctx)
		}
		if end := c.end.Load(); end != nil {
			c.delivered = true
			return disconnectEvent(*end), nil
		}
		reads := c.reads.Load()
		for {
			_, err := c.in.Peek(2) // here, and not in a function of its own: this is where an idle connection waits
			if ev, last := c.arrived(err, reads); ev != nil {
				c.delivered = last
				return ev, nil
			}
		}
	}
}

// receiveRead receives what the goroutine reads that has the reader's role.
func (c *conn) receiveRead(ctx context.Context) (asgi.Event, error) {
	if c.inbox == nil {
		c.inbox = make(chan asgi.Event)
		c.srv.helpers.Go(c.readAll)
	}
	var ev asgi.Event
	select {
	case ev = <-c.inbox:
	default:
		c.flush()
		select {
		case ev = <-c.inbox:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	_, c.delivered = ev.(asgi.WebSocketDisconnect)
	return ev, nil
}

// readAll is the goroutine that has the reader's role. Closing the inbox hands it back.
func (c *conn) readAll() {
	defer close(c.inbox)
	if end := c.end.Load(); end != nil {
		c.inbox <- disconnectEvent(*end) // taken by receive, or by conclude once the application has returned
		return
	}
	for {
		_, err := c.in.Peek(2)
		ev, last := c.arrived(err, 0)
		if ev != nil {
			c.inbox <- ev // as above
		}
		if last {
			return
		}
	}
}

// arrived makes an event of the message that begins in the buffer, or of err, and reports whether it is the last. reads is
// what c.reads was when Receive was called; who waits for the inbox does not wait for the socket. Messages that come after an end on our
// side are dropped, there is no event for them: a Receive that waited then goes on to wait for the peer's close frame.
func (c *conn) arrived(err error, reads uint32) (ev asgi.Event, last bool) {
	var frame asgi.Frame
	if err == nil {
		frame, err = c.readMessage()
	}
	if err != nil {
		c.readFailed(err)
		return disconnectEvent(*c.end.Load()), true
	}
	if c.end.Load() != nil {
		return nil, false
	}
	c.traffic.messagesIn.Add(1)
	return asgi.WebSocketReceive{Frame: frame, Waited: c.inbox == nil && c.reads.Load() != reads}, false
}

var (
	errNotText = errors.New("text message is not UTF-8")
	errTooBig  = errors.New("message is larger than the limit")
	errNoise   = errors.New("too many frames that bring no message: pings, pongs or empty fragments")
)

// smallScratch and bigScratch are the sizes of buffers that messages are gathered in. Most fit the first, with room for
// the read that finds the end.
const (
	smallScratch = 16<<10 + 512
	bigScratch   = 64 << 10
)

// scratchPool keeps the buffers that messages are gathered in.
type scratchPool struct{ pool sync.Pool }

func (p *scratchPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, smallScratch)
	return &b
}

func (p *scratchPool) put(b *[]byte) { p.pool.Put(b) }

// readMessage reads one whole message, whose beginning is in the buffer. The frame's bytes are a copy of the exact size.
func (c *conn) readMessage() (asgi.Frame, error) {
	if f, ok, err := c.takeWhole(); ok {
		return f, err
	}
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return asgi.Frame{}, err
	}
	scratch := c.srv.scratch.get()
	b, err := c.gather((*scratch)[:0], r, kind == websocket.TextMessage)
	f := asgi.Frame{Binary: kind == websocket.BinaryMessage}
	if err == nil {
		f.Data = append([]byte{}, b...)
	}
	if cap(b) <= bigScratch {
		*scratch = b[:cap(b)]
	}
	c.srv.scratch.put(scratch)
	return f, err
}

// gather appends the message to b, checking text and size as the bytes come.
func (c *conn) gather(b []byte, r io.Reader, text bool) ([]byte, error) {
	var check textCheck
	limit := c.srv.opts.MaxMessage
	for {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, max(2*cap(b), bigScratch)), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		piece := b[len(b) : len(b)+n]
		b = b[:len(b)+n]
		if limit > 0 && len(b) > limit {
			return b, errTooBig
		}
		if text && !check.write(piece) {
			return b, errNotText
		}
		if err == io.EOF {
			if text && !check.done() {
				return b, errNotText
			}
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// readFailed makes an end of a read error.
func (c *conn) readFailed(err error) {
	c.readDone = true
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code != codeAbnormal:
		c.peerClosed()
	case errors.Is(err, errNotText):
		c.protocolEnd(codeInvalidData, err.Error())
	case errors.Is(err, errTooBig), errors.Is(err, websocket.ErrReadLimit):
		c.protocolEnd(codeTooBig, errTooBig.Error(), zap.Int("Options.MaxMessage", c.srv.opts.MaxMessage))
	case errors.Is(err, errNoise):
		c.protocolEnd(codePolicy, err.Error())
	case errors.Is(err, errReservedBit), errors.Is(err, errHalfCode), errors.Is(err, errLongLength):
		c.protocolEnd(codeProtocol, err.Error())
	case c.end.Load() != nil: // we closed first and the peer did not answer, or gorilla has written why
		if timedOut(err) {
			c.peerClosed() // it had its time
		}
	case isInflateError(err):
		c.protocolEnd(codeInvalidData, "message does not inflate: "+err.Error())
	default:
		c.lose(asgi.DisconnectError{Code: codeAbnormal, Reason: lostReason(err), By: asgi.ByNetwork}, false)
	}
}

// timedOut reports whether a read has met its deadline. gorilla hides [os.ErrDeadlineExceeded] behind an error of its own.
func timedOut(err error) bool {
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}

// isInflateError reports whether a compressed message was at fault, and not the connection: that is a CloseError 1006
// to gorilla, not a bare unexpected end.
func isInflateError(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.As(err, &corrupt) || err == io.ErrUnexpectedEOF
}

// lostReason says in a word how a connection was lost.
func lostReason(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || websocket.IsCloseError(err, codeAbnormal) {
		return "connection lost"
	}
	return err.Error()
}

// peerClosed notes that the peer's close frame has come, or will not. Ours is in the queue then: either it was first, or the close
// handler has queued the answer. RFC 6455 section 7.1.1 lets the server close the socket.
func (c *conn) peerClosed() {
	c.mu.Lock()
	c.hangUp = true
	c.mu.Unlock()
	c.flush()
}

// drain lets a peer that broke the protocol read our close frame: closing a socket with unread bytes in it would reset
// it, and the frame might be lost. It reads until the peer is gone or the time is over.
func (c *conn) drain() {
	c.mu.Lock()
	done := c.cut || c.hangUp
	c.mu.Unlock()
	if done {
		return
	}
	c.flush()
	c.net.SetReadDeadline(time.Now().Add(lingerTime))
	if half, ok := c.net.(interface{ CloseWrite() error }); ok {
		c.awaitWritten(lingerTime)
		half.CloseWrite()
	}
	scratch := c.srv.scratch.get()
	defer c.srv.scratch.put(scratch)
	for {
		if _, err := c.net.Read(*scratch); err != nil {
			return
		}
	}
}

// discard reads on after the close, until the peer's close frame has come or the time is over.
func (c *conn) discard() {
	for {
		if _, _, err := c.ws.NextReader(); err != nil {
			c.readFailed(err)
			return
		}
	}
}

// transport is what gorilla takes for the network connection.
type transport conn

// Read hands gorilla the next bytes. A Read of the socket means that no input is left in a buffer, so what handlers
// held back is written first: the answers to a burst of messages leave in one write.
func (t *transport) Read(p []byte) (int, error) {
	c := (*conn)(t)
	n, err := 0, error(nil)
	if c.early != nil {
		n, _ = c.early.Read(p) // it is not empty
		if c.early.Len() == 0 {
			c.early = nil
		}
	} else {
		c.flush()
		if c.watch.noise > maxNoise && !c.slowDown() {
			return 0, errNoise
		}
		c.reads.Add(1)
		n, err = c.net.Read(p)
		c.reads.Add(1)
	}
	c.traffic.bytesIn.Add(uint64(n))
	if k, violation := c.watch.observe(p[:n]); violation != nil {
		return k, violation
	}
	return n, err
}

// maxNoise is how many frames that bring no message a peer may send in a second. A peer that has always something to read, and
// nothing for the application to slow down, would keep a processor from others. Nobody else counts them, so this limit is fixed.
const maxNoise = 100

// maxSlowed is for how many seconds in a row a peer may send more. What it has sent lies in the kernel's buffers, also when it
// has gone: without an end to this, half a megabyte of empty fragments would hold a closed socket for half an hour.
const maxSlowed = 30

// slowDown lets TCP slow down such a peer: nothing is read until the second is over. It reports whether that may go on.
func (c *conn) slowDown() bool {
	now := time.Now()
	if uint16(now.Unix()) != c.watch.since {
		c.watch.slowed = 0
	} else {
		if c.watch.slowed++; c.watch.slowed > maxSlowed {
			return false
		}
		next := time.NewTimer(now.Truncate(time.Second).Add(time.Second).Sub(now))
		defer next.Stop()
		select {
		case <-next.C:
		case <-c.ctx.Done():
		}
	}
	c.watch.noise, c.watch.since = 0, uint16(time.Now().Unix())
	return true
}

// Write takes gorilla's own frames, which answer what the peer did wrong; the handshake's response went before.
func (t *transport) Write(p []byte) (int, error) {
	c := (*conn)(t)
	if !c.open {
		return c.writeResponse(p)
	}
	c.control(p)
	return len(p), nil
}

func (t *transport) Close() error         { return t.net.Close() }
func (t *transport) LocalAddr() net.Addr  { return t.net.LocalAddr() }
func (t *transport) RemoteAddr() net.Addr { return t.net.RemoteAddr() }

// Deadlines are the server's own: of the handshake, of a write, of the closing handshake.

func (t *transport) SetDeadline(time.Time) error      { return nil }
func (t *transport) SetReadDeadline(time.Time) error  { return nil }
func (t *transport) SetWriteDeadline(time.Time) error { return nil }
