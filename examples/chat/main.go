// Command chat is a chat for everybody who can reach it: rooms, names, and nothing kept.
//
//	go run ./examples/chat
//
// serves a page at http://127.0.0.1:8000. A room is at /ROOM/, and its socket at /ws/chat/ROOM/. A client sends
// {"message": "...", "user": "..."}; every member of the room, the sender included, hears it with the sender's name and
// the server's time. An interrupt ends it gracefully: the sockets are told, and the pages come back by themselves when
// it runs again.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/routing"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "address to listen on; :8000 lets other machines in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt does not wait

	ln, err := net.Listen("tcp", *addr)
	if err == nil {
		fmt.Printf("chat: open http://%s/ in two tabs\n", ln.Addr())
		err = serve(ctx, ln, app())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// serve runs a site until ctx ends.
func serve(ctx context.Context, ln net.Listener, site asgi.App) error {
	layers.Register(layers.Default, memlayer.New(nil))
	return server.New(site, nil).Serve(ctx, ln)
}

// app is all of the site: pages by HTTP, rooms by WebSocket.
func app() asgi.App {
	return routing.Protocols(map[string]asgi.App{
		asgi.HTTP:      asgi.FromHandler(pages()),
		asgi.WebSocket: routing.URLs(routing.Path("/ws/chat/{room}/", Chat)),
	})
}
