package consumers_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/routing"
)

// said is the payload of a chat message.
type said struct {
	User string `json:"user"`
	Text string `json:"message"`
}

// chatMessage is the one place where a message's name and its payload meet.
const chatMessage layers.Type[said] = "chat.message"

// chat is the state of one connection.
type chat struct{ room string }

var Chat = consumers.AsyncWebsocketConsumer[chat]{
	Connect: (*chat).connect,
	Text:    consumers.JSON((*chat).receive),
	Forward: consumers.Types(chatMessage), // as it is, encoded once for everybody
}.App()

func (s *chat) connect(ctx context.Context, c *consumers.Conn) error {
	s.room = "chat." + routing.Param(c.Scope(), "room")
	if layers.CheckGroup(s.room) != nil { // clients may ask for any name
		return asgi.Deny{Status: http.StatusNotFound}
	}
	return c.GroupAdd(ctx, s.room) // left by itself when the connection ends
}

func (s *chat) receive(ctx context.Context, c *consumers.Conn, in said) error {
	return c.GroupSend(ctx, s.room, chatMessage.With(said{User: "anonymous", Text: in.Text}))
}

// A chat: what a member says goes to everybody in the room.
func Example_chat() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second interrupt does not wait

	layers.Register(layers.Default, memlayer.New(nil))
	app := routing.Protocols(map[string]asgi.App{
		asgi.WebSocket: routing.URLs(routing.Path("/ws/chat/{room}/", Chat)),
	})
	log.Print("chat: a room is at ws://127.0.0.1:8000/ws/chat/ROOM/")
	if err := server.New(app, nil).Run(ctx); err != nil {
		log.Fatal(err)
	}
}
