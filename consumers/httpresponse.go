package consumers

import (
	"context"
	"errors"
	"net/http"

	"github.com/tideway-go/tideway/asgi"
)

// StartResponse begins an HTTP response. It reaches the client with the first part of the body. For trailers send
// [asgi.HTTPResponseStart] by [Conn.SendEvent], and an [asgi.HTTPResponseTrailers] after the body; early hints and files
// are events, too.
func (c *Conn) StartResponse(ctx context.Context, status int, header http.Header) error {
	return c.answer(ctx, "start response", asgi.HTTPResponseStart{Status: status, Header: header})
}

// SendBody sends a part of an HTTP response's body, which reaches the client at once; the last part, with more false,
// completes the response and ends the connection. It keeps body, which must not change any more.
func (c *Conn) SendBody(ctx context.Context, body []byte, more bool) error {
	return c.answer(ctx, "send body", asgi.HTTPResponseBody{Body: body, MoreBody: more})
}

// Respond sends a whole HTTP response.
func (c *Conn) Respond(ctx context.Context, status int, header http.Header, body []byte) error {
	if err := c.StartResponse(ctx, status, header); err != nil {
		return err
	}
	return c.SendBody(ctx, body, false)
}

// answer sends an event, and notes when it is the last one of a response.
func (c *Conn) answer(ctx context.Context, op string, ev asgi.Event) error {
	if err := c.emit(ctx, ev); err != nil {
		if errors.Is(err, asgi.ErrFull) && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return c.errorf(op, err)
	}
	if c.exchange == nil {
		return nil
	}
	c.mu.Lock()
	completes := c.exchange.sent(ev)
	idle := c.running == ""
	c.mu.Unlock()
	if completes && idle {
		c.closed(asgi.DisconnectError{By: asgi.ByApp})
		c.life.end(asgi.DisconnectError{By: asgi.ByApp}) // wakes the reader
	}
	return nil
}

// sent notes an event of the response, and reports whether it completes that. The lock is held.
func (x *exchange) sent(ev asgi.Event) (completes bool) {
	switch ev := ev.(type) {
	case asgi.HTTPResponseStart:
		x.started, x.trailers = true, ev.Trailers
	case asgi.HTTPResponseBody:
		x.complete = !ev.MoreBody && !x.trailers
		x.stream.wrote()
	case asgi.HTTPResponseZeroCopySend:
		x.complete = !ev.MoreBody && !x.trailers
	case asgi.HTTPResponsePathSend:
		x.complete = !x.trailers
	case asgi.HTTPResponseTrailers:
		x.complete = !ev.MoreTrailers
	}
	return x.complete
}
