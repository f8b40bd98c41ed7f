package consumers_test

import (
	"context"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// command is what the client of a tally says: {"add": 3}.
type command struct {
	Add int `json:"add"`
}

// tally is the state of one connection. Its handlers run one at a time, so it needs no lock.
type tally struct{ total int }

func (s *tally) receive(ctx context.Context, c *consumers.Conn, in command) error {
	if in.Add < 0 {
		return asgi.CloseError{Code: 4000, Reason: "negative"} // closes the connection, and is no failure of ours
	}
	s.total += in.Add
	return c.SendJSON(ctx, map[string]int{"total": s.total})
}

// JSON decodes before the handler runs; what is no command closes the connection with 1007.
func ExampleJSON() {
	app := consumers.AsyncWebsocketConsumer[tally]{
		Text: consumers.JSON((*tally).receive),
	}.App()
	serve(app)
}
