package main

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// forward is what all who look are sent, whichever way they came: a WebSocket gets the JSON as a message, a stream gets an
// event with an id to resume from.
var forward = []consumers.Forwarder{consumers.RenderSSE(moved, event)}

func event(c change) (consumers.SSE, error) {
	data, err := json.Marshal(c)
	return consumers.SSE{ID: strconv.FormatInt(c.Number, 10), Data: string(data)}, err
}

// A viewer is the state of one page.
type viewer struct{ market *market }

// sockets serves those who came by WebSocket.
func (m *market) sockets() asgi.App {
	return consumers.AsyncWebsocketConsumer[viewer]{
		New:     func(*asgi.Scope) *viewer { return &viewer{m} },
		Groups:  []string{group},
		Connect: (*viewer).catchUp,
		Forward: forward,
	}.App()
}

// streams serves those who read events.
func (m *market) streams() asgi.App {
	return consumers.AsyncSSEConsumer[viewer]{
		New:     func(*asgi.Scope) *viewer { return &viewer{m} },
		Groups:  []string{group},
		Connect: (*viewer).catchUp,
		Forward: forward,
		Retry:   time.Second,
	}.App()
}

// catchUp begins, and sends what the page has missed. It is a member of the group by now, so nothing is lost; a change that is
// told at this moment comes twice, and the page knows it by its number.
func (s *viewer) catchUp(ctx context.Context, c *consumers.Conn) error {
	if err := c.Accept(ctx, asgi.WebSocketAccept{}); err != nil {
		return err
	}
	last, ok := lastSeen(c)
	if !ok {
		return nil
	}
	for _, missed := range s.market.since(last) {
		e, err := event(missed)
		if err != nil {
			return err
		}
		if err := c.SendSSE(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// lastSeen is the number that the page has seen last: from the header of an EventSource that came back by itself, or, since
// a page cannot set that, from the URL.
func lastSeen(c *consumers.Conn) (int64, bool) {
	text := c.LastEventID()
	if text == "" {
		query, err := url.ParseQuery(c.Scope().RawQuery())
		if err != nil {
			return 0, false
		}
		text = query.Get("since")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= 0
}
