// Command worker makes thumbnails: a page uploads pictures, workers make them small, and the page shows progress and
// results as they come.
//
//	go run ./examples/worker
//
// serves a page at http://127.0.0.1:8000 and works in the same process. A picture goes up the page's WebSocket; the
// connection's consumer sends it as a job to the durable queue "thumbnails"; a worker takes it from there and reports to
// the channel that asked, which is that connection.
//
// Workers can be processes of their own, on any machine that reaches the same NATS server (one that runs with JetStream).
// Each of these has a terminal of its own:
//
//	go tool nats-server -js -a 127.0.0.1
//	go run ./examples/worker -role site -layer nats://127.0.0.1:4222
//	go run ./examples/worker -role worker -layer nats://127.0.0.1:4222 -pause 3s
//	go run ./examples/worker -role worker -layer nats://127.0.0.1:4222 -pause 3s
//
// Upload a picture, and kill the worker that the page names while it is at it (kill -9, with the number in its name):
// within a few seconds the other one takes the job over.
//
// A job is done at least once. A worker that dies in the middle has sent some of the thumbnails, and the next one begins
// anew: the page keeps one of each size. A picture that cannot be decoded harms nothing else; the page is told, and the job
// is done. Where the page has gone, the rest of its job is dropped, some seconds later. An interrupt ends a worker gracefully: what it does not
// finish in ten seconds goes to another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/examples/internal/backend"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

// settings are the flags that are not about the layer.
type settings struct {
	addr  string
	role  string
	pause time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.addr, "addr", "127.0.0.1:8000", "`address` of the page; :8000 lets other machines in")
	flag.StringVar(&s.role, "role", "both", "site: the page; worker: make thumbnails; both: in one process")
	flag.DurationVar(&s.pause, "pause", 0, "wait before each thumbnail, so that one can watch, and kill a worker in the middle")
	layer := backend.Flags(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt does not wait
	if err := run(ctx, s, layer, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// run opens the layer, does what the role says until ctx ends, and closes the layer.
func run(ctx context.Context, s settings, layer *backend.Choice, out io.Writer) (err error) {
	if s.role != "site" && s.role != "worker" && s.role != "both" {
		return fmt.Errorf("-role %s: it is site, worker or both", s.role)
	}
	b, err := layer.Open(ctx, layers.Options{Durables: durables})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, b.Close(closing))
	}()
	if s.role != "both" && b.URL == "" {
		return fmt.Errorf("-role %s is half of a pair, and this layer ends with the process: write -layer nats://HOST:PORT, "+
			"the same for site and workers, or -role both", s.role)
	}
	var parts []func(context.Context) error
	if s.role != "worker" {
		ln, err := net.Listen("tcp", s.addr)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "worker: open http://%s/\n", ln.Addr())
		parts = append(parts, func(ctx context.Context) error { return serve(ctx, ln, b.Layer) })
	}
	if s.role == "site" {
		fmt.Fprintf(out, "worker: workers join with -role worker -layer %s\n", b.URL)
	}
	if s.role != "site" {
		fmt.Fprintf(out, "worker: process %d works\n", os.Getpid())
		parts = append(parts, func(ctx context.Context) error { return work(ctx, b.Layer, s.pause) })
	}
	return together(ctx, parts...)
}

// serve runs the site until ctx ends.
func serve(ctx context.Context, ln net.Listener, layer *layers.Layer) error {
	layers.Register(layers.Default, layer)
	return server.New(site(), nil).Serve(ctx, ln)
}

// site is the page by HTTP and its connection by WebSocket.
func site() asgi.App {
	return routing.Protocols(map[string]asgi.App{
		asgi.HTTP:      asgi.FromHandler(pages()),
		asgi.WebSocket: routing.URLs(routing.Path("/ws/album/", Album)),
	})
}

// work runs a worker until ctx ends.
func work(ctx context.Context, layer *layers.Layer, pause time.Duration) error {
	w := worker(pause)
	w.Layer = layer
	return w.Run(ctx)
}

// worker takes pictures, and those at which workers have failed too often.
func worker(pause time.Duration) consumers.Worker {
	return consumers.Worker{
		App:      makers(pause),
		Channels: []string{queue, layers.DeadLetters(queue)},
	}
}

// together runs all parts until ctx ends or one of them fails, and waits for all.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, len(parts))
	for _, part := range parts {
		// stop ends it, and the loop below waits for it.
		go func() { ended <- part(ctx) }()
	}
	var all error
	for range parts {
		all = errors.Join(all, <-ended)
		stop()
	}
	return all
}
