package main

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

// group is the group of all sockets, GROUP of site/consumers.py.
const group = "news"

// maxText bounds an item, in characters: MAX_TEXT of site/consumers.py.
const maxText = 200

// item is what the group hears: in Python {"type": "news.item", "text": ..., "by": ...}.
type item struct {
	Text string `json:"text"`
	By   string `json:"by"` // which program sent it
}

// newsItem calls the handler news_item of the consumer in Python.
const newsItem layers.Type[item] = "news.item"

// typed is what the page sends.
type typed struct {
	Text string `json:"text"`
}

// refusal is what the page hears when its item reached nobody. It alone hears it.
type refusal struct {
	Error string `json:"error"`
}

// news has no state of its own.
type news struct{}

// News is a socket that hears the group and speaks to it. NewsConsumer of site/consumers.py is the same in Python.
var News = consumers.AsyncWebsocketConsumer[news]{
	Groups:  []string{group},
	Text:    consumers.JSON((*news).receive),
	Forward: consumers.Types(newsItem), // as it is, encoded once for everybody
}.App()

func (*news) receive(ctx context.Context, c *consumers.Conn, in typed) error {
	text := strings.TrimSpace(in.Text)
	if n := utf8.RuneCountInString(text); n == 0 || n > maxText {
		return c.SendJSON(ctx, refusal{fmt.Sprintf("An item has 1 to %d characters; this one has %d.", maxText, n)})
	}
	if err := c.GroupSend(ctx, group, newsItem.With(item{text, "Go"})); err != nil && ctx.Err() == nil {
		return c.SendJSON(ctx, refusal{"This item did not reach the others. Try again."}) // the layer logs why
	}
	return nil
}

// app has the socket and nothing else: the page is Django's.
func app() asgi.App {
	return routing.Protocols(map[string]asgi.App{
		asgi.WebSocket: routing.URLs(routing.Path("/ws/news/", News)),
	})
}
