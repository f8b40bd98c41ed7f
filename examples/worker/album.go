package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// Bounds of what a client sends. One message of a layer carries the picture, and 1,000,000 bytes pass every backend.
const (
	maxBytes = 900_000
	maxText  = 100 // bytes of an id or a name
)

// announcement is what a client sends, as text, before the bytes of a picture, which are the next binary message.
type announcement struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// album is the state of one page's connection.
type album struct {
	next *announcement
}

// Album takes the pictures of one page and passes on what workers say of them.
var Album = consumers.AsyncWebsocketConsumer[album]{
	Text:    consumers.JSON((*album).announce),
	Binary:  (*album).upload,
	Forward: consumers.Types(thumbnailsReport),
}.App()

func (s *album) announce(ctx context.Context, c *consumers.Conn, in announcement) error {
	if s.next != nil || in.ID == "" || len(in.ID) > maxText {
		return asgi.CloseError{Code: 1008, Reason: fmt.Sprintf("announce a picture with an id of 1 to %d bytes, then send it", maxText)}
	}
	s.next = &in
	return nil
}

func (s *album) upload(ctx context.Context, c *consumers.Conn, data []byte) error {
	if s.next == nil {
		return asgi.CloseError{Code: 1008, Reason: `before a picture send {"id": "...", "name": "..."}`}
	}
	in := s.next
	s.next = nil
	if len(data) > maxBytes {
		return c.SendJSON(ctx, report{ID: in.ID, Error: tooLarge(len(data))})
	}
	job := picture{ReplyTo: c.ChannelName(), ID: in.ID, Name: cut(in.Name), Data: data}
	err := c.SendTo(ctx, queue, thumbnailsWanted.With(job))
	if errors.Is(err, layers.ErrChannelFull) {
		return c.SendJSON(ctx, report{ID: in.ID, Error: "The workers have too much to do. Try again in a moment."})
	}
	return err // closes with 1011: the page comes back, and sends what it has no answer to once more
}

func tooLarge(bytes int) string {
	return fmt.Sprintf("A picture has at most %d kB; this one has %d.", maxBytes/1000, (bytes+999)/1000)
}

// cut shortens a name to what a job may carry.
func cut(name string) string {
	if len(name) > maxText {
		name = strings.ToValidUTF8(name[:maxText], "")
	}
	return name
}
