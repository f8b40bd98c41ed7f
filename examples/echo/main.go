// Command echo sends every message back, text as text and bytes as bytes. It is the smallest server there is:
//
//	go run ./examples/echo
//
// listens at ws://127.0.0.1:8000, at every path.
package main

import (
	"context"
	"log"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/routing"
)

// echo has no state: one connection is like another.
type echo struct{}

func (*echo) frame(ctx context.Context, c *consumers.Conn, f asgi.Frame) error {
	return c.SendFrame(ctx, f)
}

// Echo is one connection. It has a handler for whole messages and accepts whoever comes.
var Echo = consumers.AsyncWebsocketConsumer[echo]{Frame: (*echo).frame}.App()

func main() {
	site := routing.Protocols(map[string]asgi.App{asgi.WebSocket: Echo})
	log.Print("echo: ws://127.0.0.1:8000, any path")
	if err := server.New(site, nil).RunUntilSignal(context.Background()); err != nil {
		log.Fatal(err)
	}
}
