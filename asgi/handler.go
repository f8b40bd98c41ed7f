package asgi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// A Handler is an [App] as an [http.Handler]: it opens a scope of type [HTTP] for each request.
//
//	http.Handle("/", asgi.Handler{App: app})
//
// The ctx of Serve ends with a [DisconnectError] when the client leaves or the request's own context ends, and 10 s
// after the response is complete. Receive yields the body in parts of at most 64 KiB, then [HTTPDisconnect] when the
// client leaves or the response is complete.
//
// A response that has begun either completes or the connection is cut. An App that fails or returns before its
// response has reached the client is answered for. [Deny] has the response it asks for. An error with a method
// StatusCode() int says a status of 400 to 599, as that of a broker which is away may say 503, and is a failure all the same.
// Anything else is 500. Later failures cut the connection, so that a client cannot take a part for the whole. The end of a
// response of unknown length (one in several parts without Content-Length, or one with trailers), and over HTTP/2 of every
// response, is sent by net/http when Serve returns.
//
// net/http adds a Date header; Content-Length is added to a response in one part. No type of content is guessed.
// Extensions: http.response.trailers, early_hint, zerocopysend, pathsend, and push where the connection can. Trailers reach
// only a client that has sent "TE: trailers".
//
// A Send that has to wait for the client, and whose ctx ends meanwhile, cuts the connection: part of the event may
// have been written.
type Handler struct {
	// App serves each request. It must not be nil.
	App App
	// Describe, if set, changes what the scope is made of. The Header is the request's own: to change it, replace it.
	Describe func(*Fields)
	// Derive, if set, changes the scope before App sees it, such as by a [Key]. It must not return nil.
	Derive func(*Scope) *Scope
	// OnError, if set, hears of each failure of App once: the error that Serve returned, a [*PanicError], or that it
	// returned without a whole response. A Deny, [ErrClosed], the end of ctx and [http.ErrAbortHandler] are no failures.
	// It also hears, as a [DisconnectError] that says By whom, of a client whose body nobody can read (malformed chunks: the
	// response is 400) and of one that reads too slowly (WriteTimeout). And it hears of [ErrUnflushed], while App runs, from the
	// goroutine that sends.
	OnError func(*Scope, error)
	// WriteTimeout is how long the client may take to accept one piece of a response, of at most 64 KiB. After it the
	// connection is cut, ctx ends, and OnError hears a [DisconnectError]. Default 0: no limit, and a client that reads
	// nothing keeps a Send waiting until its ctx ends. It takes the place of http.Server.WriteTimeout, which counts the time
	// in which App thinks; that one, if it is set, still bounds what net/http writes after Serve, such as the end of a
	// response in chunks. A ResponseWriter without SetWriteDeadline has no limit.
	WriteTimeout time.Duration
}

// ServeHTTP serves one request. It panics with [http.ErrAbortHandler], as net/http asks, to cut the connection.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.App == nil {
		panic("asgi: Handler has no App: write asgi.Handler{App: app}")
	}
	x := newExchange(w, r, h.WriteTimeout)
	scope := h.scope(x, r)
	defer x.close() // also for runtime.Goexit
	err := serve(x.ctx, h.App, scope, x.receive, x.send)
	ended := x.cause()
	x.close()
	h.conclude(scope, x, err, ended)
}

// scope begins the exchange and says what it is. A function of its own, because what waits for a client should wait on a small
// stack.
//
//go:noinline
func (h Handler) scope(x *exchange, r *http.Request) *Scope {
	fields := x.fields(r)
	values := fields.Context
	if h.Describe != nil {
		h.Describe(&fields)
	}
	scope := NewScope(fields)
	if h.Derive != nil {
		if scope = h.Derive(scope); scope == nil {
			panic("asgi: Handler.Derive returned nil: return the scope it was given, or one derived from it")
		}
	}
	x.scope, x.onError = scope, h.OnError
	x.open(r.Context(), values)
	return scope
}

// serve calls app and makes an error of a panic.
func serve(ctx context.Context, app App, scope *Scope, receive Receive, send Send) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return app.Serve(ctx, scope, receive, send)
}

// conclude answers for an App that did not, or cuts the connection. ended is the cause with which ctx had ended when
// Serve returned, or nil.
func (h Handler) conclude(scope *Scope, x *exchange, err, ended error) {
	if err == nil && ended == nil && x.phase == complete && !x.limit.late {
		return // nearly always; what follows looks into errors
	}
	if errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	var deny Deny
	var panicked *PanicError // whatever its value: a panic is no way to refuse
	denied := x.phase == waiting && errors.As(err, &deny) && !errors.As(err, &panicked)
	failure := Deny{Status: http.StatusInternalServerError, Body: []byte("Internal Server Error\n")}
	if status, ok := StatusOf(err); ok {
		failure = Deny{Status: status, Body: []byte(http.StatusText(status) + "\n")}
	}
	switch {
	case x.spoiled(err, ended):
		failure = x.body.bad.deny
		err = DisconnectError{By: ByClient, Reason: x.body.bad.Error()}
	case denied && ended != nil:
		err = nil // refused a client that has gone
	case denied:
		if err = deny.check(); err == nil {
			h.answer(scope, x, deny)
			return
		}
	case x.limit.late && !failed(err, ended):
		err = x.lateEnd()
	case failed(err, ended):
	case x.phase == complete || ended != nil:
		err = nil
	case x.phase == waiting || x.phase == started:
		err = errors.New("asgi: app returned without a response")
	default:
		err = errors.New("asgi: app returned before its response was complete")
	}
	if err != nil && h.OnError != nil {
		h.OnError(scope, err)
	}
	switch {
	case x.phase == complete:
	case (ended == nil || x.body.bad != nil && x.body.bad.given) && !x.broken && (x.phase == waiting || x.phase == started):
		h.answer(scope, x, failure)
	default:
		panic(http.ErrAbortHandler)
	}
}

// answer writes a whole response for an App that has begun none.
func (h Handler) answer(scope *Scope, x *exchange, deny Deny) {
	deny.write(x)
	if !x.limit.late {
		x.unlimited()
		return
	}
	if h.OnError != nil {
		h.OnError(scope, x.lateEnd())
	}
	panic(http.ErrAbortHandler)
}

// failed reports whether err is a failure: not one of the ways in which an App says that the connection is over.
func failed(err, ended error) bool {
	var panicked *PanicError
	switch {
	case err == nil:
		return false
	case errors.As(err, &panicked):
		return true
	case errors.Is(err, ErrClosed):
		return false
	}
	return ended == nil || !errors.Is(err, ended) && !errors.Is(err, context.Canceled)
}

// check says what is wrong with a Deny as a response.
func (d Deny) check() error {
	if code := d.StatusCode(); code < 200 || code > 999 {
		return fmt.Errorf("asgi: denied with status %d: it must be 200 to 999", code)
	}
	if err := checkHeader(d.Header); err != nil {
		return fmt.Errorf("asgi: denied: %w", err)
	}
	return nil
}

// write is the whole response.
func (d Deny) write(x *exchange) {
	header := x.w.Header()
	copyHeader(header, d.Header)
	delete(header, "Content-Length")
	if bodyAllowed(d.StatusCode()) && (!x.head || len(d.Body) > 0) {
		header["Content-Length"] = []string{strconv.Itoa(len(d.Body))}
	}
	if _, ok := header["Content-Type"]; !ok && len(d.Body) > 0 {
		header["Content-Type"] = []string{"text/plain; charset=utf-8"}
		header["X-Content-Type-Options"] = []string{"nosniff"}
	}
	if x.limit.each > 0 && x.body.unread() {
		_ = x.rc.EnableFullDuplex() // as in writeStart
	}
	x.w.WriteHeader(d.StatusCode())
	if bodyAllowed(d.StatusCode()) {
		_, _ = x.out().Write(d.Body) // to a client that has gone; net/http closes the connection
	}
	if x.limit.each > 0 {
		_ = x.within(x.rc.Flush) // within the time for it; net/http does it later
	}
}

// bodyAllowed reports whether a response with this status may have a body (RFC 9110 section 6.4.1).
func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
