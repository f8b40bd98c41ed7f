package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/examples/internal/backend"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

// everyone is the group of all tabs.
const everyone = "everyone"

// notice is what is sent, and what a tab shows.
type notice struct {
	Text string `json:"text"`
	Time string `json:"time"` // when it was sent, RFC 3339
}

const noticed layers.Type[notice] = "notice"

// greeting is the first that a tab hears.
type greeting struct {
	Channel  string   `json:"channel"`
	Commands []string `json:"commands"` // that send to it
}

// tab is the state of one tab's connection.
type tab struct {
	url string // of the NATS server, for the commands
}

// tabs is the consumer of tabs.
func tabs(url string) asgi.App {
	return consumers.AsyncWebsocketConsumer[tab]{
		New:     func(*asgi.Scope) *tab { return &tab{url} },
		Groups:  []string{everyone},
		Connect: (*tab).connect,
		Forward: consumers.Types(noticed),
	}.App()
}

func (s *tab) connect(ctx context.Context, c *consumers.Conn) error {
	if err := c.Accept(ctx, asgi.WebSocketAccept{}); err != nil {
		return err
	}
	send := "go run ./examples/notify send -layer " + s.url
	return c.SendJSON(ctx, greeting{c.ChannelName(), []string{
		send + " -channel '" + c.ChannelName() + "' Hello, you", // a shell would take the ! for something else
		send + " -group " + everyone + " Hello, all",
	}})
}

// site is the page by HTTP and its connection by WebSocket.
func site(url string) asgi.App {
	if strings.Contains(url, "@") { // a password is nothing for browsers
		url = "nats://USER:PASSWORD@HOST:4222"
	}
	return routing.Protocols(map[string]asgi.App{
		asgi.HTTP:      asgi.FromHandler(pages()),
		asgi.WebSocket: routing.URLs(routing.Path("/ws/", tabs(url))),
	})
}

// serveCommand runs the site until ctx ends.
func serveCommand(ctx context.Context, args []string, out, errs io.Writer) (err error) {
	fs := flag.NewFlagSet("notify serve", flag.ContinueOnError)
	fs.SetOutput(errs)
	addr := fs.String("addr", "127.0.0.1:8000", "`address` of the page; :8000 lets other machines in")
	layer := backend.Flags(fs)
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return mistake(fmt.Sprintf("serve %s: it takes flags only; serve -h tells them", fs.Arg(0)))
	}
	b, err := layer.Open(ctx, layers.Options{})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, b.Close(closing))
	}()
	if b.URL == "" {
		return mistake("send, which is another process, cannot reach this layer: write serve -layer nats://127.0.0.1:4222, or serve -cluster 127.0.0.1:7001")
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "notify: open http://%s/\nnotify: send with -layer %s\n", ln.Addr(), b.URL)
	return serve(ctx, ln, b)
}

// serve runs the site until ctx ends.
func serve(ctx context.Context, ln net.Listener, b *backend.Backend) error {
	layers.Register(layers.Default, b.Layer)
	return server.New(site(b.URL), nil).Serve(ctx, ln)
}
