package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/signal"
	"syscall"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/routing"
)

// resize is what a connection asks of the channel "thumbnails", and where it wants to hear of it.
type resize struct {
	Picture string `json:"picture"`
	ReplyTo string `json:"reply_to"`
}

// progress is what the worker answers.
type progress struct {
	Picture string `json:"picture"`
	Percent int    `json:"percent"`
}

const (
	resizeAsked  layers.Type[resize]   = "thumbnail.resize"
	resizeTicked layers.Type[progress] = "thumbnail.progress"
)

// thumbnails is the worker's side: one instance handles one message at a time.
type thumbnails struct{}

func (s *thumbnails) resize(ctx context.Context, c *consumers.Conn, v resize) error {
	for _, percent := range []int{50, 100} { // the work goes here
		err := c.SendTo(ctx, v.ReplyTo, resizeTicked.With(progress{v.Picture, percent}))
		if errors.Is(err, layers.ErrNoChannel) {
			return nil // the client has gone, which is no failure
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var Thumbnails = consumers.AsyncConsumer[thumbnails]{
	Messages: []consumers.Handler[thumbnails]{consumers.On(resizeAsked, (*thumbnails).resize)},
}.App()

// album is the browser's side.
type album struct{}

func (s *album) receive(ctx context.Context, c *consumers.Conn, picture string) error {
	return c.SendTo(ctx, "thumbnails", resizeAsked.With(resize{picture, c.ChannelName()}))
}

var Album = consumers.AsyncWebsocketConsumer[album]{
	Text:    (*album).receive,
	Forward: consumers.Types(resizeTicked),
}.App()

// A worker takes long work off the connections and answers to the channel that asked. It may run in any process that
// has the same layer. The queue is declared durable, so a job that fails is tried again, and one whose worker dies is
// another's.
func ExampleWorker() {
	layer := memlayer.New(&layers.Options{Durables: []layers.Durable{{Queues: "thumbnails"}}})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	w := consumers.Worker{
		Layer:       layer,
		App:         routing.Channels(map[string]asgi.App{"thumbnails": Thumbnails}),
		Channels:    []string{"thumbnails"},
		Concurrency: 4,
	}
	http.HandleFunc("/readyz", func(rw http.ResponseWriter, _ *http.Request) {
		if h := w.Health(); !h.Running || h.Err != nil {
			http.Error(rw, "the worker has no work", http.StatusServiceUnavailable)
		}
	})
	if err := w.Run(ctx); err != nil { // runs until SIGTERM, then finishes what it has begun
		fmt.Println(err)
	}
}
