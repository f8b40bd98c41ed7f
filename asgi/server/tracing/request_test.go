package tracing_test

import (
	"context"
	"testing"
	"testing/synctest"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/tideway-go/tideway/asgi/server/tracing"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// TestRequest: the handlers of a request are children of its span, and their sends go on in its trace.
func TestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := two(tracing.Options{}, sdktrace.AlwaysSample())
		bob := there.dial(t, chatApp())
		site := asgitest.New(t, here.Middleware(consumers.AsyncHTTPConsumer[chat]{
			Handle: func(_ *chat, ctx context.Context, c *consumers.Conn, _ []byte) error {
				if err := c.GroupSend(ctx, "room", noted.With(note{"by request"})); err != nil {
					return err
				}
				return c.Respond(ctx, 200, nil, nil)
			},
		}.App())).With(&asgitest.Options{Layer: here.layer})
		synctest.Wait()
		site.Request("GET", "/")
		bob.ExpectText("by request")
		bob.Disconnect()
		synctest.Wait()
		request, handler := here.named(t, "GET"), here.named(t, "tracing_test.chat http")
		inside(t, handler, request.SpanContext())
		if request.SpanKind() != trace.SpanKindServer || handler.SpanKind() != trace.SpanKindInternal {
			t.Errorf("the kinds are %v and %v", request.SpanKind(), handler.SpanKind())
		}
		inside(t, there.named(t, "tracing_test.chat message test.note"), handler.SpanContext())
	})
}
