// Package tracing makes OpenTelemetry spans of handshakes, requests and handlers, and carries traces over channel layers from
// one process to the other.
//
//	t := tracing.New(nil) // of the global TracerProvider
//	layer := memlayer.New(&layers.Options{Propagator: t})
//	srv := server.New(asgi.Wrap(app, t.Middleware), nil)
//
// The ctx of a handler holds its span, so that instrumented clients (HTTP, SQL) and spans of the application's own nest below
// it. An exporter, sampling and the resource are the provider's business.
//
// # Spans
//
//   - "websocket handshake" lasts until the application has answered. It is ended by the accept or the refusal: no span
//     lasts as long as a socket. It has the status of the answer.
//   - "GET", and other methods, is an HTTP request until the application is done with it; an event stream until it begins.
//   - "main.chat connect" is a consumer's handler, named by the type of its state and by what it was called for. The handlers
//     of connect and of a request are children of the handshake or the request while that lasts. Those of the client's
//     messages ("main.chat text", "main.chat binary"), and a later disconnect, begin traces of their own, linked to the
//     handshake: otherwise a socket's trace would grow for days, and one sampling decision would hold for all of it.
//   - "main.chat message chat.message" is the handler of a layer message whose sender was traced, see below. A message that
//     is forwarded without a handler makes no span for its members.
//
// A handler's span lasts as long as the handler: one that streams by a loop has a long one, and an AsyncSSEConsumer has none of
// that kind. Work of Conn.Go is in no span, and may begin its own.
//
// A handler that fails has the error as an event and the status Error; a close or a refusal on purpose is none. Names of spans
// are few; the path is an attribute, the query is not, since it may hold secrets.
//
// # Traces over layers
//
// With Options.Propagator of the layer, a message that is sent within a sampled span carries it, as W3C Trace Context, under
// the reserved key "__trace__", and its handler's span is a child of the sender's: a trace shows a group send and what each
// member, in each process, does about it. Who sends without a trace, or in one that is not sampled, adds nothing, and
// handlers of such messages have no span: the sender decides for all. Jobs of workers are messages like others.
//
// Options.LinkMessages begins a trace for each handler instead, with a link to the sender's span. Choose it where groups are
// large (a span for each member is in one trace otherwise), or where a consumer sends to itself again and again: that
// would be one trace without an end. The provider samples such traces anew, each by itself.
//
// Consumers of Django Channels see one more key in their event. They may continue the trace, and may set the key in theirs: a
// traceparent, and if there is a tracestate, a space and that. So whoever may write to the broker may choose what is sampled.
//
// # What clients send
//
// A client's traceparent header is a link, and the handshake or request begins a trace of its own: anybody could have each
// request of his sampled otherwise, and choose its trace. Options.TrustClients takes it for the parent: for servers behind a
// proxy that sets or removes the header. A span of net/http middleware around the server is the parent in any case.
//
// # Cost
//
// Without the middleware, nothing. With it, an open socket takes up to 5 KiB more: a goroutine's stack grows with the first
// span, the rest is less than 1 KiB. Each handler takes two or three microseconds more, half of that where the sampler says no
// (BenchmarkHandler). A layer with a Propagator asks the ctx of each send for a span.
package tracing
