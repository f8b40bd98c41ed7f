package server

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// A handshake is the time between a client's request and the application's answer (S1). The application runs on a
// goroutine of its own and sends its answers here; ServeHTTP carries them out, since only it may write the response, and
// returns. Afterwards nothing of the request is kept.
type handshake struct {
	offers chan offer
	over   chan struct{} // closed when the answer is complete
	late   <-chan time.Time
	done   bool            // accepted, or a refusal is being written
	result handshakeResult // failed, unless it is said otherwise
}

// offer is one event on its way to ServeHTTP, or what the application has returned, if that comes first.
type offer struct {
	event  asgi.Event
	err    chan error // for the event's sender; nil: the application has returned
	result error
}

func newHandshake() *handshake {
	return &handshake{offers: make(chan offer), over: make(chan struct{}), result: resultFailed}
}

// answer hands an event to ServeHTTP, and reports whether that took it: another event may have ended the handshake.
// It needs no ctx: ServeHTTP takes offers until the handshake is over, and what it does with one is bounded by WriteTimeout.
func (hs *handshake) answer(event asgi.Event) (taken bool, err error) {
	o := offer{event: event, err: make(chan error, 1)}
	select {
	case hs.offers <- o:
		return true, <-o.err
	case <-hs.over:
		return false, nil
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
		case hs.offers <- offer{result: err}:
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
	defer c.decided(hs)
	if limit := c.srv.opts.HandshakeTimeout; limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		hs.late = t.C
	}
	for !hs.done {
		o, err := c.nextOffer(r.Context(), hs)
		if err != nil {
			c.refuse(w, r, hs, err)
			return
		}
		c.decide(w, r, hs, o)
	}
}

// count counts how the handshake was answered.
func (hs *handshake) count(s *Server) { s.counts.handshakes[hs.result].Add(1) }

// nextOffer waits for the application's next event. An error is the end of the handshake.
func (c *conn) nextOffer(ctx context.Context, hs *handshake) (offer, error) {
	end := asgi.DisconnectError{Code: codeAbnormal}
	select {
	case o := <-hs.offers:
		if o.err == nil {
			return offer{}, cmp.Or(o.result, errReturnedEarly)
		}
		return o, nil
	case <-hs.late:
		hs.result = resultTimedOut
		end.Reason, end.By = "the application did not answer the handshake in time", asgi.ByServer
		c.srv.log.Warn("websocket: handshake failed", about(c.scope, zap.Int("status", unavailable.Status), zap.String("reason", end.Reason), zap.Duration("limit", c.srv.opts.HandshakeTimeout))...)
	case <-c.srv.closing:
		hs.result, end = resultDraining, c.srv.goodbye
	case <-ctx.Done():
		hs.result = resultAbandoned
		end.Reason, end.By = "the client gave up during the handshake", asgi.ByNetwork
	}
	c.finish(end)
	c.cancel(end)
	return offer{}, end
}

var errReturnedEarly = errors.New("it returned before the handshake was answered: send websocket.accept or websocket.close, or return asgi.Deny")

// decided ends the handshake, once. An application that did not accept has been refused.
func (c *conn) decided(hs *handshake) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hs == nil {
		return
	}
	c.hs = nil
	if !c.open {
		c.finishLocked(asgi.DisconnectError{Code: codeAbnormal, By: asgi.ByApp})
	}
	close(hs.over)
}

// decide carries out one event.
func (c *conn) decide(w http.ResponseWriter, r *http.Request, hs *handshake, o offer) {
	var err error
	switch e := o.event.(type) {
	case asgi.WebSocketAccept:
		hs.done, err = c.accept(w, r, hs, e)
		if hs.done {
			hs.count(c.srv)
			c.decided(hs) // before the application hears of it and sends more
		}
	case asgi.WebSocketClose:
		c.finish(asgi.DisconnectError{Code: codeAbnormal, Reason: e.Reason, By: asgi.ByApp})
		hs.done = true
		c.refuse(w, r, hs, asgi.Deny{})
	case asgi.WebSocketHTTPResponseStart:
		hs.done, hs.result = true, refusal(e.Status)
		hs.count(c.srv)
		c.relay(w, r, hs, o)
		return
	case asgi.WebSocketFlush:
		err = errNotAccepted(e)
	case asgi.WebSocketHTTPResponseBody:
		err = errors.New("asgi/server: send websocket.http.response.body: the refusal has no status yet: send websocket.http.response.start first")
	default:
		err = unexpected(o.event)
	}
	o.err <- err
}

// refuse answers with what err asks for: a Deny's response, 403 for a close before the accept, 503 for an end of our own,
// else 500 and a line.
func (c *conn) refuse(w http.ResponseWriter, r *http.Request, hs *handshake, err error) {
	var end asgi.DisconnectError
	var deny asgi.Deny
	if chosen, ok := chosenEnd(err); ok && !errors.As(err, &deny) {
		_, _, failure := result(err, false)
		c.logFailure(failure)
		err = failure
		if checkClose(cmp.Or(chosen.Code, codeNormal), chosen.Reason) == nil {
			err = asgi.Deny{}
		}
	}
	status, says := asgi.StatusOf(err)
	switch {
	case says:
		hs.result = refusal(status)
		c.srv.log.Warn("websocket: refused because of an error", about(c.scope, zap.Int("status", status), zap.Error(err))...)
		err = asgi.Deny{Status: status, Body: []byte(http.StatusText(status) + "\n")}
	case errors.As(err, &deny):
		hs.result = refusal(deny.StatusCode())
		c.logDenied(deny, err)
	case errors.As(err, &end) && hs.result == resultAbandoned:
		c.srv.log.Info("websocket: client left during the handshake", about(c.scope)...)
		err = unavailable
	case errors.As(err, &end):
		if hs.result != resultTimedOut { // that has its line
			c.srv.log.Info("websocket: handshake refused", about(c.scope, zap.Int("status", unavailable.Status), zap.String("problem", end.Reason))...)
		}
		err = unavailable
	}
	hs.count(c.srv)
	c.respond(w, r, func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return err })
}

// logDenied is the line about an application's refusal, if that has a story to tell: a bare Deny is an answer like others, and
// package accesslog has the line about it.
func (c *conn) logDenied(deny asgi.Deny, err error) {
	if _, bare := err.(asgi.Deny); bare {
		return
	}
	c.srv.log.Info("websocket: refused because of an error", about(c.scope, zap.Int("status", deny.StatusCode()), zap.Error(err))...)
}

// unavailable is the answer to a handshake that this server ends.
var unavailable = asgi.Deny{Status: http.StatusServiceUnavailable, Body: []byte("Service Unavailable\n")}

// refusal is what the application's answer counts as.
func refusal(status int) handshakeResult {
	if status >= 500 {
		return resultUnavailable
	}
	return resultDenied
}

// respond writes a refusal by the rules of any other HTTP response.
func (c *conn) respond(w http.ResponseWriter, r *http.Request, app asgi.AppFunc) {
	onError := func(scope *asgi.Scope, err error) {
		if _, late := err.(asgi.DisconnectError); late || errors.Is(err, asgi.ErrUnflushed) {
			c.srv.httpError(scope, err)
			return
		}
		c.logFailure(err)
	}
	asgi.Handler{App: app, OnError: onError, WriteTimeout: c.srv.opts.WriteTimeout}.ServeHTTP(w, r)
}

// relay writes the refusal that the application sends, beginning with o.
func (c *conn) relay(w http.ResponseWriter, r *http.Request, hs *handshake, o offer) {
	c.respond(w, r, func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		for {
			more, err := c.relayEvent(ctx, send, o.event)
			o.err <- err
			if !more {
				return err
			}
			if o, err = c.nextOffer(ctx, hs); err != nil {
				return err
			}
		}
	})
}

// relayEvent sends one event of a refusal as the HTTP event that it stands for, and reports whether more is to come.
func (c *conn) relayEvent(ctx context.Context, send asgi.Send, event asgi.Event) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.srv.opts.WriteTimeout)
	defer cancel()
	switch e := event.(type) {
	case asgi.WebSocketHTTPResponseStart:
		return true, send(ctx, asgi.HTTPResponseStart{Status: e.Status, Header: e.Header})
	case asgi.WebSocketHTTPResponseBody:
		err = send(ctx, asgi.HTTPResponseBody(e))
		return e.MoreBody && ctx.Err() == nil, err
	}
	return true, fmt.Errorf("asgi/server: send %s: a refusal has begun: send websocket.http.response.body", eventName(event))
}

func eventName(event asgi.Event) string {
	if event == nil {
		return "nil"
	}
	return event.EventType()
}

// checkRequest refuses a malformed handshake (RFC 6455 section 4.2.1) before the application sees it. It returns 0 or a
// status and what is wrong.
func (s *Server) checkRequest(r *http.Request) (status int, problem string) {
	if problem = requestProblem(r); problem != "" {
		return http.StatusBadRequest, problem
	}
	switch {
	case s.tooMany(r.Header):
		return http.StatusRequestHeaderFieldsTooLarge, errManyHeaders
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
	const size = 16
	var key [size + 2]byte // the decoder wants room for what the padding stands for
	if len(values) != 1 || len(values[0]) != base64.StdEncoding.EncodedLen(size) {
		return false
	}
	n, err := base64.StdEncoding.Decode(key[:], []byte(values[0]))
	return err == nil && n == size
}

// reject answers a request that checkRequest refused.
func (s *Server) reject(w http.ResponseWriter, r *http.Request, status int, problem string) {
	fields := []zap.Field{zap.String("path", r.URL.Path), zap.String("client", r.RemoteAddr), zap.Int("status", status), zap.String("problem", problem)}
	result := resultMalformed
	switch status {
	case http.StatusForbidden:
		result = resultOrigin
		fields = append(fields, zap.Strings("origin", r.Header["Origin"]), zap.String("host", r.Host),
			zap.String("hint", "to let this page in, add its origin to server.Options.Origins"))
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodGet)
	case http.StatusServiceUnavailable:
		result = resultLimited
		if problem == reasonShutdown {
			result = resultDraining
		}
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		problem = http.StatusText(status) // how much there is room for is nobody's business
	}
	s.counts.handshakes[result].Add(1)
	s.log.Warn("websocket: handshake refused", fields...)
	if result == resultMalformed {
		w.Header().Set("Sec-WebSocket-Version", "13")
	}
	http.Error(w, problem, status)
}
