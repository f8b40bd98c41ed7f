package tracing

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
	"github.com/tideway-go/tideway/consumers"
)

// Options are the settings of a [Tracing]. Nil and the zero value are ready.
type Options struct {
	// Provider makes the spans; default the global one, [otel.GetTracerProvider].
	Provider trace.TracerProvider

	// TrustClients continues the trace that a client's traceparent header names. Only behind a proxy that sets or removes the
	// header; otherwise clients choose what is sampled. Default: the header is a link.
	TrustClients bool

	// LinkMessages has the handler of a layer message begin a trace that is linked to the sender's span, instead of being its
	// child.
	LinkMessages bool
}

// A Tracing makes spans, and is the Propagator of layers.Options. Its methods may be called from any goroutine. Make it
// with [New].
type Tracing struct {
	opts     Options
	tracer   trace.Tracer
	handlers descriptions
}

// New makes a Tracing. Nil options are the defaults.
func New(opts *Options) *Tracing {
	t := new(Tracing)
	if opts != nil {
		t.opts = *opts
	}
	if t.opts.Provider == nil {
		t.opts.Provider = otel.GetTracerProvider()
	}
	t.tracer = t.opts.Provider.Tracer("github.com/tideway-go/tideway/asgi/server/tracing")
	return t
}

// Middleware makes spans of what app serves: handshakes, requests, and the handlers of consumers. It is an
// [asgi.Middleware]; put it outside of others, which then run within the span. For a worker, put it around Worker.App.
func (t *Tracing) Middleware(app asgi.App) asgi.App {
	wrap.NeedApp("tracing: Middleware", app)
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		switch scope.Type() {
		case asgi.WebSocket:
			return t.serveWebSocket(ctx, app, scope, receive, send)
		case asgi.HTTP:
			return t.serveHTTP(ctx, app, scope, receive, send)
		case asgi.Channel:
			scope = consumers.WithObserver(scope, &observer{tracing: t})
		}
		return app.Serve(ctx, scope, receive, send)
	})
}

// wire writes and reads W3C Trace Context. It is not the global propagator, since what travels in a message is a format that
// processes agree on.
var wire propagation.TraceContext

// The headers of W3C Trace Context.
const (
	traceparent = "traceparent"
	tracestate  = "tracestate"
)

// maxTrace is what a layer carries.
const maxTrace = 1024

// Inject is for layers: it returns the span of ctx as text if it is sampled.
func (t *Tracing) Inject(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	wire.Inject(ctx, carrier)
	text := carrier[traceparent]
	if state := carrier[tracestate]; state != "" && len(text)+1+len(state) <= maxTrace {
		text += " " + state
	}
	return text
}

// Extract is for layers: it returns a ctx with the remote span that a message carries.
func (t *Tracing) Extract(ctx context.Context, text string) context.Context {
	parent, state, _ := strings.Cut(text, " ")
	return wire.Extract(ctx, propagation.MapCarrier{traceparent: parent, tracestate: state})
}
