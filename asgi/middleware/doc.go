// Package middleware has the apps that stand around an app: each looks at a connection before the app does, and refuses it,
// changes its scope, or adds to its answer.
//
// Every middleware here is an [asgi.Middleware], or a function that makes one of its options, for requests and WebSockets
// alike. Scopes of other types, such as the lifespan, pass untouched. Middleware nests, and may stand around the whole
// application or around one route. What it finds out is in the scope, behind a function: [RequestIDOf], [CookieOf], [PeerOf].
//
// # Order
//
// [asgi.Wrap] takes them from the outside in. This order works for a whole site; leave out what is not needed:
//
//	app = asgi.Wrap(app,
//		tracing.Middleware,                 // package asgi/server/tracing: its span is around all of it
//		metrics.Middleware,                 // package asgi/server/metrics
//		middleware.RequestID(nil),          // everything further in can name the request
//		middleware.RealIP(nil),             // behind a proxy: everything further in sees the client; not with the server's ProxyHeaders
//		accesslog.New(nil),                 // sees every answer, with client and id
//		middleware.Recover(handle),         // its answers are logged
//		middleware.Host("example.org"),     // RealIP may have changed the host
//		limit.New(&limit.Options{...}),     // inside of RealIP, or all clients are the proxy; before anything that costs
//		middleware.Timeout(30*time.Second), // of requests; routes that stream stand outside
//		middleware.Cookies,                 // where cookies are set
//		sessions.New(manager),              // inside of limits, since it reads a store
//		users.Middleware,                   // package auth: needs the session, so inside of sessions.New
//		middleware.Origin("example.org"),   // around routes that fewer pages may use than Options.Origins lets in
//	)
//
// RealIP(nil) believes proxies on the loopback; others, and one on a Unix socket, are named in [RealIPOptions].
//
// What a middleware refuses, those outside of it see as the answer; those inside never run.
//
// # The server comes first
//
// Before any middleware, the server refuses what is malformed, checks origins (Options.Origins), and limits its WebSockets and
// requests in all; see its options. Options.ProxyHeaders there is [RealIP] around the whole application.
//
// # Middleware of net/http
//
// func(http.Handler) http.Handler works around a whole Server: in a mux, or as Options.Wrap where the server listens by itself.
// What it puts into the request's context is found by [asgi.Scope.Value], for as long as the WebSocket lasts, and headers that it
// sets on the ResponseWriter before the call are in the responses to requests and in refusals; a 101 has the app's only.
// Three shapes behave differently:
//
//   - A middleware that hands on its own ResponseWriter must let the server reach the one below: by a method
//     Unwrap() http.ResponseWriter, as most have today, or by Hijack. Otherwise no WebSocket can be accepted: Send of the
//     accept returns an error that says so, and the client gets 500. Requests work, but parts of a response are not flushed, so
//     streams arrive at their end. [net/http.TimeoutHandler] is such a one: use [Timeout].
//   - A middleware that works after the handler has returned, such as a log of durations, sees the return of a
//     WebSocket's handshake, not its end. What must last as long as the socket is a middleware of this package's kind.
//   - A middleware that cancels the request's context, or sets a deadline for it, does so for the handshake; the socket that
//     came of it goes on.
//
// Around pages inside an app, [asgi.FromHandler] takes any http.Handler with its middleware.
package middleware
