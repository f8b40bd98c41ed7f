package metrics_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/asgi/server/metrics"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// TestKinds: the handlers of requests, of streams of events and of workers are measured as those of WebSockets are.
func TestKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, layer := metrics.New(nil), memlayer.New(nil)
		type ticker struct{}
		on := []consumers.Handler[ticker]{consumers.On(noted, func(*ticker, context.Context, *consumers.Conn, note) error { return nil })}
		page := consumers.AsyncHTTPConsumer[chat]{}.App()
		stream := consumers.AsyncSSEConsumer[ticker]{Groups: []string{"room"}, Messages: on,
			Connect: func(*ticker, context.Context, *consumers.Conn) error { return nil }}.App()
		site := asgitest.New(t, m.Middleware(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if scope.Path() == "/events" {
				return stream.Serve(ctx, scope, receive, send)
			}
			return page.Serve(ctx, scope, receive, send)
		}))).With(&asgitest.Options{Layer: layer})
		site.Request("GET", "/")
		es := site.EventSource("/events")
		w := consumers.Worker{Layer: layer, Channels: []string{"jobs"}, Logger: zap.NewNop(),
			App: m.Middleware(consumers.AsyncConsumer[note]{Messages: []consumers.Handler[note]{consumers.On(noted,
				func(*note, context.Context, *consumers.Conn, note) error { return nil })}}.App())}
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- w.Run(ctx) }() // ends with ctx; waited for below
		synctest.Wait()
		if err := layer.GroupSend(t.Context(), "room", noted.With(note{})); err != nil {
			t.Fatal(err)
		}
		if err := layer.Send(t.Context(), "jobs", noted.With(note{})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		text := scrape(t, m.Handler())
		for _, want := range []string{
			`tideway_handler_duration_seconds_count{consumer="metrics_test.chat",kind="http",type=""} 1`,
			`tideway_handler_duration_seconds_count{consumer="metrics_test.ticker",kind="http",type=""} 1`,
			`tideway_handler_duration_seconds_count{consumer="metrics_test.ticker",kind="message",type="test.note"} 1`,
			`tideway_handler_duration_seconds_count{consumer="metrics_test.note",kind="message",type="test.note"} 1`,
			`tideway_consumer_connections{consumer="metrics_test.ticker"} 1`,
			`tideway_consumer_connections{consumer="metrics_test.chat"} 0`,
		} {
			if !strings.Contains(text, want+"\n") {
				t.Errorf("the scrape does not have %s", want)
			}
		}
		es.Close()
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// TestDraining: a server that shuts down shows it.
func TestDraining(t *testing.T) {
	m := metrics.New(nil)
	srv := server.New(chatApp(), &server.Options{Logger: zap.NewNop()})
	m.AddServer("public", srv)
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, m, `
		# HELP tideway_server_draining 1 while the server shuts down, else 0
		# TYPE tideway_server_draining gauge
		tideway_server_draining{server="public"} 1
	`, "tideway_server_draining")
}
