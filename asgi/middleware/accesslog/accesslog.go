// Package accesslog writes who asked for what, and how it ended: one line for a request, two for a WebSocket.
//
//	app = asgi.Wrap(app,
//		middleware.RequestID(nil),
//		middleware.RealIP(nil),
//		accesslog.New(&accesslog.Options{Logger: logger}),
//	)
//
// The messages are "http: request", "websocket: open", "websocket: close", and "websocket: refused" for a handshake without a
// socket. Each line has
//
//	path, query, host, client   of the scope; see Options.Query for what is shown of the query
//	method, version             of a request
//	request_id                  where middleware.RequestID stands outside
//	duration                    of the request, of the handshake (open, refused), or of the socket (close)
//
// and at the end of something
//
//	status                      of the response, also of one that the server makes of what the app returned; 0 if the client left before
//	code, reason                of the close of a WebSocket, as in asgi.WebSocketDisconnect
//	by                          who ended it: client, app, server or network
//	cut                         true for a response that has not become complete
//	bytes_in, bytes_out         of bodies and messages, without headers and before compression
//	messages_in, messages_out   of a WebSocket
//
// What servers refuse before any middleware (a malformed request, another origin, a full server) is in the server's own log,
// and so is what went wrong in an app: a line here has no error.
package accesslog

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
	"github.com/tideway-go/tideway/asgi/middleware"
)

// Options say what is written, and where. Nil and the zero value are ready.
type Options struct {
	// Logger gets the lines, at level Info. Default: the connection's own ([asgi.LoggerKey]), which is the server's; that of a
	// server without a Logger shows warnings only, so there nothing is seen.
	Logger *zap.Logger
	// Query are the names of query parameters whose values are shown; "*" shows all. Browsers cannot put a token into the header
	// of a WebSocket's handshake, so it often stands in the query, and logs travel further than anybody thinks. Default: none;
	// of "?room=1&token=x" the line has "room=-&token=-".
	Query []string
	// Header are the names of request headers that are shown, each in a field of its name in lower case. Default: none.
	Header []string
	// Every writes one connection in so many, and those that failed: a status of 500 and above, a response that was cut though the
	// client was there, a close with 1011. Default 1: each of them.
	Every int
	// Skip leaves a connection out, such as the probe of a balancer. Default: none is.
	Skip func(*asgi.Scope) bool
}

// New makes the middleware. It stands outside of whatever answers, and inside of what changes client and id: see package
// middleware for the order. It also adds the request id to the connection's logger, so that the lines of consumers have it.
// What passes through is not changed, and a message costs no allocation.
func New(opts *Options) asgi.Middleware {
	o := opts.resolve()
	var count atomic.Uint64
	return func(app asgi.App) asgi.App {
		wrap.NeedApp("asgi/middleware/accesslog: New", app)
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if !wrap.Concerns(scope) {
				return app.Serve(ctx, scope, receive, send)
			}
			scope = withID(scope)
			logger := o.logger(scope)
			if logger == nil || o.Skip != nil && o.Skip(scope) {
				return app.Serve(ctx, scope, receive, send)
			}
			r := &record{
				logger: logger, ctx: ctx, scope: scope, o: &o, begin: time.Now(), receive: receive, send: send,
				chosen: (count.Add(1)-1)%uint64(o.Every) == 0,
			}
			err, ended := errUnwound, false
			defer func() { // also for a panic and for runtime.Goexit
				if !ended {
					r.end(err)
				}
			}()
			err = app.Serve(ctx, scope, r.incoming, r.outgoing)
			ended = true
			r.end(err)
			return err
		})
	}
}

// resolve fills in the defaults.
func (o *Options) resolve() Options {
	var r Options
	if o != nil {
		r = *o
	}
	if r.Every < 0 {
		panic("asgi/middleware/accesslog: New: Options.Every is negative: leave it out for every connection, or write 100 for one in a hundred")
	}
	for i, name := range r.Header {
		wrap.NeedHeader(fmt.Sprintf("asgi/middleware/accesslog: New: Options.Header[%d]", i), name, "User-Agent")
	}
	r.Every = max(r.Every, 1)
	return r
}

// withID adds the request id to the connection's logger.
func withID(scope *asgi.Scope) *asgi.Scope {
	if id := middleware.RequestIDOf(scope); id != "" {
		if logger := scopeLogger(scope); logger != nil {
			return asgi.LoggerKey.With(scope, logger.WithLazy(zap.String("request_id", id)))
		}
	}
	return scope
}

func scopeLogger(scope *asgi.Scope) *zap.Logger {
	v, _ := asgi.LoggerKey.Get(scope)
	logger, _ := v.(*zap.Logger)
	return logger
}

// logger is where the lines of a connection go, with its request id; nil if nothing would be seen.
func (o *Options) logger(scope *asgi.Scope) *zap.Logger {
	logger := o.Logger
	if logger == nil {
		logger = scopeLogger(scope) // it has the id
	} else if id := middleware.RequestIDOf(scope); id != "" {
		logger = logger.WithLazy(zap.String("request_id", id))
	}
	if logger == nil || !logger.Core().Enabled(zap.InfoLevel) {
		return nil
	}
	return logger
}
