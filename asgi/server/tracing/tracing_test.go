package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server/tracing"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

type note struct {
	Text string `json:"text"`
}

const (
	noted  layers.Type[note] = "test.note"
	ticked layers.Type[note] = "test.tick"
)

// A process is one of several that share a layer, with the spans that it has made.
type process struct {
	*tracing.Tracing
	spans *tracetest.SpanRecorder
	layer *layers.Layer
}

// newProcess makes one whose layer is made by open.
func newProcess(opts tracing.Options, sampler sdktrace.Sampler, open func(*layers.Options) *layers.Layer) *process {
	p := &process{spans: tracetest.NewSpanRecorder()}
	opts.Provider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p.spans), sdktrace.WithSampler(sampler))
	p.Tracing = tracing.New(&opts)
	p.layer = open(&layers.Options{Propagator: p.Tracing, Durables: []layers.Durable{{Queues: "jobs"}}})
	return p
}

// alone is a process that shares its layer with nobody.
func alone(opts tracing.Options) *process {
	return newProcess(opts, sdktrace.AlwaysSample(), memlayer.New)
}

// two are two processes on one layer.
func two(opts tracing.Options, sampler sdktrace.Sampler) (here, there *process) {
	var bus *memlayer.Bus
	open := func(o *layers.Options) *layers.Layer {
		if bus == nil {
			bus = memlayer.NewBus(o)
		}
		return bus.Layer()
	}
	return newProcess(opts, sampler, open), newProcess(opts, sampler, open)
}

// named returns the one span of a name that has ended.
func (p *process) named(t testing.TB, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	var found []sdktrace.ReadOnlySpan
	for _, s := range p.spans.Ended() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans have ended that are named %q, want 1; there are %q", len(found), name, p.names())
	}
	return found[0]
}

func (p *process) names() (names []string) {
	for _, s := range p.spans.Ended() {
		names = append(names, s.Name())
	}
	slices.Sort(names)
	return names
}

// attr is an attribute of a span, empty if it has none of that name.
func attr(s sdktrace.ReadOnlySpan, key string) attribute.Value {
	for _, kv := range s.Attributes() {
		if string(kv.Key) == key {
			return kv.Value
		}
	}
	return attribute.StringValue("")
}

// linked reports whether a span has a link to another.
func linked(s sdktrace.ReadOnlySpan, to trace.SpanContext) bool {
	return slices.ContainsFunc(s.Links(), func(l sdktrace.Link) bool { return l.SpanContext.SpanID() == to.SpanID() })
}

// inside checks that s is a child of parent.
func inside(t testing.TB, s sdktrace.ReadOnlySpan, parent trace.SpanContext) {
	t.Helper()
	if s.Parent().SpanID() != parent.SpanID() || s.SpanContext().TraceID() != parent.TraceID() {
		t.Errorf("%q is not a child of the span that it belongs to", s.Name())
	}
}

// chat is the state of the consumer that most tests here use. current checks the ctx of its handlers.
type chat struct{}

var (
	seenMu sync.Mutex
	seen   = map[trace.SpanID]string{} // the spans that handlers had in their ctx
)

func remember(ctx context.Context, kind string) {
	seenMu.Lock()
	defer seenMu.Unlock()
	seen[trace.SpanContextFromContext(ctx).SpanID()] = kind
}

func had(s sdktrace.ReadOnlySpan) string {
	seenMu.Lock()
	defer seenMu.Unlock()
	return seen[s.SpanContext().SpanID()]
}

func (s *chat) connect(ctx context.Context, c *consumers.Conn) error {
	remember(ctx, "connect")
	return c.GroupAdd(ctx, "room")
}

func (s *chat) text(ctx context.Context, c *consumers.Conn, text string) error {
	remember(ctx, "text")
	switch text {
	case "error":
		return errors.New("no database")
	case "panic":
		panic("no database")
	case "forward":
		return c.GroupSend(ctx, "room", ticked.With(note{text}))
	}
	return c.GroupSend(ctx, "room", noted.With(note{text}))
}

func (s *chat) note(ctx context.Context, c *consumers.Conn, v note) error {
	remember(ctx, "note")
	return c.SendText(ctx, v.Text)
}

func (s *chat) disconnect(ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
	remember(ctx, "disconnect")
	return nil
}

func chatApp() asgi.App {
	return consumers.AsyncWebsocketConsumer[chat]{
		Connect:    (*chat).connect,
		Text:       (*chat).text,
		Disconnect: (*chat).disconnect,
		Messages:   []consumers.Handler[chat]{consumers.On(noted, (*chat).note)},
		Forward:    consumers.Types(ticked),
		Logger:     zap.NewNop(),
	}.App()
}

// dial connects a client to a process.
func (p *process) dial(t testing.TB, app asgi.App) *asgitest.WebSocket {
	return asgitest.New(t, p.Middleware(app)).With(&asgitest.Options{Layer: p.layer}).Dial("/ws/?token=secret")
}

// TestTrace: a trace goes from a handler through a group to the handlers in two processes.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := two(tracing.Options{}, sdktrace.AlwaysSample())
		ann, bob := here.dial(t, chatApp()), there.dial(t, chatApp())
		synctest.Wait()
		for _, p := range []*process{here, there} { // the sockets are open
			handshake, connect := p.named(t, "websocket handshake"), p.named(t, "tracing_test.chat connect")
			inside(t, connect, handshake.SpanContext())
			if s := attr(handshake, "http.response.status_code").AsInt64(); s != 101 || handshake.SpanKind() != trace.SpanKindServer {
				t.Errorf("the handshake is of kind %v and has the status %v", handshake.SpanKind(), s)
			}
			if path := attr(handshake, "url.path").AsString(); path != "/ws/" {
				t.Errorf("the path is %q", path)
			}
			if n, m := len(p.spans.Started()), len(p.spans.Ended()); n != 2 || m != 2 {
				t.Errorf("%d spans have started and %d ended while the socket is idle, want 2", n, m)
			}
		}

		ann.SendText("hello")
		ann.ExpectText("hello")
		bob.ExpectText("hello")
		synctest.Wait()
		text := here.named(t, "tracing_test.chat text")
		handshake := here.named(t, "websocket handshake").SpanContext()
		if text.Parent().IsValid() || text.SpanContext().TraceID() == handshake.TraceID() || !linked(text, handshake) {
			t.Errorf("the span of a text has the parent %v, want none, and a link to the handshake", text.Parent())
		}
		for _, p := range []*process{here, there} {
			message := p.named(t, "tracing_test.chat message test.note")
			inside(t, message, text.SpanContext())
			if !linked(message, p.named(t, "websocket handshake").SpanContext()) || message.SpanKind() != trace.SpanKindConsumer {
				t.Errorf("the span of a message is of kind %v and has the links %v", message.SpanKind(), message.Links())
			}
			if typ := attr(message, "tideway.type").AsString(); typ != "test.note" {
				t.Errorf("the type is %q", typ)
			}
		}

		ann.Disconnect()
		bob.Disconnect()
		synctest.Wait()
		for _, p := range []*process{here, there} {
			for _, s := range p.spans.Ended() {
				if kind := attr(s, "tideway.kind").AsString(); kind != "" && !strings.HasPrefix(strings.Replace(kind, "message", "note", 1), had(s)) {
					t.Errorf("the handler of %q had another span in its ctx", s.Name())
				}
				if s.Status().Code == codes.Error {
					t.Errorf("%q has failed: %v", s.Name(), s.Status())
				}
				for _, kv := range s.Attributes() {
					if strings.Contains(kv.Value.String(), "secret") {
						t.Errorf("%q tells the query: %v", s.Name(), kv)
					}
				}
			}
			if n, m := len(p.spans.Started()), len(p.spans.Ended()); n != m {
				t.Errorf("%d of %d spans have not ended", n-m, n)
			}
		}
	})
}

// TestLinkMessages: handlers begin traces of their own where that was asked for.
func TestLinkMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := alone(tracing.Options{LinkMessages: true})
		ws := p.dial(t, chatApp())
		ws.SendText("hello")
		ws.ExpectText("hello")
		ws.Disconnect()
		synctest.Wait()
		text, message := p.named(t, "tracing_test.chat text"), p.named(t, "tracing_test.chat message test.note")
		if message.Parent().IsValid() || message.SpanContext().TraceID() == text.SpanContext().TraceID() {
			t.Errorf("the message has the parent %v, want none", message.Parent())
		}
		if !linked(message, text.SpanContext()) || !linked(message, p.named(t, "websocket handshake").SpanContext()) {
			t.Errorf("the message has the links %v, want the sender and the handshake", message.Links())
		}
	})
}

// TestNoSpans: forwarded messages make none, nor do messages without a trace, nor what is not sampled.
func TestNoSpans(t *testing.T) {
	for name, tc := range map[string]struct {
		sampler sdktrace.Sampler
		send    func(ws *asgitest.WebSocket, p *process) error
		hears   string
		want    []string
	}{
		"forwarded": {sdktrace.AlwaysSample(), func(ws *asgitest.WebSocket, p *process) error {
			ws.SendText("forward")
			return nil
		}, `{"text":"forward"}`, []string{"tracing_test.chat connect", "tracing_test.chat disconnect", "tracing_test.chat text", "websocket handshake"}},
		"from outside": {sdktrace.AlwaysSample(), func(ws *asgitest.WebSocket, p *process) error {
			return p.layer.GroupSend(context.Background(), "room", noted.With(note{"news"}))
		}, "news", []string{"tracing_test.chat connect", "tracing_test.chat disconnect", "websocket handshake"}},
		"not sampled": {sdktrace.NeverSample(), func(ws *asgitest.WebSocket, p *process) error {
			ws.SendText("hello")
			return nil
		}, "hello", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProcess(tracing.Options{}, tc.sampler, memlayer.New)
				ws := p.dial(t, chatApp())
				if err := tc.send(ws, p); err != nil {
					t.Fatal(err)
				}
				ws.ExpectText(tc.hears)
				ws.Disconnect()
				synctest.Wait()
				if got := p.names(); !slices.Equal(got, tc.want) {
					t.Errorf("the spans are %q, want %q", got, tc.want)
				}
			})
		})
	}
}

// TestFailures: what a handler fails with is in its span.
func TestFailures(t *testing.T) {
	for _, text := range []string{"error", "panic"} {
		p := alone(tracing.Options{})
		events := []asgi.Event{asgi.WebSocketConnect{}, asgi.WebSocketReceive{Frame: asgi.TextFrame(text)}, asgi.WebSocketDisconnect{Code: 1000}}
		scope := consumers.LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), p.layer)
		err := p.Middleware(chatApp()).Serve(t.Context(), scope, list(events), nowhere)
		if err == nil {
			t.Fatal("the application did not fail")
		}
		s := p.named(t, "tracing_test.chat text")
		if s.Status().Code != codes.Error || !strings.Contains(s.Status().Description, "no database") || len(s.Events()) != 1 {
			t.Fatalf("%s: the status is %+v, the events are %v", text, s.Status(), s.Events())
		}
		if outcome := attr(s, "tideway.outcome").AsString(); outcome != text {
			t.Errorf("%s: the outcome is %q", text, outcome)
		}
		stack := slices.ContainsFunc(s.Events()[0].Attributes, func(kv attribute.KeyValue) bool {
			return kv.Key == "exception.stacktrace" && strings.Contains(kv.Value.AsString(), "tracing_test.(*chat).text")
		})
		if stack != (text == "panic") {
			t.Errorf("%s: there is a stack: %v", text, stack)
		}
	}
}

// TestOwnTraces: a text begins a trace of its own, also where another middleware has put a span into the ctx for good.
func TestOwnTraces(t *testing.T) {
	p := alone(tracing.Options{})
	ctx, span := sdktrace.NewTracerProvider().Tracer("inner").Start(t.Context(), "inner")
	app := chatApp()
	inner := asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return app.Serve(ctx, scope, receive, send)
	})
	events := []asgi.Event{asgi.WebSocketConnect{}, asgi.WebSocketReceive{Frame: asgi.TextFrame("hello")}, asgi.WebSocketDisconnect{Code: 1000}}
	scope := consumers.LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), p.layer)
	if err := p.Middleware(inner).Serve(t.Context(), scope, list(events), nowhere); err != nil {
		t.Fatal(err)
	}
	inside(t, p.named(t, "tracing_test.chat connect"), span.SpanContext())
	for _, name := range []string{"tracing_test.chat text", "tracing_test.chat disconnect"} {
		if s := p.named(t, name); s.Parent().IsValid() || !linked(s, p.named(t, "websocket handshake").SpanContext()) {
			t.Errorf("%s has the parent %v and the links %v", name, s.Parent(), s.Links())
		}
	}
}

// list is a receive of some events.
func list(events []asgi.Event) asgi.Receive {
	return func(context.Context) (asgi.Event, error) {
		if len(events) == 0 {
			return nil, asgi.ErrClosed
		}
		ev := events[0]
		events = events[1:]
		return ev, nil
	}
}

// nowhere takes whatever an app sends.
func nowhere(context.Context, asgi.Event) error { return nil }

// TestWorker: the job of a handler is in the handler's trace.
func TestWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := two(tracing.Options{}, sdktrace.AlwaysSample())
		ctx, stop := context.WithCancel(t.Context())
		w := consumers.Worker{
			Layer: there.layer, Channels: []string{"jobs"}, Logger: zap.NewNop(),
			App: there.Middleware(consumers.AsyncConsumer[chat]{Messages: []consumers.Handler[chat]{
				consumers.On(noted, func(_ *chat, ctx context.Context, c *consumers.Conn, v note) error {
					remember(ctx, "job")
					return nil
				})}}.App()),
		}
		over := make(chan error)
		go func() { over <- w.Run(ctx) }() // ends with ctx; waited for below
		ws := here.dial(t, consumers.AsyncWebsocketConsumer[chat]{
			Text: func(_ *chat, ctx context.Context, c *consumers.Conn, text string) error {
				return c.SendTo(ctx, "jobs", noted.With(note{text}))
			},
		}.App())
		ws.SendText("hello")
		synctest.Wait()
		stop()
		ws.Disconnect()
		if err := <-over; err != nil {
			t.Error(err)
		}
		job := there.named(t, "tracing_test.chat message test.note")
		inside(t, job, here.named(t, "tracing_test.chat text").SpanContext())
		if had(job) != "job" {
			t.Error("the job's handler had another span in its ctx")
		}
	})
}

// TestWire: a trace context comes back as it went, and what makes no sense is none.
func TestWire(t *testing.T) {
	tr := alone(tracing.Options{})
	state, err := trace.ParseTraceState("vendor=1,other=2")
	if err != nil {
		t.Fatal(err)
	}
	config := trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled}
	plain := trace.NewSpanContext(config)
	config.TraceState = state
	withState := trace.NewSpanContext(config)
	for want, span := range map[string]trace.SpanContext{
		"00-01000000000000000000000000000000-0200000000000000-01":                  plain,
		"00-01000000000000000000000000000000-0200000000000000-01 vendor=1,other=2": withState,
		"": plain.WithTraceFlags(0), // not sampled
	} {
		text := tr.Inject(trace.ContextWithSpanContext(t.Context(), span))
		if text != want {
			t.Errorf("%v is %q, want %q", span, text, want)
		}
		back := trace.SpanContextFromContext(tr.Extract(t.Context(), text))
		if text != "" && !(back.Equal(span.WithRemote(true))) {
			t.Errorf("%q is %v, want %v", text, back, span)
		}
	}
	if text := tr.Inject(t.Context()); text != "" {
		t.Errorf("no span is %q", text)
	}
	for _, text := range []string{"", " ", "00", "00-0-0-01", "00-00000000000000000000000000000000-0200000000000000-01", "zz", strings.Repeat("0", 1024)} {
		if span := trace.SpanContextFromContext(tr.Extract(t.Context(), text)); span.IsValid() {
			t.Errorf("%q is %v", text, span)
		}
	}
}

// A missing app shows at start.
func TestNoApp(t *testing.T) {
	defer func() {
		if v := fmt.Sprint(recover()); !strings.Contains(v, "the app is nil: pass the one") {
			t.Errorf("got the panic %q", v)
		}
	}()
	tracing.New(nil).Middleware(nil)
}
