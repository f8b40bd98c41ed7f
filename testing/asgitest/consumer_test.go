package asgitest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

type said struct {
	User string `json:"user"`
	Text string `json:"message"`
}

const chatMessage layers.Type[said] = "chat.message"

type chat struct{ room string }

var chatApp = consumers.AsyncWebsocketConsumer[chat]{
	Connect: (*chat).connect,
	Text:    consumers.JSON((*chat).receive),
	Forward: consumers.Types(chatMessage),
}.App()

func (s *chat) connect(ctx context.Context, c *consumers.Conn) error {
	s.room = "chat." + c.Scope().Path()[1:]
	return c.GroupAdd(ctx, s.room)
}

func (s *chat) receive(ctx context.Context, c *consumers.Conn, in said) error {
	return c.GroupSend(ctx, s.room, chatMessage.With(said{User: "anonymous", Text: in.Text}))
}

func TestOnlyTheRoomHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, chatApp) // brings a memlayer of its own
		ann, bob := site.Dial("/lobby"), site.Dial("/lobby")
		eve := site.Dial("/attic")
		ann.SendJSON(said{Text: "hello"})
		for _, ws := range []*asgitest.WebSocket{ann, bob} {
			ws.ExpectJSON(said{User: "anonymous", Text: "hello"})
		}
		eve.ExpectNothing()
		ann.Disconnect()
		bob.SendText("{")
		fmt.Println(bob.Receive())
	})
}
