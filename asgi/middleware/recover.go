package middleware

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"sync/atomic"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
)

// Recover gives each failure of an app to handle: a panic as an [*asgi.PanicError], or the error that it returned. What handle
// returns takes the place of the failure.
//
// No app needs it to survive. Servers recover panics by themselves: the client gets 500 or a close with 1011, the log one line
// with the stack, and no other connection notices. Recover is for what a server does not know: a page of your own, or a
// report to whoever collects errors.
//
//	middleware.Recover(func(ctx context.Context, scope *asgi.Scope, err error) error {
//		report(err)
//		return err // as it was: the server's line in the log, 500 or 1011
//	})
//
// handle may return a [asgi.Deny] instead, with status, headers and page, or a [asgi.CloseError] for a WebSocket. Then the
// server logs nothing of err: handle has to. Where an answer has begun, a Deny comes too late, and the failure stays
// what it was, so the server cuts the connection or closes with 1011.
//
// A Deny, a CloseError (wrapped or not), [asgi.ErrClosed], [http.ErrAbortHandler] and the end of ctx are no failures, as
// for the server, and handle does not hear of them. ctx may have ended when it is called. handle must not be nil.
func Recover(handle func(ctx context.Context, scope *asgi.Scope, err error) error) asgi.Middleware {
	if handle == nil {
		panic("asgi/middleware: Recover: handle is nil: pass a function that returns the error it is given; without one the server recovers all the same")
	}
	return func(app asgi.App) asgi.App {
		wrap.NeedApp("asgi/middleware: Recover", app)
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if !wrap.Concerns(scope) {
				return app.Serve(ctx, scope, receive, send)
			}
			var begun atomic.Bool
			err := recovered(ctx, app, scope, receive, func(ctx context.Context, event asgi.Event) error {
				err := send(ctx, event)
				if err == nil && begins(event) {
					begun.Store(true)
				}
				return err
			})
			if !isFailure(ctx, err) {
				return err
			}
			instead := handle(ctx, scope, err)
			var deny asgi.Deny
			if begun.Load() && errors.As(instead, &deny) {
				return err
			}
			return instead
		})
	}
}

// recovered calls app and makes an error of a panic.
func recovered(ctx context.Context, app asgi.App, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &asgi.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return app.Serve(ctx, scope, receive, send)
}

// isFailure reports whether an app did not mean to end so.
func isFailure(ctx context.Context, err error) bool {
	var panicked *asgi.PanicError
	var deny asgi.Deny
	var closing asgi.CloseError
	switch {
	case err == nil, errors.Is(err, http.ErrAbortHandler):
		return false
	case errors.As(err, &panicked):
		return true
	case errors.As(err, &deny), errors.As(err, &closing), errors.Is(err, asgi.ErrClosed):
		return false
	}
	return ctx.Err() == nil || !errors.Is(err, context.Cause(ctx)) && !errors.Is(err, context.Canceled)
}
