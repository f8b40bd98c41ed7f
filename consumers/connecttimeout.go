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

// connectLate answers for a Connect that takes too long, which may go on for as long as it ignores its ctx. It does nothing
// where Connect has answered.
func (c *Conn) connectLate(limit time.Duration) {
	refused := false
	err := guard(func() error { // middleware may stand between consumer and server
		refused = c.refuseLate()
		return nil
	})
	if err != nil {
		c.fail(err)
	}
	if !refused {
		return
	}
	c.closed(asgi.DisconnectError{Reason: "the stream did not begin in time", By: asgi.ByServer})
	c.fail(c.errorf("connect", fmt.Errorf("no stream has begun within %v: %w", limit, context.DeadlineExceeded)))
}

// refuseLate sends 503 unless a response has begun.
func (c *Conn) refuseLate() bool {
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
	if over || c.answer(&c.life, "refuse", asgi.HTTPResponseStart{Status: http.StatusServiceUnavailable, Header: header}) != nil {
		return false
	}
	_ = c.answer(&c.life, "refuse", asgi.HTTPResponseBody{Body: []byte("Service Unavailable\n")}) // to a client that may have gone
	return true
}
