// Command django is a socket server in Go beside a Django site: both are processes of one Channels deployment over one
// Redis. README.md tells how to run both, and what to see.
//
//	go run ./examples/django -origin http://127.0.0.1:8000
//
// The site in the folder site is Django's: its page, its form and one Channels consumer at /ws/django/ under Daphne. This
// server has the socket at /ws/news/. Everybody is a member of the group "news", whoever holds the socket.
//
// The page comes from another port, so it is of another origin: -origin lets it in, and no other page.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/redislayer"
)

// prefix is what all keys begin with: "prefix" of CHANNEL_LAYERS in site/settings.py.
const prefix = "example"

func main() {
	addr := flag.String("addr", "127.0.0.1:8001", "`address` to listen on; SOCKET_URL of the site says the same")
	origin := flag.String("origin", "http://127.0.0.1:8000", "`URL` of the site whose page may connect, without a path")
	redis := flag.String("redis", redisURL(), "`URL` of the Redis that the site uses; default: the environment's REDIS_URL")
	layer := flag.String("layer", "core", "core or pubsub: which of channels_redis's layers the site has; LAYER of the site says the same")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "django: %s: it takes flags only; -h tells them\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := checkOrigin(*origin); err != nil {
		fmt.Fprintln(os.Stderr, "django:", err)
		os.Exit(2)
	}
	open, ok := layersOf[*layer]
	if !ok {
		fmt.Fprintf(os.Stderr, "django: -layer %s: it is core or pubsub\n", *layer)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt does not wait

	if err := run(ctx, *addr, deployment{open, *redis}, *origin); err != nil {
		fmt.Fprintln(os.Stderr, "django:", err)
		os.Exit(1)
	}
}

// A deployment is where Django's processes and this one meet.
type deployment struct {
	open  func(context.Context, *redislayer.Options) (*layers.Layer, error)
	redis string
}

// layersOf are the layers of channels_redis: RedisChannelLayer and RedisPubSubChannelLayer.
var layersOf = map[string]func(context.Context, *redislayer.Options) (*layers.Layer, error){
	"core": redislayer.Core, "pubsub": redislayer.PubSub,
}

func (d deployment) layer(ctx context.Context) (*layers.Layer, error) {
	return d.open(ctx, &redislayer.Options{Hosts: []string{d.redis}, Prefix: prefix})
}

// checkOrigin wants a web site by its scheme, host and port. The server would take more, such as "*", which is any page.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && !strings.Contains(u.Host, "*") &&
		origin == u.Scheme+"://"+u.Host {
		return nil
	}
	return fmt.Errorf("-origin %s: it is scheme, host and port, and nothing behind them, such as http://127.0.0.1:8000", origin)
}

// redisURL is where the site looks for Redis too.
func redisURL() string {
	if url := os.Getenv("REDIS_URL"); url != "" {
		return url
	}
	return redislayer.DefaultHost
}

// run listens and serves until ctx ends.
func run(ctx context.Context, addr string, site deployment, origin string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("django: sockets at ws://%s/ws/news/ for the page of %s\n", ln.Addr(), origin)
	return serve(ctx, ln, site, origin)
}

// serve opens the layer that Django's processes have, and serves until ctx ends; then it gives what is on its way 10 s to
// leave.
func serve(ctx context.Context, ln net.Listener, site deployment, origin string) error {
	layer, err := site.layer(ctx)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	layers.Register(layers.Default, layer)
	err = server.New(app(), &server.Options{Origins: []string{origin}}).Serve(ctx, ln)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, layer.Close(closing))
}
