package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// everything is an application for connections in every state, by their paths. It ends when ctx does.
var everything = asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	wait := func() error { <-ctx.Done(); return context.Cause(ctx) }
	switch {
	case scope.Type() == asgi.Lifespan:
		return errors.ErrUnsupported
	case scope.Type() == asgi.HTTP && scope.Path() == "/stream":
		return errors.Join(send(ctx, asgi.HTTPResponseStart{Status: 200}), send(ctx, asgi.HTTPResponseBody{Body: []byte("x"), MoreBody: true}), wait())
	case scope.Type() == asgi.HTTP:
		return asgi.Deny{Status: 204}
	case scope.RawQuery() == "undecided":
		return wait()
	case scope.RawQuery() == "flood":
		if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
			return err
		}
		for large := asgi.TextFrame(strings.Repeat("x", 100_000)); ; {
			if err := send(ctx, asgi.WebSocketSend{Frame: large}); err != nil {
				return err
			}
		}
	case scope.RawQuery() == "reader": // has a goroutine that reads
		own, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
			return err
		}
		for {
			if _, err := receive(own); err != nil {
				return err
			}
		}
	}
	return echoing(nil).Serve(ctx, scope, receive, send)
})

// After a shutdown with a thousand sockets, in every state in which a client can leave one alone, nothing of the server is left:
// no goroutine and no descriptor, although no client has closed anything.
func TestShutdownLeavesNothing(t *testing.T) {
	upgrade := func(query string) string { return strings.Replace(handshake, "q=1", query, 1) + "\r\n" }
	states := []struct{ send, await string }{
		{"", ""},
		{handshake, ""},
		{upgrade("undecided"), ""},
		{upgrade("idle"), "HTTP/1.1 101"},
		{upgrade("idle") + string(frame(fin|text, "half a frame")[:8]), "HTTP/1.1 101"},
		{upgrade("idle") + string(frame(fin|closing, closePayload(1000, ""))), "HTTP/1.1 101"},
		{upgrade("reader"), "HTTP/1.1 101"},
		{upgrade("flood"), "HTTP/1.1 101"},
		{get + "\r\n", "HTTP/1.1 204"},
		{strings.Replace(get, "GET /a", "GET /stream", 1) + "\r\n", "HTTP/1.1 200"},
	}
	const each = 100
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := server.New(everything, &server.Options{Logger: zap.NewNop(), ShutdownWindow: 50 * time.Millisecond, HandshakeTimeout: -1, HeaderTimeout: -1})
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(context.Background(), ln) }()
	var clients []net.Conn
	for range each {
		for _, state := range states {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute)) // which passes only when the test is stuck
			io.WriteString(c, state.send)
			got := make([]byte, len(state.await))
			if _, err := io.ReadFull(c, got); string(got) != state.await {
				t.Fatalf("%.60q: got %q, %v", state.send, got, err)
			}
			clients = append(clients, c)
		}
	}
	// What a client has read says nothing of the counters, which follow a moment later.
	if !eventually(func() bool { st := srv.Stats(); return st.Open >= 4*each && st.HTTPOpen == each }) {
		t.Errorf("before the shutdown: %+v", srv.Stats())
	}
	hurry, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := errors.Join(srv.Shutdown(hurry), <-ended); err != nil {
		t.Error(err)
	}
	if st := srv.Stats(); st.Open != 0 || st.Handshaking != 0 || st.HTTPOpen != 0 {
		t.Errorf("after the shutdown: %+v", st)
	}
	gone := func() bool {
		return runtime.NumGoroutine() <= goroutines && (descriptors == 0 || openDescriptors() <= descriptors+len(clients))
	}
	if !eventually(gone) { // net/http's goroutines end a moment after their connections
		all := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d descriptors of the server; before there were %d and %d\n%s", runtime.NumGoroutine(),
			openDescriptors()-len(clients), goroutines, descriptors, all[:runtime.Stack(all, true)])
	}
}
