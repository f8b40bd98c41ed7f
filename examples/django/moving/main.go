// Command moving is the port of a small Channels project, consumer by consumer; MOVING.md in the folder above is the guide
// that goes with it. The folder site is the project as it was in Python. Both run side by side on one Redis:
//
//	SECRET_KEY=... go run ./examples/django/moving -addr 127.0.0.1:8001 -origin http://127.0.0.1:8000
//	SECRET_KEY=... go run ./examples/django/moving -worker
package main

import (
	"cmp"
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
	"github.com/tideway-go/tideway/layers/redislayer"
	"github.com/tideway-go/tideway/routing"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8001", "`address` to listen on")
	origin := flag.String("origin", "http://127.0.0.1:8000", "`URL` of the site whose pages may connect")
	redis := flag.String("redis", cmp.Or(os.Getenv("REDIS_URL"), redislayer.DefaultHost), "`URL` of the Redis that Django uses; default: the environment's REDIS_URL")
	work := flag.Bool("worker", false, `be the worker of the channel "words" instead of a server`)
	flag.Parse()
	secret := os.Getenv("SECRET_KEY")
	if secret == "" && !*work {
		fmt.Fprintln(os.Stderr, "moving: SECRET_KEY is not in the environment: it is that of Django's settings")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt does not wait

	if err := run(ctx, *addr, *origin, *redis, secret, *work); err != nil {
		fmt.Fprintln(os.Stderr, "moving:", err)
		os.Exit(1)
	}
}

// app is the application of asgi.py.
func app(users *users) asgi.App {
	return routing.Protocols(map[string]asgi.App{
		asgi.HTTP:      routing.URLs(routing.Path("/shout/{room:slug}/", users.Require(shoutApp(users)))),
		asgi.WebSocket: routing.URLs(routing.Path("/ws/chat/{room:slug}/", users.Require(chatApp(users)))),
	})
}

// open is CHANNEL_LAYERS.
func open(ctx context.Context, redis string) (*layers.Layer, error) {
	return redislayer.Core(ctx, &redislayer.Options{Hosts: []string{redis}, Prefix: "moving"})
}

func run(ctx context.Context, addr, origin, redis, secret string, work bool) error {
	layer, err := open(ctx, redis)
	if err != nil {
		return err
	}
	layers.Register(layers.Default, layer)
	if work {
		err = worker(layer).Run(ctx)
	} else {
		err = serve(ctx, addr, origin, secret)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, layer.Close(closing))
}

func serve(ctx context.Context, addr, origin, secret string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("moving: listening at http://%s\n", ln.Addr())
	return server.New(app(newUsers(secret)), &server.Options{Origins: []string{origin}}).Serve(ctx, ln)
}
