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
	c.mu.Lock()
	hs, over := c.hs, !c.open || c.closing || c.cut
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
	case asgi.WebSocketSend:
		return c.sendFrame(ctx, e)
	case asgi.WebSocketFlush:
		c.flush()
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

// sendFrame queues one message.
func (c *conn) sendFrame(ctx context.Context, e asgi.WebSocketSend) error {
	return c.enqueue(ctx, c.encode(e), e.More)
}

// encode makes an entry of a message. What many connections share is encoded once for all.
func (c *conn) encode(e asgi.WebSocketSend) entry {
	shared := e.Prepared.Holds(e.Frame)
	switch {
	case c.deflate && shared:
		return entry{body: e.Prepared.Encoded(asgi.Compressed, c.srv.deflate.encode)}
	case c.deflate:
		return entry{body: c.srv.deflate.encode(e.Frame)}
	case shared:
		return entry{body: e.Prepared.Encoded(asgi.Plain, encodePlain)}
	}
	out := entry{body: e.Frame.Data}
	out.n = uint8(len(appendHeader(out.head[:0], dataOpcode(e.Frame.Binary), len(e.Frame.Data))))
	return out
}

// encodePlain makes one piece of header and payload.
func encodePlain(f asgi.Frame) []byte {
	b := appendHeader(make([]byte, 0, maxHeader+len(f.Data)), dataOpcode(f.Binary), len(f.Data))
	return append(b, f.Data...)
}

// enqueue puts e at the end of the queue, waiting for room if ctx has not ended.
func (c *conn) enqueue(ctx context.Context, e entry, more bool) error {
	c.mu.Lock()
	for c.out.bytes > 0 && c.out.bytes+e.size() > c.srv.opts.QueueSize && !c.closing && !c.cut {
		if ctx.Err() != nil {
			c.scheduleLocked()
			c.mu.Unlock()
			return asgi.ErrFull
		}
		if !c.writing {
			c.mu.Unlock()
			c.flush()
			c.mu.Lock()
			continue
		}
		room := c.roomLocked()
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c.mu.Lock()
	}
	if c.closing || c.cut {
		c.mu.Unlock()
		return asgi.ErrClosed
	}
	c.out.push(&c.srv.entries, e)
	if !more {
		c.scheduleLocked()
	}
	c.mu.Unlock()
	return nil
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
