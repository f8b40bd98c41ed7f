package tracing_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/asgi/server/tracing"
)

// TestAnswers: the span of a handshake or a request has the status of the answer, and only failures are errors.
func TestAnswers(t *testing.T) {
	broken := errors.New("no database")
	sends := func(events ...asgi.Event) asgi.AppFunc {
		return func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			for _, ev := range events {
				if err := send(ctx, ev); err != nil {
					return err
				}
			}
			return nil
		}
	}
	returns := func(err error) asgi.AppFunc {
		return func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return err }
	}
	panics := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { panic(broken) })
	for name, tc := range map[string]struct {
		typ    string
		app    asgi.AppFunc
		status int
		failed bool
	}{
		"accept":              {asgi.WebSocket, sends(asgi.WebSocketAccept{}), 101, false},
		"accept and close":    {asgi.WebSocket, sends(asgi.WebSocketAccept{}, asgi.WebSocketClose{Code: 4000}), 101, false},
		"close":               {asgi.WebSocket, sends(asgi.WebSocketClose{}), 403, false},
		"denial response":     {asgi.WebSocket, sends(asgi.WebSocketHTTPResponseStart{Status: 401}, asgi.WebSocketHTTPResponseBody{}), 401, false},
		"Deny":                {asgi.WebSocket, returns(asgi.Deny{Status: 404}), 404, false},
		"Deny without status": {asgi.WebSocket, returns(asgi.Deny{}), 403, false},
		"Deny 503":            {asgi.WebSocket, returns(asgi.Deny{Status: 503}), 503, true},
		"CloseError":          {asgi.WebSocket, returns(asgi.CloseError{Code: 4000}), 403, false},
		"error":               {asgi.WebSocket, returns(broken), 500, true},
		"panic":               {asgi.WebSocket, panics, 500, true},
		"no answer":           {asgi.WebSocket, returns(nil), 500, true},
		"client has gone":     {asgi.WebSocket, returns(asgi.ErrClosed), 0, false},
		"response":            {asgi.HTTP, sends(asgi.HTTPResponseStart{Status: 201}, asgi.HTTPResponseBody{}), 201, false},
		"response 502":        {asgi.HTTP, sends(asgi.HTTPResponseStart{Status: 502}, asgi.HTTPResponseBody{}), 502, true},
		"HTTP Deny":           {asgi.HTTP, returns(asgi.Deny{Status: 404}), 404, false},
		"HTTP error":          {asgi.HTTP, returns(broken), 500, true},
		"HTTP panic":          {asgi.HTTP, panics, 500, true},
		"no response":         {asgi.HTTP, returns(nil), 500, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := alone(tracing.Options{})
			func() {
				defer func() {
					if v := recover(); v != nil && v != broken {
						t.Errorf("the panic is %v", v)
					}
				}()
				_ = p.Middleware(tc.app).Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: tc.typ, Method: "GET"}), nil, nowhere)
			}()
			s := p.named(t, map[string]string{asgi.WebSocket: "websocket handshake", asgi.HTTP: "GET"}[tc.typ])
			if status := attr(s, "http.response.status_code").AsInt64(); int(status) != tc.status {
				t.Errorf("the status is %d, want %d", status, tc.status)
			}
			if failed := s.Status().Code == codes.Error; failed != tc.failed {
				t.Errorf("the span says %+v", s.Status())
			}
		})
	}
}

// TestOtherScopes: what is neither a connection nor a channel passes as it is.
func TestOtherScopes(t *testing.T) {
	p := alone(tracing.Options{})
	scope := asgi.NewScope(asgi.Fields{Type: asgi.Lifespan})
	app := p.Middleware(asgi.AppFunc(func(_ context.Context, got *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		if got != scope {
			t.Error("the scope of a lifespan was changed")
		}
		return nil
	}))
	if err := app.Serve(t.Context(), scope, nil, nowhere); err != nil || len(p.spans.Started()) != 0 {
		t.Errorf("%v, %d spans", err, len(p.spans.Started()))
	}
}

// TestMethods: clients cannot make names of spans.
func TestMethods(t *testing.T) {
	p := alone(tracing.Options{})
	app := p.Middleware(asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return nil }))
	if err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP, Method: "BREW"}), nil, nowhere); err != nil {
		t.Fatal(err)
	}
	p.named(t, "_OTHER")
}

// TestEventStream: a stream's span ends when it begins, another response's when it is complete.
func TestEventStream(t *testing.T) {
	for media, open := range map[string]bool{"text/event-stream; charset=utf-8": false, "text/plain": true} {
		p := alone(tracing.Options{})
		app := p.Middleware(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			err := send(ctx, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Content-Type": {media}}})
			if trace.SpanContextFromContext(ctx).IsValid() != open {
				t.Errorf("%s: the ctx has the span %v when the response has begun", media, trace.SpanContextFromContext(ctx))
			}
			if n := len(p.spans.Ended()); (n == 0) != open {
				t.Errorf("%s: %d spans have ended when the response has begun", media, n)
			}
			return err
		}))
		if err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP, Method: "GET"}), nil, nowhere); err != nil {
			t.Fatal(err)
		}
		if s := attr(p.named(t, "GET"), "http.response.status_code").AsInt64(); s != 200 {
			t.Errorf("%s: the status is %d", media, s)
		}
	}
}

// TestClientsHeader: a client's trace is a link, unless it is trusted.
func TestClientsHeader(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, trust := range []bool{false, true} {
		for _, typ := range []string{asgi.HTTP, asgi.WebSocket} {
			p := alone(tracing.Options{TrustClients: trust})
			scope := asgi.NewScope(asgi.Fields{Type: typ, Method: "GET", Header: http.Header{"Traceparent": {"00-" + id + "-00f067aa0ba902b7-01"}}})
			app := p.Middleware(asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return nil }))
			if err := app.Serve(t.Context(), scope, nil, nowhere); err != nil {
				t.Fatal(err)
			}
			s := p.spans.Ended()[0]
			if continued := s.SpanContext().TraceID().String() == id; continued != trust {
				t.Errorf("%s: the client's trace is continued: %v, it is trusted: %v", typ, continued, trust)
			}
			if n := len(s.Links()); (n == 1) == trust {
				t.Errorf("%s: there are %d links, the client is trusted: %v", typ, n, trust)
			}
		}
	}
}

// TestInsideOthers: on a live server, a span of net/http middleware is the parent, and the ctx has the handshake's span until
// the accept and none afterwards.
func TestInsideOthers(t *testing.T) {
	p := alone(tracing.Options{})
	outer := sdktrace.NewTracerProvider().Tracer("outer")
	var around trace.SpanContext
	app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if _, err := receive(ctx); err != nil {
			return err
		}
		before := trace.SpanFromContext(ctx)
		if !before.IsRecording() || before.SpanContext().Equal(around) {
			t.Errorf("before the accept the ctx has the span %v", before.SpanContext())
		}
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
			return err
		}
		for _, ctx := range []context.Context{ctx, derived} {
			if after := trace.SpanContextFromContext(ctx); after.IsValid() {
				t.Errorf("after the accept the ctx has the span %v", after)
			}
		}
		if _, err := receive(ctx); err != nil {
			return err
		}
		return send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame("heard")})
	})
	srv := server.New(p.Middleware(app), &server.Options{Logger: zap.NewNop()})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // as otelhttp does
		ctx, span := outer.Start(r.Context(), "outer")
		defer span.End()
		around = span.SpanContext()
		srv.ServeHTTP(w, r.WithContext(ctx))
	}))
	defer site.Close()
	defer srv.Shutdown(t.Context())
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(site.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if err := ws.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := ws.ReadMessage(); err != nil || string(text) != "heard" {
		t.Fatalf("%q, %v", text, err)
	}
	inside(t, p.named(t, "websocket handshake"), around)
}
