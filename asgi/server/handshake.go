package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// A handshake is the time between a client's request and the application's answer (S1). The application runs on a
// goroutine of its own and sends its answers here; ServeHTTP carries them out, since only it may write the response, and
// returns. Afterwards nothing of the request is kept.
type handshake struct {
	offers   chan offer
	over     chan struct{} // closed when the answer is complete
	returned chan error    // the application's result, if it comes first
	deadline time.Time     // of a refusal's response
	start    *asgi.WebSocketHTTPResponseStart
	begun    bool // a part of the refusal's body has been written
}

// offer is one event on its way to ServeHTTP.
type offer struct {
	event asgi.Event
	err   chan error
}

func newHandshake() *handshake {
	return &handshake{offers: make(chan offer), over: make(chan struct{}), returned: make(chan error)}
}

// answer hands an event to ServeHTTP. It needs no ctx: ServeHTTP takes offers until the handshake is over, and what it does
// with one is bounded by WriteTimeout.
func (hs *handshake) answer(event asgi.Event) error {
	o := offer{event, make(chan error, 1)}
	select {
	case hs.offers <- o:
		return <-o.err
	case <-hs.over:
		return asgi.ErrClosed
	}
}

// awaitDecision waits until the application has accepted or refused.
func (c *conn) awaitDecision(ctx context.Context) error {
	c.mu.Lock()
	hs := c.hs
	c.mu.Unlock()
	if hs == nil {
		return nil
	}
	select {
	case <-hs.over:
		return nil
	case <-ctx.Done():
		select {
		case <-hs.over:
			return nil
		default:
			return context.Cause(ctx)
		}
	}
}

// refused hands the application's result to ServeHTTP if the handshake was never completed, and reports whether there is no
// socket to end.
func (c *conn) refused(err error) bool {
	c.mu.Lock()
	hs, open := c.hs, c.open
	c.mu.Unlock()
	if hs != nil {
		select {
		case hs.returned <- err:
			<-hs.over
		case <-hs.over:
		}
		c.mu.Lock()
		open = c.open
		c.mu.Unlock()
	}
	return !open
}

// negotiate is ServeHTTP's part: it carries out what the application answers until there is a socket or a refusal.
func (c *conn) negotiate(w http.ResponseWriter, r *http.Request) {
	hs := c.hs
	var late <-chan time.Time
	if limit := c.srv.opts.HandshakeTimeout; limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	for {
		select {
		case o := <-hs.offers:
			decided, err := c.decide(w, r, o.event)
			if decided {
				c.decided(hs)
			}
			o.err <- err
			if decided {
				return
			}
		case err := <-hs.returned:
			defer c.decided(hs)
			c.refuse(w, err)
			return
		case <-late:
			c.srv.log.Warn("websocket: application did not answer the handshake in time", zap.String("path", c.path), zap.Duration("limit", c.srv.opts.HandshakeTimeout))
			c.giveUp(w, hs, asgi.DisconnectError{Code: codeAbnormal, Reason: "the application did not answer in time", By: asgi.ByServer})
			return
		case <-c.srv.closing:
			c.giveUp(w, hs, asgi.DisconnectError{Code: codeGoingAway, Reason: reasonShutdown, By: asgi.ByServer})
			return
		case <-r.Context().Done():
			c.giveUp(w, hs, asgi.DisconnectError{Code: codeAbnormal, Reason: "the client gave up during the handshake", By: asgi.ByNetwork})
			return
		}
	}
}

// decided ends the handshake.
func (c *conn) decided(hs *handshake) {
	c.mu.Lock()
	c.hs = nil
	c.mu.Unlock()
	close(hs.over)
}

// giveUp ends a handshake that the application has not answered: 503, and ctx ends.
func (c *conn) giveUp(w http.ResponseWriter, hs *handshake, d asgi.DisconnectError) {
	c.finish(d)
	c.cancel(d)
	c.decided(hs)
	if hs.begun {
		panic(http.ErrAbortHandler) // S6: half a refusal cannot be completed
	}
	http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
}

// decide carries out one event, and reports whether it completed the handshake.
func (c *conn) decide(w http.ResponseWriter, r *http.Request, event asgi.Event) (bool, error) {
	hs := c.hs
	if hs.start != nil {
		if body, ok := event.(asgi.WebSocketHTTPResponseBody); ok {
			return c.denialBody(w, hs, body)
		}
		return false, fmt.Errorf("asgi/server: send %s: a refusal has begun: send websocket.http.response.body", eventName(event))
	}
	switch e := event.(type) {
	case asgi.WebSocketAccept:
		return c.accept(w, r, e)
	case asgi.WebSocketClose:
		c.finish(asgi.DisconnectError{Code: codeAbnormal, Reason: e.Reason, By: asgi.ByApp})
		writeDenial(w, asgi.Deny{})
		return true, nil
	case asgi.WebSocketHTTPResponseStart:
		if e.Status < 200 || e.Status > 999 {
			return false, fmt.Errorf("asgi/server: send websocket.http.response.start: status %d is no refusal: use 4xx or 5xx, or 3xx with a Location", e.Status)
		}
		hs.start = &e
		return false, nil
	case asgi.WebSocketSend, asgi.WebSocketFlush:
		return false, fmt.Errorf("asgi/server: send %s: the connection is not accepted yet: send websocket.accept first", event.EventType())
	case asgi.WebSocketHTTPResponseBody:
		return false, errors.New("asgi/server: send websocket.http.response.body: the refusal has no status yet: send websocket.http.response.start first")
	}
	return false, unexpected(event)
}

func eventName(event asgi.Event) string {
	if event == nil {
		return "nil"
	}
	return event.EventType()
}

// denialBody writes a part of a refusal's response.
func (c *conn) denialBody(w http.ResponseWriter, hs *handshake, body asgi.WebSocketHTTPResponseBody) (bool, error) {
	control := http.NewResponseController(w)
	if !hs.begun {
		hs.begun = true
		control.SetWriteDeadline(time.Now().Add(c.srv.opts.WriteTimeout)) // unsupported by a test's recorder, which does not block
		copyHeader(w.Header(), hs.start.Header)
		if !body.MoreBody {
			w.Header().Set("Content-Length", fmt.Sprint(len(body.Body)))
		}
		w.WriteHeader(hs.start.Status)
	}
	_, err := w.Write(body.Body)
	if errors.Is(err, http.ErrBodyNotAllowed) {
		err = nil // 204 and 304 have none
	}
	if err == nil && body.MoreBody {
		err = control.Flush()
	}
	if err != nil {
		c.finish(asgi.DisconnectError{Code: codeAbnormal, Reason: "write: " + err.Error(), By: asgi.ByNetwork})
		return true, asgi.ErrClosed
	}
	if body.MoreBody {
		return false, nil
	}
	c.finish(asgi.DisconnectError{Code: codeAbnormal, By: asgi.ByApp})
	return true, nil
}

// refuse answers for an application that returned before it accepted.
func (c *conn) refuse(w http.ResponseWriter, err error) {
	c.finish(asgi.DisconnectError{Code: codeAbnormal, By: asgi.ByApp})
	if c.hs.begun {
		c.logFailure(fmt.Errorf("returned before the refusal's last websocket.http.response.body: %w", orReturned(err)))
		panic(http.ErrAbortHandler) // S6
	}
	var deny asgi.Deny
	if errors.As(err, &deny) {
		writeDenial(w, deny)
		return
	}
	if !errors.Is(err, asgi.ErrClosed) {
		c.logFailure(orReturned(err))
	}
	http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
}

// orReturned says what was wrong with an application that returned nil too early.
func orReturned(err error) error {
	if err == nil {
		return errors.New("it returned before it accepted or refused: send websocket.accept or websocket.close, or return asgi.Deny")
	}
	return err
}

// writeDenial writes a refusal's response.
func writeDenial(w http.ResponseWriter, d asgi.Deny) {
	copyHeader(w.Header(), d.Header)
	w.WriteHeader(d.StatusCode())
	w.Write(d.Body) // the client may have gone: nothing is left to do about it
}

// copyHeader copies what an application may decide; how long the body is and where it ends is the server's business.
func copyHeader(to, from http.Header) {
	for name, values := range from {
		switch name = http.CanonicalHeaderKey(name); name {
		case "Transfer-Encoding", "Connection", "Upgrade":
		default:
			to[name] = slices.Clone(values)
		}
	}
}

// checkRequest refuses a malformed handshake (RFC 6455 section 4.2.1) before the application sees it. It returns 0 or a
// status and what is wrong.
func (s *Server) checkRequest(r *http.Request) (status int, problem string) {
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return http.StatusBadRequest, "a WebSocket handshake needs HTTP/1.1"
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, "a WebSocket handshake is a GET request"
	case !slices.Contains(r.Header["Sec-Websocket-Version"], "13"):
		return http.StatusBadRequest, "Sec-WebSocket-Version must be 13"
	case !validKey(r.Header["Sec-Websocket-Key"]):
		return http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64"
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return http.StatusBadRequest, "a WebSocket handshake has no body"
	case !s.origins.allow(r):
		return http.StatusForbidden, "the page's origin is not allowed here"
	}
	return 0, ""
}

func validKey(values []string) bool {
	if len(values) != 1 {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(values[0])
	return err == nil && len(key) == 16
}

// reject answers a request that checkRequest refused.
func (s *Server) reject(w http.ResponseWriter, r *http.Request, status int, problem string) {
	fields := []zap.Field{zap.String("path", r.URL.Path), zap.String("client", r.RemoteAddr), zap.Int("status", status), zap.String("problem", problem)}
	switch status {
	case http.StatusForbidden:
		fields = append(fields, zap.Strings("origin", r.Header["Origin"]), zap.String("host", r.Host),
			zap.String("hint", "to let this page in, add its origin to server.Options.Origins"))
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodGet)
	}
	s.log.Warn("websocket: handshake refused", fields...)
	w.Header().Set("Sec-WebSocket-Version", "13")
	http.Error(w, problem, status)
}
