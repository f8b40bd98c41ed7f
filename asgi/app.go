package asgi

import (
	"context"
	"fmt"
)

// An App serves one connection for as long as it lasts.
//
// Serve is called once per connection, concurrently for different connections. A nil error is a clean end. What a
// server does with an error depends on the protocol and on how far the connection has come; [Deny] and [CloseError]
// let the application choose, and [ErrClosed] (the peer was faster) is no error to anyone.
type App interface {
	Serve(ctx context.Context, scope *Scope, receive Receive, send Send) error
}

// Receive waits for the connection's next event. It returns the cause of ctx when that ends first, and [ErrClosed]
// once the connection's last event (a disconnect) has been received. No two calls may overlap.
type Receive func(ctx context.Context) (Event, error)

// Send hands one event to the server. See the package comment for what it promises.
type Send func(ctx context.Context, event Event) error

// An Event is one step of a protocol, in either direction. EventType is its name in the ASGI specification,
// such as "websocket.receive". Every event of this package is a struct and travels by value.
type Event interface {
	EventType() string
}

// AppFunc makes an [App] of a function.
type AppFunc func(ctx context.Context, scope *Scope, receive Receive, send Send) error

// Serve calls f.
func (f AppFunc) Serve(ctx context.Context, scope *Scope, receive Receive, send Send) error {
	return f(ctx, scope, receive, send)
}

// Middleware makes an App of an App. The outer one sees the connection first.
type Middleware func(App) App

// Wrap puts middleware around app; the first is the outermost. It panics when app or a middleware is nil, or a middleware
// returns nil, because a hole in the stack would otherwise show at the first connection.
func Wrap(app App, middleware ...Middleware) App {
	if app == nil {
		panic("asgi: Wrap: app is nil: pass the application as the first argument")
	}
	for i := len(middleware) - 1; i >= 0; i-- {
		if middleware[i] == nil {
			panic(fmt.Sprintf("asgi: Wrap: middleware %d of %d is nil: remove it from the list", i+1, len(middleware)))
		}
		if app = middleware[i](app); app == nil {
			panic(fmt.Sprintf("asgi: Wrap: middleware %d of %d returned nil: return the App that it was given, or one around it", i+1, len(middleware)))
		}
	}
	return app
}
