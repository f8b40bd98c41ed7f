package server_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// statusWriter is what a logging middleware has that nobody told of Unwrap.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// A stream that a middleware of net/http holds back is one line for all requests, while the first of them goes on, and no failure.
func TestStreamHeldBack(t *testing.T) {
	release := make(chan struct{})
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.HTTP {
			return asgi.Deny{Status: 404}
		}
		if err := send(ctx, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}}); err != nil {
			return err
		}
		if err := send(ctx, asgi.HTTPResponseBody{Body: []byte("data: 1\n\n"), MoreBody: true}); err != nil {
			return err
		}
		<-release
		return send(ctx, asgi.HTTPResponseBody{})
	})
	s := variant{}.serveTCP(t, app, server.Options{Wrap: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(&statusWriter{ResponseWriter: w}, r) })
	}})
	unblock := sync.OnceFunc(func() { close(release) })
	t.Cleanup(unblock) // before the end of the server, which waits for the application
	var peers []*peer
	for range 2 {
		p := s.peer()
		if _, err := p.Write([]byte(get + "\r\n")); err != nil {
			t.Fatal(err)
		}
		peers = append(peers, p)
	}
	if !eventually(func() bool { return len(s.warnings()) > 0 }) {
		t.Error("there is no line while the stream goes on")
	}
	unblock()
	for _, p := range peers {
		if resp, err := p.request(""); err != nil || body(resp) != "data: 1\n\n" {
			t.Errorf("got %v, %v", resp, err)
		}
	}
	lines := s.logs.FilterLevelExact(zap.WarnLevel).All()
	if len(s.warnings()) != 1 || len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["error"].(string), "*server_test.statusWriter") {
		t.Errorf("the lines are %v", s.logs.All())
	}
	if failures := s.srv.Stats().HTTPFailures; failures != 0 {
		t.Errorf("%d failures are counted", failures)
	}
}
