package main

import (
	"context"
	"net/http"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/routing"
)

// shout is the state of one request.
type shout struct{ user string }

func (s *shout) handle(ctx context.Context, c *consumers.Conn, body []byte) error {
	group := "chat." + routing.Param(c.Scope(), "room")
	if err := c.GroupSend(ctx, group, chatMessage.With(said{s.user, string(body)})); err != nil {
		return err
	}
	return c.Respond(ctx, http.StatusOK, http.Header{"Content-Type": {"text/plain"}}, []byte("said\n"))
}

// shoutApp is the class Shout.
func shoutApp(users *users) asgi.App {
	return consumers.AsyncHTTPConsumer[shout]{
		New:    func(scope *asgi.Scope) *shout { return &shout{users.name(scope)} },
		Handle: (*shout).handle,
	}.App()
}
