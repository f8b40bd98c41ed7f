package consumers

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// defaultConnectTimeout is what servers give the handshake of a WebSocket.
const defaultConnectTimeout = 5 * time.Second

// boundConnect gives a stream of server-sent events so long to begin. A server bounds the handshake of a WebSocket, but cannot
// tell a request that is to become a stream from another one. Call stop when Connect has returned.
func (c *Conn) boundConnect(limit time.Duration) (stop func() bool) {
	if limit <= 0 {
		return func() bool { return true }
	}
	return time.AfterFunc(limit, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.shut {
			c.helpers.Go(func() { c.connectLate(limit) }) // the server bounds what it sends, and finish waits for it
		}
	}).Stop
}

// connectLate answers for a Connect that takes too long, which may go on for as long as it ignores its ctx.
func (c *Conn) connectLate(limit time.Duration) {
	err := guard(func() error { // middleware may stand between consumer and server
		c.refuseLate(limit)
		return nil
	})
	if err != nil {
		c.fail(err)
	}
}

// refuseLate sends 503 and ends the connection, unless a response has begun. The end comes before the last part: a client that has
// everything may leave at once, and would be the one who has ended it.
func (c *Conn) refuseLate(limit time.Duration) {
	if !c.startRefusal() {
		return
	}
	c.mu.Lock()
	if !c.ended && !c.failed { // else the client has left, or Connect has failed, in the meantime
		c.failed, c.err = true, c.errorf("connect", fmt.Errorf("no stream has begun within %v: %w", limit, context.DeadlineExceeded))
		c.close(asgi.DisconnectError{Reason: "the stream did not begin in time", By: asgi.ByServer})
	}
	c.mu.Unlock()
	_ = c.answer(c.life.base, "refuse", asgi.HTTPResponseBody{Body: []byte("Service Unavailable\n")}) // to a client that may have gone
}

// startRefusal reports whether the server has taken 503 for the start of the response.
func (c *Conn) startRefusal() bool {
	header := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	if strings.HasPrefix(c.scope.HTTPVersion(), "1.") {
		header.Set("Connection", "close") // the next request on it would wait for this Connect
	}
	s := c.eventStream()
	s.starting.Lock()
	defer s.starting.Unlock()
	c.mu.Lock()
	over := s.begun || c.exchange.started || c.ended || c.failed
	c.mu.Unlock()
	return !over && c.answer(c.life.base, "refuse", asgi.HTTPResponseStart{Status: http.StatusServiceUnavailable, Header: header}) == nil
}
