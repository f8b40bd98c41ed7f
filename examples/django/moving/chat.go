package main

import (
	"context"
	"net/http"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

// said is what a room hears: the keys of the dictionary in Python, without "type".
type said struct {
	User string `json:"user"`
	Text string `json:"text"`
}

// counted is the worker's answer.
type counted struct {
	Words int `json:"words"`
}

// The types are those in Python. A message of one of them calls chat_message or chat_counted there.
const (
	chatMessage layers.Type[said]    = "chat.message"
	chatCounted layers.Type[counted] = "chat.counted"
)

// typed is what the page sends: one of the two.
type typed struct {
	Text  string `json:"text"`
	Count string `json:"count"`
}

// chat is the state of one connection: what self had in Python.
type chat struct {
	user, group string
}

func (s *chat) connect(ctx context.Context, c *consumers.Conn) error {
	s.group = "chat." + routing.Param(c.Scope(), "room")
	if layers.CheckGroup(s.group) != nil {
		return asgi.Deny{Status: http.StatusNotFound}
	}
	return c.GroupAdd(ctx, s.group) // nil accepts; the group is left by itself
}

func (s *chat) receive(ctx context.Context, c *consumers.Conn, in typed) error {
	if in.Count != "" {
		return c.SendTo(ctx, "words", wordsCount.With(order{in.Count, c.ChannelName()}))
	}
	return c.GroupSend(ctx, s.group, chatMessage.With(said{s.user, in.Text}))
}

// chatApp is the class Chat. Who is there is known before it runs.
func chatApp(users *users) asgi.App {
	return consumers.AsyncWebsocketConsumer[chat]{
		New:     func(scope *asgi.Scope) *chat { return &chat{user: users.name(scope)} },
		Connect: (*chat).connect,
		Text:    consumers.JSON((*chat).receive),
		Forward: consumers.Types(chatMessage, chatCounted), // send_json of what came, encoded once for everybody
	}.App()
}
