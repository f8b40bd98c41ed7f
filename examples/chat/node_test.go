package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/examples/internal/backend"
	"github.com/tideway-go/tideway/routing"
)

// nodeEnv, when set, makes the test binary the chat itself: its value is the flags, with spaces between.
const nodeEnv = "TIDEWAY_CHAT_NODE"

// node is main with one more path, where a test learns the channel of a member. It returns the exit status: 1 also when
// something is left behind.
func node(flags string) int {
	fs := flag.NewFlagSet("chat", flag.ExitOnError)
	addr := fs.String("addr", "", "")
	choice := backend.Flags(fs)
	_ = fs.Parse(strings.Fields(flags)) // it exits when it fails
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := run(ctx, *addr, "", watched(), choice)
	stop()
	if err == nil {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		return 1
	}
	return 0
}

// watched is the site, and witnesses at /witness/ROOM/.
func watched() asgi.App {
	return routing.Protocols(map[string]asgi.App{
		asgi.WebSocket: routing.URLs(
			routing.Path("/witness/{room}/", Witness),
			routing.Path("/ws/chat/{room}/", Chat),
		),
	})
}

// testimony is the first that a witness's client hears.
type testimony struct {
	Channel string `json:"channel"`
}

// Witness is a member of a room that says which channel it has.
var Witness = consumers.AsyncWebsocketConsumer[chat]{
	Connect: func(s *chat, ctx context.Context, c *consumers.Conn) error {
		if err := s.connect(ctx, c); err != nil {
			return err
		}
		if err := c.Accept(ctx, asgi.WebSocketAccept{}); err != nil {
			return err
		}
		return c.SendJSON(ctx, testimony{c.ChannelName()})
	},
	Forward: consumers.Types(chatMessage),
}.App()
