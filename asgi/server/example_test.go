package server_test

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// hello is an application: it greets each WebSocket and ends.
var hello = asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	if scope.Type() != asgi.WebSocket {
		return asgi.Deny{Status: http.StatusNotFound}
	}
	if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
		return err
	}
	return send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame("hello")})
})

// A server that runs until the first interrupt and then shuts down; the next interrupt ends the process.
func ExampleServer_Run() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)
	srv := server.New(hello, &server.Options{Addr: ":8000", Origins: []string{"https://www.example.org"}})
	if err := srv.Run(ctx); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

// A server inside a mux of yours. You run the HTTP side, and shut down both.
func ExampleServer_ServeHTTP() {
	srv := server.New(hello, nil)
	mux := http.NewServeMux()
	mux.Handle("/ws/", srv)
	hs := &http.Server{Addr: "127.0.0.1:8000", Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go hs.ListenAndServe()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	hs.Shutdown(ctx)  // no new requests
	srv.Shutdown(ctx) // and the end of the sockets
}
