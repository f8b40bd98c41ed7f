package tracing_test

import (
	"context"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server/tracing"
	"github.com/tideway-go/tideway/consumers"
)

// BenchmarkHandler is what a span adds to a handler that does nothing: sampled, not sampled, and none.
func BenchmarkHandler(b *testing.B) {
	middleware := func(s sdktrace.Sampler) asgi.Middleware {
		return tracing.New(&tracing.Options{Provider: sdktrace.NewTracerProvider(sdktrace.WithSampler(s))}).Middleware
	}
	for _, c := range []struct {
		name string
		wrap asgi.Middleware
	}{
		{"Sampled", middleware(sdktrace.AlwaysSample())},
		{"NotSampled", middleware(sdktrace.NeverSample())},
		{"None", func(app asgi.App) asgi.App { return app }},
	} {
		b.Run(c.name, func(b *testing.B) {
			app := c.wrap(consumers.AsyncWebsocketConsumer[chat]{
				Text: func(*chat, context.Context, *consumers.Conn, string) error { return nil },
			}.App())
			left := b.N
			var said asgi.Event = asgi.WebSocketReceive{Frame: asgi.TextFrame("hello")}
			receive := func(context.Context) (asgi.Event, error) {
				if left--; left < 0 {
					return asgi.WebSocketDisconnect{Code: 1000}, nil
				}
				return said, nil
			}
			b.ReportAllocs()
			if err := app.Serve(b.Context(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), receive, nowhere); err != nil {
				b.Fatal(err)
			}
		})
	}
}
