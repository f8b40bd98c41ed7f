// Command bench is a server to be measured: the chat and the echo without anything else, on the public API with default
// options. /ws/chat/ROOM/ takes {"message": "..."} and sends it to every member of the room, the sender included;
// /ws/echo/ sends every message back as it came. -layer measures the chat over NATS, too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
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

func main() {
	var opts server.Options
	flag.StringVar(&opts.Addr, "addr", "127.0.0.1:8000", "address to listen on")
	flag.BoolVar(&opts.Compression, "compress", false, "offer permessage-deflate")
	flag.IntVar(&opts.MaxMessage, "max-message", 0, "bytes of the largest message; 0: the server's default")
	profile := flag.String("pprof", "", "address of a listener for profiles, such as 127.0.0.1:6060; empty: none")
	choice := backend.Flags(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt does not wait

	if err := run(ctx, &opts, *profile, choice); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, opts *server.Options, profile string, choice *backend.Choice) error {
	b, err := choice.Open(ctx, layers.Options{})
	if err != nil {
		return err
	}
	layers.Register(layers.Default, b.Layer)
	err = runServer(ctx, server.New(app(), opts).Run, profile)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, b.Close(closing))
}

// runServer runs serve, with profiles beside it if they have an address.
func runServer(ctx context.Context, serve func(context.Context) error, profile string) error {
	if profile == "" {
		return serve(ctx)
	}
	ln, err := net.Listen("tcp", profile)
	if err != nil {
		return fmt.Errorf("listen for profiles: %w", err)
	}
	return withProfiles(ctx, ln, serve)
}

func app() asgi.App {
	return routing.Protocols(map[string]asgi.App{
		asgi.WebSocket: routing.URLs(
			routing.Path("/ws/chat/{room}/", Chat),
			routing.Path("/ws/echo/", Echo),
		),
	})
}

type said struct {
	Text string `json:"message"`
}

const chatMessage layers.Type[said] = "chat.message"

// chat is the state of a member of a room.
type chat struct{ room string }

// Chat is a member of a room.
var Chat = consumers.AsyncWebsocketConsumer[chat]{
	Connect: (*chat).connect,
	Text:    consumers.JSON((*chat).receive),
	Forward: consumers.Types(chatMessage),
}.App()

func (s *chat) connect(ctx context.Context, c *consumers.Conn) error {
	s.room = "chat." + routing.Param(c.Scope(), "room")
	return c.GroupAdd(ctx, s.room)
}

func (s *chat) receive(ctx context.Context, c *consumers.Conn, in said) error {
	return c.GroupSend(ctx, s.room, chatMessage.With(in))
}

// echo has no state.
type echo struct{}

// Echo sends whole messages back.
var Echo = consumers.AsyncWebsocketConsumer[echo]{Frame: (*echo).frame}.App()

func (*echo) frame(ctx context.Context, c *consumers.Conn, f asgi.Frame) error {
	return c.SendFrame(ctx, f)
}

// withProfiles runs serve, and beside it net/http/pprof on a listener of its own, which it closes.
func withProfiles(ctx context.Context, ln net.Listener, serve func(context.Context) error) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	profiles := &http.Server{Handler: mux}
	done := make(chan error, 1)
	go func() { done <- profiles.Serve(ln) }() // ended and awaited below
	err := serve(ctx)
	closed := profiles.Close()
	if ended := <-done; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return errors.Join(err, closed)
}
