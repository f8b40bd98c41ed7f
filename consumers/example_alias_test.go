package consumers_test

import (
	"context"

	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// cursor is where somebody's mouse is.
type cursor struct {
	X int `json:"x"`
	Y int `json:"y"`
}

const cursorMoved layers.Type[cursor] = "board.cursor"

type board struct{}

func (s *board) moved(ctx context.Context, c *consumers.Conn, in cursor) error {
	return c.GroupSend(ctx, "board", cursorMoved.With(in))
}

// Board uses the layer "fleeting", every other consumer the default one.
var Board = consumers.AsyncWebsocketConsumer[board]{
	Layer:   "fleeting",
	Groups:  []string{"board"},
	Text:    consumers.JSON((*board).moved),
	Forward: consumers.Types(cursorMoved),
}.App()

// Two layers side by side: messages that may be lost have a small one of their own, and leave room for those that
// matter.
func ExampleAsyncWebsocketConsumer_twoLayers() {
	layers.Register(layers.Default, memlayer.New(nil))
	layers.Register("fleeting", memlayer.New(&layers.Options{Capacity: 10}))
	serve(Board)
}
