package asgi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// appClose is how long after the last part of a response the ctx of Serve ends.
const appClose = 10 * time.Second

// The phases of a response.
const (
	waiting  = iota // for HTTPResponseStart
	started         // the start is held until the first part of the body
	begun           // the client has the headers
	trailing        // the body is complete, trailers were announced
	complete
)

// An exchange is one request and its response.
type exchange struct {
	w        http.ResponseWriter
	rc       http.ResponseController
	major    int  // of the HTTP version
	hints    bool // whether 1xx responses may be sent
	head     bool // whether the method is HEAD
	te       bool // whether the client takes trailers
	request  context.Context
	ctx      context.Context
	cancel   context.CancelCauseFunc
	unwatch  func() bool    // ends the watch over request, unless that has ended
	watching sync.WaitGroup // for what the watch does then
	answered chan struct{}
	closed   sync.Once
	appClose *time.Timer

	// Whether a read or a write may be waiting for the client. Each is set before the look at the end of ctx, and the end
	// of ctx comes before the look at them, so one of the two sides sees the other.
	reading, writing atomic.Bool

	// The response, under the turn: a lock that obeys a ctx.
	turn      chan struct{}
	phase     int
	start     HTTPResponseStart
	remaining int64 // of Content-Length, or -1
	broken    bool  // a write failed or was cut short
	limit     writeLimit

	scope   *Scope
	onError func(*Scope, error) // Handler's; nil once heldBack has told

	body requestBody
}

func newExchange(w http.ResponseWriter, r *http.Request, writeTimeout time.Duration) *exchange {
	x := &exchange{
		w:        w,
		rc:       *http.NewResponseController(w),
		major:    r.ProtoMajor,
		hints:    r.ProtoAtLeast(1, 1),
		head:     r.Method == http.MethodHead,
		te:       acceptsTrailers(r.Header),
		answered: make(chan struct{}),
		turn:     make(chan struct{}, 1),
		limit:    writeLimit{each: writeTimeout},
	}
	x.body.init(r)
	return x
}

// fields are those of the request and what this side can do beyond the core specification.
func (x *exchange) fields(r *http.Request) Fields {
	f := FieldsOf(r)
	_, push := x.w.(http.Pusher)
	f.Extensions = extensions[abilities{x.hints, push}]
	return f
}

// extensions are what exchanges can do, by what their connections can; scopes share them.
var extensions = map[abilities]map[string]map[string]any{
	{false, false}: extensionsWith(),
	{true, false}:  extensionsWith("http.response.early_hint"),
	{false, true}:  extensionsWith("http.response.push"),
	{true, true}:   extensionsWith("http.response.early_hint", "http.response.push"),
}

type abilities struct{ hints, push bool }

func extensionsWith(more ...string) map[string]map[string]any {
	m := map[string]map[string]any{}
	for _, name := range append(more, "http.response.trailers", "http.response.zerocopysend", "http.response.pathsend") {
		m[name] = map[string]any{}
	}
	return m
}

// open begins to watch over the request. values are those of its context, without its end.
func (x *exchange) open(request, values context.Context) {
	x.unlimited() // of http.Server.WriteTimeout, which begins before there is anything to write
	x.request = request
	x.ctx, x.cancel = context.WithCancelCause(values)
	x.watching.Add(1)
	x.unwatch = context.AfterFunc(request, x.requestEnded)
}

// requestEnded runs when the request's own context has ended.
func (x *exchange) requestEnded() {
	defer x.watching.Done()
	x.end(x.requestCause())
}

// requestCause says why the request's context has ended. net/http cancels it without a cause when the client leaves.
func (x *exchange) requestCause() error {
	cause := context.Cause(x.request)
	var d DisconnectError
	switch {
	case x.overdue():
		return x.lateEnd()
	case cause == context.Canceled:
		return DisconnectError{By: ByClient}
	case errors.As(cause, &d):
		return d
	}
	return DisconnectError{By: ByServer, Reason: cause.Error()}
}

// end ends ctx and whatever waits for the client.
func (x *exchange) end(cause error) {
	x.cancel(cause)
	x.release()
	if x.writing.Load() {
		x.cutWrite()
	}
}

// over reports whether the request or the response has ended.
func (x *exchange) over() bool {
	select {
	case <-x.answered:
		return true
	default:
		return x.gone()
	}
}

// gone reports whether the request has ended. The request's own context may be a moment ahead of ctx.
func (x *exchange) gone() bool { return x.ctx.Err() != nil || x.request.Err() != nil }

// cause is why the request has ended, or nil.
func (x *exchange) cause() error {
	if x.ctx.Err() == nil && x.request.Err() != nil {
		return x.requestCause()
	}
	return context.Cause(x.ctx)
}

// past is a deadline that ends a read or a write which waits.
var past = time.Unix(1, 0)

// release ends a read that waits for the client.
func (x *exchange) release() {
	if x.reading.Load() && x.rc.SetReadDeadline(past) != nil {
		_ = x.body.from.Close() // not net/http's own body: closing is all that can be done
	}
}

// close ends everything that App may have left behind: Send and Receive return ErrClosed, and nothing of the exchange is
// at work any more.
func (x *exchange) close() {
	x.closed.Do(func() {
		if !x.unwatch() {
			x.watching.Wait()
		}
		x.cancel(DisconnectError{By: ByApp})
		select {
		case x.turn <- struct{}{}:
		default:
			x.cutWrite() // Serve has returned: a Send of another goroutine must not keep the connection
			x.turn <- struct{}{}
		}
		if x.appClose != nil {
			x.appClose.Stop()
		}
		x.body.close(x)
	})
}

// acceptsTrailers reports whether a request has "TE: trailers".
func acceptsTrailers(h http.Header) bool {
	for _, line := range h["Te"] {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), "trailers") {
				return true
			}
		}
	}
	return false
}
