package main

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// note is what the tabs of one user tell each other.
type note struct {
	Text string `json:"text"`
}

const written layers.Type[note] = "note.written"

// maxNote bounds a note, in characters.
const maxNote = 500

// A tab is one open page: who looks at it, and the group of that user's tabs.
type tab struct {
	me    account
	group string
}

// notes is the socket of the page. Require stands in front of it, so there is a user.
func (s *site) notes() asgi.App {
	return consumers.AsyncWebsocketConsumer[tab]{
		New: func(scope *asgi.Scope) *tab {
			me, _ := s.users.User(scope)
			return &tab{me: me, group: "user." + me.Name}
		},
		Connect: (*tab).connect,
		Text:    consumers.JSON((*tab).write),
		Forward: consumers.Types(written),
	}.App()
}

func (t *tab) connect(ctx context.Context, c *consumers.Conn) error {
	if err := c.GroupAdd(ctx, t.group); err != nil {
		return err
	}
	if err := c.Accept(ctx, asgi.WebSocketAccept{}); err != nil {
		return err
	}
	return c.SendJSON(ctx, struct {
		User string `json:"user"`
	}{t.me.Name})
}

func (t *tab) write(ctx context.Context, c *consumers.Conn, n note) error {
	n.Text = strings.TrimSpace(n.Text)
	if n.Text == "" || utf8.RuneCountInString(n.Text) > maxNote {
		return nil // the page's form sends none of these
	}
	return c.GroupSend(ctx, t.group, written.With(n))
}
