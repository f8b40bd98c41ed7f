package server_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"sync"
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

// A server that runs for a minute.
func ExampleServer_Run() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.New(hello, &server.Options{Addr: ":8000"}).Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// The whole of a program: what it serves, and what the environment says about how. Ctrl-C and SIGTERM shut it down; once more
// cuts that short.
func ExampleServer_RunUntilSignal() {
	opts, err := server.FromEnv(&server.Options{
		Origins:    []string{"https://www.example.org"},
		DrainDelay: 5 * time.Second, // for load balancers that ask every two seconds
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Print("options: ", opts)
	if err := server.New(hello, opts).RunUntilSignal(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// One process on three doors: TLS for browsers, a Unix socket for a proxy on the same machine, and what a load balancer passes
// on, with the client's address in front.
func ExampleListener() {
	srv := server.New(hello, &server.Options{
		CertFile: "/etc/tls/example.org.pem", KeyFile: "/etc/tls/example.org.key", // read again when they change
		TrustedProxies: []string{"10.0.0.0/24"},
		Listeners: []server.Listener{
			{Addr: ":443"},
			{Addr: "unix:/run/app/app.sock", Plain: true},
			{Addr: ":8443", ProxyProtocol: true},
		},
	})
	if err := srv.RunUntilSignal(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// The figures of a server, while it runs.
func ExampleServer_Stats() {
	srv := server.New(hello, nil)
	st := srv.Stats()
	fmt.Println(st.Open, "open,", st.MessagesIn, "in,", st.MessagesOut, "out")
	for result, n := range st.Handshakes.All() {
		if n > 0 {
			fmt.Println(result, n)
		}
	}
	fmt.Println("ready:", srv.Ready(), "draining:", srv.Draining())
	// Output:
	// 0 open, 0 in, 0 out
	// ready: true draining: false
}

// A server inside a mux of yours. You run the HTTP side, and shut down both at once: hs waits for streams that only srv ends.
func ExampleServer_ServeHTTP() {
	srv := server.New(hello, nil)
	mux := http.NewServeMux()
	mux.Handle("/ws/", srv)
	hs := &http.Server{Addr: "127.0.0.1:8000", Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go hs.ListenAndServe()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var sockets sync.WaitGroup
	sockets.Go(func() { // ends with ctx at the latest; waited for below
		if err := srv.Shutdown(ctx); err != nil { // the end of the sockets and the streams
			log.Print(err)
		}
	})
	if err := hs.Shutdown(ctx); err != nil { // no new requests, and the end of the others
		log.Print(err)
	}
	sockets.Wait()
}
