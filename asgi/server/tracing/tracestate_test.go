package tracing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/tideway-go/tideway/asgi/server/tracing"
)

// TestTracestate: the tracestate of vendors travels with the trace, up to what a layer carries; the trace goes without one that is longer.
func TestTracestate(t *testing.T) {
	tr := tracing.New(nil)
	for _, tc := range []struct {
		members, size int
		carried       bool
	}{{0, 0, true}, {1, 3, true}, {3, 250, true}, {5, 250, false}} {
		var members []string
		for i := range tc.members {
			members = append(members, fmt.Sprintf("v%d=%s", i, strings.Repeat("x", tc.size)))
		}
		state, err := trace.ParseTraceState(strings.Join(members, ","))
		if err != nil {
			t.Fatal(err)
		}
		sent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state})
		text := tr.Inject(trace.ContextWithSpanContext(context.Background(), sent))
		if len(text) > 1024 {
			t.Errorf("%d members: %d bytes are carried", tc.members, len(text))
		}
		got := trace.SpanContextFromContext(tr.Extract(context.Background(), text))
		if got.TraceID() != sent.TraceID() || got.SpanID() != sent.SpanID() || !got.IsSampled() {
			t.Errorf("%d members: the trace became %v", tc.members, got)
		}
		if carried := got.TraceState().String() == state.String(); carried != tc.carried {
			t.Errorf("%d members: the tracestate is carried: %v, want %v", tc.members, carried, tc.carried)
		}
	}
}
