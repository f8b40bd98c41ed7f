package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// A directory is a database table: which user is reached through which channel.
type directory struct {
	mu   sync.Mutex
	rows map[string]string
}

func (d *directory) put(user, channel string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows[user] = channel
}

func (d *directory) get(user string) (channel string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	channel, ok = d.rows[user]
	return channel, ok
}

// remove deletes the row of user unless it is of a newer connection.
func (d *directory) remove(user, channel string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows[user] == channel {
		delete(d.rows, user)
	}
}

// notice is what a single user is told.
type notice struct {
	Text string `json:"text"`
}

const noticed layers.Type[notice] = "user.notice"

// inbox is the state of one connection.
type inbox struct {
	directory *directory
	user      string
}

func (s *inbox) connect(ctx context.Context, c *consumers.Conn) error {
	s.user = c.Scope().Header().Get("X-User")
	s.directory.put(s.user, c.ChannelName())
	return nil
}

func (s *inbox) disconnect(ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
	s.directory.remove(s.user, c.ChannelName())
	return nil
}

// inboxes makes the consumer of a directory.
func inboxes(d *directory) asgi.App {
	return consumers.AsyncWebsocketConsumer[inbox]{
		New:        func(*asgi.Scope) *inbox { return &inbox{directory: d} },
		Connect:    (*inbox).connect,
		Disconnect: (*inbox).disconnect,
		Forward:    consumers.Types(noticed),
	}.App()
}

// tell sends a notice to one user, from anywhere: a form, a command, a timer, another connection's handler. It reports
// whether there was a connection to send to.
func tell(ctx context.Context, layer *layers.Layer, d *directory, user, text string) (bool, error) {
	channel, ok := d.get(user)
	if !ok {
		return false, nil
	}
	err := layer.Send(ctx, channel, noticed.With(notice{text}))
	if errors.Is(err, layers.ErrNoChannel) { // its process died before Disconnect could run
		d.remove(user, channel)
		return false, nil // a handler that returned this error would close its own connection with 1011
	}
	return err == nil, err
}

// One connection is reached by the name of its channel, which is stored while it lasts.
func ExampleConn_ChannelName() {
	d := &directory{rows: map[string]string{}}
	serve(inboxes(d))
	// elsewhere in the program:
	fmt.Println(tell(context.Background(), layers.Get(layers.Default), d, "ann", "your picture is ready"))
}
