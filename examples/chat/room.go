package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

// Bounds of what a client says, in characters.
const (
	maxText = 2000
	maxName = 40
	maxID   = 40
)

// A room's name is part of the name of its group, which a layer holds to the same letters and to 99 bytes.
var roomName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

const roomRule = "A room has a name of letters, digits, hyphens and underscores, at most 64."

// saying is what a client sends.
type saying struct {
	Text string `json:"message"`
	User string `json:"user"`
	ID   string `json:"id"` // the client's own, by which it knows its messages again
}

// said is what a room hears.
type said struct {
	Text string `json:"message"`
	User string `json:"user"`
	ID   string `json:"id,omitempty"`
	Time string `json:"time"` // of the server, RFC 3339
}

// refusal is what a client hears when its message did not reach the room. It alone hears it.
type refusal struct {
	Error string `json:"error"`
	ID    string `json:"id,omitempty"`
}

// chatMessage is the one place where a message's name and its payload meet.
const chatMessage layers.Type[said] = "chat.message"

// chat is the state of one connection.
type chat struct {
	group string
}

// Chat is a member of a room.
var Chat = consumers.AsyncWebsocketConsumer[chat]{
	Connect: (*chat).connect,
	Text:    consumers.JSON((*chat).receive),
	Forward: consumers.Types(chatMessage), // as it is, encoded once for everybody
}.App()

func (s *chat) connect(ctx context.Context, c *consumers.Conn) error {
	room := routing.Param(c.Scope(), "room")
	if !roomName.MatchString(room) {
		return asgi.Deny{Status: http.StatusNotFound, Body: []byte(roomRule + "\n")}
	}
	s.group = "chat." + room
	err := c.GroupAdd(ctx, s.group) // left by itself when the connection ends
	if err != nil && ctx.Err() == nil {
		return asgi.Deny{Status: http.StatusServiceUnavailable, Body: []byte("The rooms are out of reach. Try again.\n")} // the layer logs why
	}
	return err
}

func (s *chat) receive(ctx context.Context, c *consumers.Conn, in saying) error {
	text, id := strings.TrimSpace(in.Text), cut(in.ID, maxID)
	switch n := utf8.RuneCountInString(text); {
	case n == 0:
		return c.SendJSON(ctx, refusal{"This message is empty.", id})
	case n > maxText:
		return c.SendJSON(ctx, refusal{fmt.Sprintf("A message has at most %d characters; this one has %d.", maxText, n), id})
	}
	now := time.Now().UTC().Format(time.RFC3339)
	if err := c.GroupSend(ctx, s.group, chatMessage.With(said{text, nameOf(in.User), id, now})); err != nil && ctx.Err() == nil {
		return c.SendJSON(ctx, refusal{"This message did not reach the room. Try again.", id}) // the layer logs why
	}
	return nil
}

// nameOf makes of what a client calls itself a name that fits into one line.
func nameOf(user string) string {
	printable := func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}
	name := strings.Join(strings.Fields(strings.Map(printable, user)), " ")
	if name == "" {
		return "anonymous"
	}
	return strings.TrimSpace(cut(name, maxName))
}

// cut returns the first n characters of s.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
