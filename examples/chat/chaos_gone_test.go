//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer"
)

// watch lets a witness join a room of its own on the node that is to vanish. The function it returns measures how
// long after its call another node sends to the witness's channel, and serves listeners of its room, and fails after 10 s.
func (c *chaos) watch(f fault) func() (time.Duration, error) {
	failed := func(err error) func() (time.Duration, error) {
		return func() (time.Duration, error) { return 0, fmt.Errorf("the witness of node %d: %w", f.victim, err) }
	}
	room := fmt.Sprintf("witness-%d-%d", f.victim, c.book.now().Milliseconds())
	ws, err := c.dial(c.t.Context(), f.victim, "/witness/"+room+"/")
	if err != nil {
		return failed(err)
	}
	o := &observer{group: "chat." + room}
	if err := o.begin(c, f.asked, ws); err != nil {
		return failed(errors.Join(err, o.end(), ws.Close()))
	}
	return func() (time.Duration, error) {
		took, err := o.gone(c)
		return took, errors.Join(err, o.end(), ws.Close())
	}
}

// observer sends to a group and to its member by way of another node.
type observer struct {
	group, channel string
	layer          *layers.Layer
	broker         *interest
}

// subject is the group's, as natslayer's description of the wire format has it.
func (o *observer) subject() string {
	return "tideway.group." + strings.ReplaceAll(o.group, ".", "~")
}

// begin demands that the member is reached in all ways: what is gone later was there.
func (o *observer) begin(c *chaos, asked int, ws *websocket.Conn) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var hello testimony
	if err := ws.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := ws.ReadJSON(&hello); err != nil {
		return err
	}
	o.channel = hello.Channel
	addr, err := c.nodes[asked].address(natsAddress), error(nil)
	if o.layer, err = natslayer.Open(ctx, "nats://"+addr, &natslayer.Options{Logger: zap.NewNop()}); err != nil {
		return err
	}
	if o.broker, err = askInterest(addr); err != nil {
		return err
	}
	if err := o.layer.Send(ctx, o.channel, chatMessage.With(said{Text: "direct"})); err != nil {
		return err
	}
	for served := false; !served; { // the interest of a new room spreads
		if served, err = o.broker.listens(o.subject(), "\x82\xa4type\xacchat.message\xa7message\xa5group"); err != nil {
			return err
		}
	}
	for _, want := range []string{"direct", "group"} {
		var got said
		if err := ws.ReadJSON(&got); err != nil || got.Text != want {
			return fmt.Errorf("it hears %+v, want %s (%v)", got, want, err)
		}
	}
	return nil
}

// gone waits until the member is reached in no way.
func (o *observer) gone(c *chaos) (time.Duration, error) {
	begun := time.Now()
	for {
		ctx, cancel := context.WithTimeout(c.t.Context(), 250*time.Millisecond) // a frozen process does not answer
		direct := o.layer.Send(ctx, o.channel, chatMessage.With(said{Text: "direct"}))
		cancel()
		served, err := o.broker.listens(o.subject(), "")
		took := time.Since(begun)
		switch {
		case err != nil:
			return took, err
		case errors.Is(direct, layers.ErrNoChannel) && !served && took <= 10*time.Second:
			return took, nil
		case took > 10*time.Second:
			return took, fmt.Errorf("L10: membership ends with its process within 10 s when that dies: after %v a send to %s says %w, and the broker serves %s: %v",
				took, o.channel, direct, o.group, served)
		}
		c.pause(10 * time.Millisecond)
	}
}

func (o *observer) end() (err error) {
	if o.layer != nil {
		err = o.layer.Close(context.Background())
	}
	if o.broker != nil {
		err = errors.Join(err, o.broker.Close())
	}
	return err
}

// interest asks a NATS server whether anybody listens to a subject. It is a client of a few lines.
type interest struct {
	net.Conn
	lines *bufio.Scanner
}

func askInterest(addr string) (*interest, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	hello, err := json.Marshal(map[string]any{"headers": true, "no_responders": true, "verbose": false, "pedantic": false})
	if err == nil {
		_, err = fmt.Fprintf(conn, "CONNECT %s\r\nSUB answers 1\r\n", hello)
	}
	return &interest{conn, bufio.NewScanner(conn)}, err
}

// listens publishes to a subject, and reports whether anybody listens: if nobody does, the server answers at once, with status 503.
func (i *interest) listens(subject, message string) (bool, error) {
	if err := i.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	if _, err := fmt.Fprintf(i, "PUB %s answers %d\r\n%s\r\nPING\r\n", subject, len(message), message); err != nil {
		return false, err
	}
	served := true
	for i.lines.Scan() {
		switch line := i.lines.Text(); {
		case strings.HasPrefix(line, "NATS/1.0 503"):
			served = false
		case line == "PONG":
			return served, nil
		case line == "PING":
			if _, err := fmt.Fprint(i, "PONG\r\n"); err != nil {
				return false, err
			}
		case strings.HasPrefix(line, "-ERR"):
			return false, errors.New(line)
		}
	}
	return false, fmt.Errorf("the server has gone: %w", i.lines.Err())
}
