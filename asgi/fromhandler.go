package asgi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// FromHandler makes an App for scopes of type [HTTP] of any [http.Handler], so that it may stand behind routers and
// middleware of this module. For other types of scope the App returns an error that wraps [errors.ErrUnsupported].
//
//	app := routing.Protocols(map[string]asgi.App{
//		asgi.HTTP:      asgi.FromHandler(http.FileServerFS(files)),
//		asgi.WebSocket: chat,
//	})
//
// The request is made from the scope. URL.Path lies below the scope's root path, as behind [http.StripPrefix]; the body
// streams in; its Context is the ctx of Serve with the values of the scope's, and [ScopeOf] finds the scope in it. TLS is
// not nil for https, but says nothing about the connection.
//
// The ResponseWriter holds up to 4 KiB back, so that a short response has a Content-Length. Flush sends what is held;
// trailers and 103 responses go through where the server has these extensions; an [http.ResponseController] can flush and
// nothing else. A panic with [http.ErrAbortHandler] cuts the connection.
//
// FromHandler panics when h is nil.
func FromHandler(h http.Handler) App {
	if h == nil {
		panic("asgi: FromHandler: handler is nil: pass the http.Handler to serve")
	}
	return AppFunc(func(ctx context.Context, scope *Scope, receive Receive, send Send) error {
		if scope.Type() != HTTP {
			return fmt.Errorf("asgi: an http.Handler cannot serve a scope of type %q: %w", scope.Type(), errors.ErrUnsupported)
		}
		body := &eventBody{ctx: ctx, receive: receive}
		r, err := newRequest(ctx, scope, body)
		if err != nil {
			return err
		}
		w := newResponseWriter(ctx, scope, send, acceptsTrailers(r.Header))
		if err := run(h, w, r); err != nil {
			return err
		}
		err = w.finish()
		body.closed.Store(true) // a goroutine that the handler left behind reads no more
		return err
	})
}

// run calls h and makes an error of a panic that asks for a cut.
func run(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			err = fmt.Errorf("asgi: handler asked for a cut: %w", http.ErrAbortHandler)
		default:
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

// scopeContext is the context of a request made from a scope.
type scopeContext struct {
	context.Context
	scope *Scope
}

type scopeContextKey struct{}

// Value looks into the ctx of Serve first: it is the younger one.
func (c scopeContext) Value(key any) any {
	if key == (scopeContextKey{}) {
		return c.scope
	}
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.scope.Value(key)
}

// ScopeOf returns the scope behind the context of a request that [FromHandler] made, so that an http.Handler can read
// what our middleware left under a [Key].
func ScopeOf(ctx context.Context) (scope *Scope, ok bool) {
	scope, ok = ctx.Value(scopeContextKey{}).(*Scope)
	return scope, ok
}

// newRequest makes a request from a scope. Without a Content-Length it has to receive the first event to learn whether
// there is a body at all.
func newRequest(ctx context.Context, scope *Scope, body *eventBody) (*http.Request, error) {
	r := &http.Request{
		Method:     scope.Method(),
		URL:        requestURL(scope),
		Proto:      "HTTP/" + scope.HTTPVersion(),
		Header:     scope.Header(), // a map of its own
		Host:       scope.Host(),
		RemoteAddr: scope.Client(),
		RequestURI: (&url.URL{Path: scope.Path(), RawPath: scope.RawPath()}).EscapedPath(),
		Body:       body,
	}
	if q := scope.RawQuery(); q != "" {
		r.RequestURI += "?" + q
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if scope.HTTPVersion() == "2" {
		r.Proto = "HTTP/2.0"
	}
	var ok bool
	if r.ProtoMajor, r.ProtoMinor, ok = http.ParseHTTPVersion(r.Proto); !ok {
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	}
	if scope.Scheme() == "https" {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	switch length := r.Header.Get("Content-Length"); length {
	case "":
		if err := body.next(); err != nil && err != io.EOF {
			return nil, err
		}
		r.ContentLength = -1
		if body.last {
			r.ContentLength = int64(len(body.rest))
		}
	default:
		n, err := strconv.ParseUint(length, 10, 63)
		if err != nil {
			return nil, fmt.Errorf("asgi: request has Content-Length %q: %w", length, Deny{Status: http.StatusBadRequest})
		}
		r.ContentLength = int64(n)
	}
	if r.ContentLength == 0 {
		r.Body = http.NoBody
	}
	return r.WithContext(scopeContext{ctx, scope}), nil
}

// requestURL is what the request line says, below the root path.
func requestURL(scope *Scope) *url.URL {
	root := scope.RootPath()
	u := &url.URL{Path: scope.Path(), RawPath: scope.RawPath(), RawQuery: scope.RawQuery()}
	path, ok := strings.CutPrefix(u.Path, root)
	if !ok || root == "" || path != "" && path[0] != '/' {
		return u
	}
	u.Path = path
	for _, sent := range []string{root, (&url.URL{Path: root}).EscapedPath()} {
		if raw, ok := strings.CutPrefix(u.RawPath, sent); ok {
			u.RawPath = raw
			return u
		}
	}
	u.RawPath = ""
	return u
}

// eventBody is a request's body, received part by part.
type eventBody struct {
	ctx     context.Context
	receive Receive
	mu      sync.Mutex // held while reading
	rest    []byte
	last    bool        // rest is the end
	closed  atomic.Bool // without the lock: a read may be waiting for the client
}

// next receives a part. It returns io.EOF after the last one.
func (b *eventBody) next() error {
	if b.last {
		return io.EOF
	}
	event, err := b.receive(b.ctx)
	if err != nil {
		return err
	}
	switch e := event.(type) {
	case HTTPRequest:
		b.rest, b.last = e.Body, !e.MoreBody
	case HTTPDisconnect:
		return fmt.Errorf("asgi: request body: %w: %w", io.ErrUnexpectedEOF, ErrClosed)
	}
	return nil // an event of another kind is none of ours
}

// Read returns bytes of one part.
func (b *eventBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(p) == 0 {
		return 0, nil
	}
	for len(b.rest) == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; b.last && len(b.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Close ends reading.
func (b *eventBody) Close() error {
	b.closed.Store(true)
	return nil
}
