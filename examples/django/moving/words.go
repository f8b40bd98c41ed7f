package main

import (
	"context"
	"errors"
	"strings"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

// order is what a connection asks of the worker.
type order struct {
	Text    string `json:"text"`
	ReplyTo string `json:"reply_to"`
}

const wordsCount layers.Type[order] = "words.count"

// words is the worker's state: one for each of its instances.
type words struct{}

func (*words) count(ctx context.Context, c *consumers.Conn, in order) error {
	err := c.SendTo(ctx, in.ReplyTo, chatCounted.With(counted{len(strings.Fields(in.Text))}))
	if errors.Is(err, layers.ErrChannelFull) {
		return nil // who asked does not read, which is no failure of the worker's
	}
	return err
}

// wordsApp is the class Words.
var wordsApp = consumers.AsyncConsumer[words]{
	Messages: []consumers.Handler[words]{consumers.On(wordsCount, (*words).count)},
}.App()

// worker is "manage.py runworker words".
func worker(layer *layers.Layer) *consumers.Worker {
	return &consumers.Worker{
		Layer:       layer,
		App:         routing.Channels(map[string]asgi.App{"words": wordsApp}),
		Channels:    []string{"words"},
		Concurrency: 4,
	}
}
