package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/tideway-go/tideway/asgi"
)

// send is the connection's asgi.Send.
func (c *conn) send(ctx context.Context, event asgi.Event) error {
	if e, ok := event.(asgi.WebSocketSend); ok {
		return c.sendFrame(ctx, e)
	}
	c.mu.Lock()
	hs, over, idle := c.hs, !c.open || c.closing || c.cut, !c.waitingLocked()
	c.mu.Unlock()
	if hs != nil {
		if taken, err := hs.answer(event); taken {
			return err
		}
		return c.send(ctx, event) // the handshake is over now
	}
	if over {
		return asgi.ErrClosed
	}
	switch e := event.(type) {
	case asgi.WebSocketFlush:
		if !idle {
			c.flush()
		}
		return nil
	case asgi.WebSocketClose:
		return c.sendClose(e)
	case asgi.WebSocketAccept:
		return fmt.Errorf("asgi/server: send %s: the connection is accepted already: send it once", event.EventType())
	case asgi.WebSocketHTTPResponseStart, asgi.WebSocketHTTPResponseBody:
		return fmt.Errorf("asgi/server: send %s: the connection is accepted already: send websocket.close instead", event.EventType())
	}
	return unexpected(event)
}

// unexpected is the error for an event of another protocol.
func unexpected(event asgi.Event) error {
	if event == nil {
		return fmt.Errorf("asgi/server: send: the event is nil: send a websocket.* event")
	}
	return fmt.Errorf("asgi/server: send %s: this is a websocket connection: send websocket.send or websocket.close", event.EventType())
}

// sendClose begins the closing handshake.
func (c *conn) sendClose(e asgi.WebSocketClose) error {
	if e.Code == 0 {
		e.Code = codeNormal
	}
	if err := checkClose(e.Code, e.Reason); err != nil {
		return err
	}
	return c.close(asgi.DisconnectError{Code: e.Code, Reason: e.Reason, By: asgi.ByApp})
}

// encode makes an entry of a message. What many connections share is encoded once for all.
func (c *conn) encode(e asgi.WebSocketSend) entry {
	shared, deflate := e.Prepared.Holds(e.Frame), c.srv.opts.Compression && c.compresses()
	switch {
	case deflate && shared:
		return entry{body: e.Prepared.Encoded(asgi.Compressed, c.srv.deflate.encode)}
	case deflate:
		return entry{body: c.srv.deflate.encode(e.Frame)}
	case shared:
		return entry{body: e.Prepared.Encoded(asgi.Plain, encodePlain)}
	}
	out := entry{body: e.Frame.Data}
	out.n = uint8(len(appendHeader(out.head[:0], dataOpcode(e.Frame.Binary), len(e.Frame.Data))))
	return out
}

// compresses reports whether compression was negotiated.
func (c *conn) compresses() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open && c.deflate
}

// encodePlain makes one piece of header and payload.
func encodePlain(f asgi.Frame) []byte {
	b := appendHeader(make([]byte, 0, maxHeader+len(f.Data)), dataOpcode(f.Binary), len(f.Data))
	return append(b, f.Data...)
}

// sendFrame puts a message at the end of the queue.
func (c *conn) sendFrame(ctx context.Context, e asgi.WebSocketSend) error {
	frame := c.encode(e)
	c.mu.Lock()
	for {
		switch {
		case c.hs != nil:
			c.mu.Unlock()
			return errNotAccepted(e)
		case c.closing || c.cut || !c.open:
			c.mu.Unlock()
			return asgi.ErrClosed
		case c.out.bytes == 0 || c.out.bytes+frame.size() <= c.srv.opts.QueueSize:
			c.out.push(&c.srv.entries, frame)
			c.traffic.messagesOut.Add(1)
			if !e.More {
				c.scheduleLocked()
			}
			c.mu.Unlock()
			return nil
		}
		if err := c.unlockAndMakeRoom(ctx); err != nil {
			return err
		}
		c.mu.Lock()
	}
}

// unlockAndMakeRoom writes what waits if nobody does, or else waits for who does. It is called with mu locked, and leaves
// it unlocked. With a ctx that has ended the queue is full at once.
func (c *conn) unlockAndMakeRoom(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		c.scheduleLocked()
		c.mu.Unlock()
		c.srv.counts.queueFull.Add(1)
		return asgi.ErrFull
	case !c.writing:
		c.mu.Unlock()
		c.flush()
		return nil
	}
	room := c.roomLocked()
	c.mu.Unlock()
	select {
	case <-room:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errNotAccepted is for a message before the accept.
func errNotAccepted(event asgi.Event) error {
	return fmt.Errorf("asgi/server: send %s: the connection is not accepted yet: send websocket.accept first", event.EventType())
}

// control takes a control frame that gorilla wrote. That is a close frame with a code: pings and closes of the peer have
// handlers of our own.
func (c *conn) control(frame []byte) {
	if frame[0]&0x0F != opClose || len(frame) < 4 {
		return
	}
	code, reason := int(binary.BigEndian.Uint16(frame[2:4])), string(frame[4:])
	if strings.Contains(reason, "utf8") {
		code = codeInvalidData // gorilla says 1002 when the reason of a close frame is not UTF-8
	}
	if code == codeTooBig {
		return // the read error is ErrReadLimit, and readFailed says more
	}
	c.protocolEnd(code, reason)
}

// answerPing answers a ping. Pings that come faster than pongs can leave get one answer, to the latest (RFC 6455 section 5.5.3).
func (c *conn) answerPing(payload string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.cut {
		return nil
	}
	pong := append(appendHeader(make([]byte, 0, 2+len(payload)), opPong, len(payload)), payload...)
	c.pong = &pong
	c.scheduleLocked()
	return nil
}

// answerClose echoes the peer's close frame, unless ours was first.
func (c *conn) answerClose(code int, reason string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishLocked(asgi.DisconnectError{Code: code, Reason: reason, By: asgi.ByClient})
	if !c.closing && !c.cut {
		c.pushCloseLocked(closeFrame(code, ""))
	}
	return nil
}
