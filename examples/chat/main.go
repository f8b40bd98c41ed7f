// Command chat is a chat for everybody who can reach it: rooms, names, and nothing kept.
//
//	go run ./examples/chat
//
// serves a page at http://127.0.0.1:8000. A room is at /ROOM/, and its socket at /ws/chat/ROOM/. A client sends
// {"message": "...", "user": "..."}; every member of the room, the sender included, hears it with the sender's name and
// the server's time. An interrupt ends it gracefully: the sockets are told, and the pages come back by themselves when
// it runs again.
//
// Several copies share their rooms as one cluster, with nothing else running beside them:
//
//	go run ./examples/chat -addr 127.0.0.1:8001 -cluster 127.0.0.1:7001 -routes 127.0.0.1:7002,127.0.0.1:7003
//	go run ./examples/chat -addr 127.0.0.1:8002 -cluster 127.0.0.1:7002 -routes 127.0.0.1:7001,127.0.0.1:7003
//	go run ./examples/chat -addr 127.0.0.1:8003 -cluster 127.0.0.1:7003 -routes 127.0.0.1:7001,127.0.0.1:7002
//
// or over a NATS server of yours: -layer nats://HOST:4222. With -admin 127.0.0.1:9000 operators find /metrics, /live and
// /ready there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/examples/internal/backend"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "`address` to listen on; :8000 lets other machines in")
	admin := flag.String("admin", "", "`address` on which operators find /metrics, /live and /ready; none without")
	choice := backend.Flags(flag.CommandLine)
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "chat: %s: it takes flags only; -h tells them\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt does not wait

	if err := run(ctx, *addr, *admin, app(), choice); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// run serves a site until ctx ends, then gives what is on its way 10 s to leave.
func run(ctx context.Context, addr, admin string, site asgi.App, choice *backend.Choice) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	operators, err := listenAdmin(admin)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	b, err := choice.Open(ctx, layers.Options{})
	if err != nil {
		err = errors.Join(err, ln.Close())
		if operators != nil {
			err = errors.Join(err, operators.Close())
		}
		return err
	}
	if b.URL != "" {
		fmt.Println("chat: rooms are shared over", redacted(b.URL))
	}
	fmt.Printf("chat: open http://%s/ in two tabs\n", ln.Addr())
	err = serve(ctx, ln, operators, site, b.Layer)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, b.Close(closing))
}

// redacted is the URL of a server, or a list of them, for people to read.
func redacted(list string) string {
	servers := strings.Split(list, ",")
	for i, s := range servers {
		if at := strings.LastIndex(s, "@"); at >= 0 {
			servers[i] = "nats://" + s[at+1:]
		}
	}
	return strings.Join(servers, ",")
}

// serve runs a site over a layer until ctx ends. operators is nil where none will ask.
func serve(ctx context.Context, ln, operators net.Listener, site asgi.App, layer *layers.Layer) error {
	layers.Register(layers.Default, layer)
	if operators != nil {
		return serveObserved(ctx, ln, operators, site, layer)
	}
	return server.New(site, nil).Serve(ctx, ln)
}

// app is all of the site: pages by HTTP, rooms by WebSocket.
func app() asgi.App {
	return routing.Protocols(map[string]asgi.App{
		asgi.HTTP:      asgi.FromHandler(pages()),
		asgi.WebSocket: routing.URLs(routing.Path("/ws/chat/{room}/", Chat)),
	})
}
