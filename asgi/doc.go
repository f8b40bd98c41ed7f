// Package asgi is the contract between a protocol server and an application.
//
// An [App] is one function. The server calls it once per connection (an HTTP request, a WebSocket, the life
// of the process) with three things: a [Scope] that says what the connection is, a [Receive] that yields the
// connection's events, and a [Send] that takes the application's. Events are structs; their names are those of
// the ASGI specification (https://asgi.readthedocs.io/en/latest/specs/), which this package follows.
//
//	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
//		if scope.Type() != asgi.HTTP { // the life of the process, a WebSocket
//			return fmt.Errorf("hello: scope type %q: %w", scope.Type(), errors.ErrUnsupported)
//		}
//		if _, err := receive(ctx); err != nil { // the whole body of a small request
//			return err
//		}
//		if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
//			return err
//		}
//		return send(ctx, asgi.HTTPResponseBody{Body: []byte("hello\n")})
//	})
//
// The check of the type is needed, because a server first opens a scope for the life of the process ([Lifespan]), and takes
// what an App sends there for a failed start. Behind routing.Protocols an App sees only the type that it was named for.
//
// [Handler] serves any App for HTTP on net/http, and [FromHandler] makes an App of any [http.Handler].
//
// Routers, middleware and consumers are all Apps, so they nest in any order: [Wrap] puts [Middleware] around an
// App, and a middleware usually replaces one of the three arguments and hands on the others.
//
// # What a server promises to an application
//
//   - Serve runs on a goroutine of its own. When it returns, the connection is over.
//   - ctx ends, with a cause, when the connection can do no more work; before a WebSocket is accepted it also ends
//     with the request.
//   - Receive is called by one goroutine at a time, which need not be the same each time. A Receive whose
//     ctx ends returns the cause and harms nothing: the event comes with the next call.
//   - Send may be called by any number of goroutines, also while Receive waits. It never waits for the peer unless
//     the connection's bounded queue is full. It tries before it looks at ctx: with a ctx that has already ended it
//     takes a message, or a part of a response, at once or returns [ErrFull]. An answer to a WebSocket's handshake is
//     carried out before Send returns, whatever its ctx. After the end it returns [ErrClosed]; it never panics.
//   - An event that does not fit the state of the connection (a message before the accept, a second response) is an
//     error that says what to send instead; nothing reaches the peer.
//
// # What an application promises to a server
//
//   - It treats the bytes and headers it is given, and those it has sent, as read-only.
//   - It returns an error for a scope type that it does not serve, before its first Receive; [errors.ErrUnsupported] for
//     "lifespan" means that it has none.
//   - It ignores events that it does not know.
//
// The package imports only the standard library and logs nothing.
package asgi
