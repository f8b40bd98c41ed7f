// Package limit bounds what clients may take: how many connections, how often they connect, and how much they send.
//
//	app = limit.New(&limit.Options{
//		Connections:       10_000,
//		ConnectionsPerKey: 20,
//		ConnectsPerKey:    limit.Rate{PerSecond: 5, Burst: 20},
//		Connects:          limit.Rate{PerSecond: 500},
//		Messages:          limit.Rate{PerSecond: 10, Burst: 50},
//		Bytes:             limit.Rate{PerSecond: 64 << 10},
//	})(app)
//
// A connection here is a request or a WebSocket: what one Serve serves. All apps that one middleware is put around share
// its limits, and a connection that meets it twice counts once.
//
// The limits hold in one process. With n of them behind a balancer a client may have n times as much, and counting in the whole
// cluster would take a question to a broker for each handshake: what has to hold for all belongs into the balancer, or into the
// application (how many rooms a user may open). The server's own options bound it as a whole, before any app runs.
package limit

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
)

// New makes the middleware. It panics on options that are nonsense. It needs middleware.RealIP outside of it where there is a
// proxy in front: otherwise all clients have the proxy's address, and are limited as if they were one.
//
// A connection too many gets 503, a key that connects too often 429, and a connection beyond the rate of all 503, both with
// Retry-After: when there is room for one. Where the WebSocket was accepted before this middleware saw it, it is closed with
// 1013. In each case the app never starts. A place is given back when the app has ended, however it ended.
//
// In front of a client that sends too much, Receive slows down, so that TCP slows the client; with Options.Close the socket is
// closed with 1008. Closes, pings and pongs cost nothing.
func New(opts *Options) asgi.Middleware {
	o := opts.resolve()
	g := newGate(o)
	passed := asgi.NewKey[bool]("limit")
	return func(app asgi.App) asgi.App {
		wrap.NeedApp("asgi/middleware/limit: New", app)
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			_, nested := passed.Get(scope)
			if nested || !wrap.Concerns(scope) {
				return app.Serve(ctx, scope, receive, send)
			}
			key := o.Key(scope)
			if key == "" {
				g.unkeyed(scope)
			}
			if no := g.enter(key); no != nil {
				return no.err(scope)
			}
			defer g.leave(key) // also for a panic and for runtime.Goexit
			if scope.Type() == asgi.WebSocket && (o.Messages.limits() || o.Bytes.limits()) {
				t := newThrottle(&o, scope, receive, send)
				receive, send = t.receive, t.send
			}
			return app.Serve(ctx, passed.With(scope, true), receive, send)
		})
	}
}

// A Rate is how much may happen per second. The zero Rate is no limit.
type Rate struct {
	// PerSecond is the rate that holds in the long run; it may be a fraction.
	PerSecond float64
	// Burst is how much may come at once after a pause. Default: what PerSecond gives in one second, at least 1.
	Burst int
}

func (r Rate) limits() bool { return r.PerSecond > 0 }

// limiter is a full bucket.
func (r Rate) limiter() *rate.Limiter { return rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst) }

// until is how long a bucket takes to hold n.
func (r Rate) until(bucket *rate.Limiter, now time.Time, n int) time.Duration {
	missing := float64(n) - bucket.TokensAt(now)
	return time.Duration(missing / r.PerSecond * float64(time.Second))
}
