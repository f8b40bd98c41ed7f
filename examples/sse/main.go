// Command sse is a ticker: a page of prices that change every second, by WebSocket, or by server-sent events where something
// on the way lets no WebSocket through.
//
//	go run ./examples/sse
//
// serves the page at http://127.0.0.1:8000. It asks for a WebSocket at /ws/prices/ first; if that does not open, it reads
// the stream of events at /prices/. Both are members of one group, fed by one line of Forward. To see the fallback, run it with
// -websocket=false, which refuses handshakes as some proxies do; to see the stream itself:
//
//	curl -N http://127.0.0.1:8000/prices/
//
// Each change has a number. A page that comes back tells the last one that it has seen, a browser's EventSource by its header
// Last-Event-ID, and gets what it has missed of the last 1,000.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/routing"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "`address` to listen on; :8000 lets other machines in")
	websocket := flag.Bool("websocket", true, "answer WebSockets; with =false pages have to do without")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "sse: %s: it takes flags only; -h tells them\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt does not wait

	if err := run(ctx, *addr, *websocket); err != nil {
		fmt.Fprintln(os.Stderr, "sse:", err)
		os.Exit(1)
	}
}

// run serves the site and moves the prices until ctx ends.
func run(ctx context.Context, addr string, websocket bool) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	layer := memlayer.New(nil)
	layers.Register(layers.Default, layer)
	m := newMarket(layer)
	trading, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- m.trade(trading, time.Second) }() // ends with the site
	fmt.Printf("sse: open http://%s/\n", ln.Addr())
	err = server.New(site(m, websocket), nil).Serve(ctx, ln)
	stop()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, <-ended, layer.Close(closing))
}

// site is the page, and the prices by either way.
func site(m *market, websocket bool) asgi.App {
	sockets := asgi.App(routing.URLs(routing.Path("/ws/prices/", m.sockets())))
	if !websocket {
		sockets = asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return asgi.Deny{} })
	}
	return routing.Protocols(map[string]asgi.App{
		asgi.WebSocket: sockets,
		asgi.HTTP: routing.URLs(
			routing.Path("/prices/", m.streams()),
			routing.Path("/{rest...}", asgi.FromHandler(pages())),
		),
	})
}
