package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

// maker is the state of a worker's consumer. It handles one picture at a time.
type maker struct {
	name  string        // of this process, for the page
	pause time.Duration // before each thumbnail
}

// makers is the app of a worker: it makes thumbnails, and tells of those that nobody could make.
func makers(pause time.Duration) asgi.App {
	m := maker{name: fmt.Sprintf("worker %d", os.Getpid()), pause: pause}
	alike := func(*asgi.Scope) *maker { return &m } // which nobody changes
	return routing.Channels(map[string]asgi.App{
		queue: consumers.AsyncConsumer[maker]{
			New:      alike,
			Messages: []consumers.Handler[maker]{consumers.On(thumbnailsWanted, (*maker).make)},
		}.App(),
		layers.DeadLetters(queue): consumers.AsyncConsumer[maker]{
			New:      alike,
			Messages: []consumers.Handler[maker]{consumers.On(thumbnailsWanted, (*maker).giveUp)},
		}.App(),
	})
}

// make makes all thumbnails of a picture. When its process dies on the way, another one begins anew.
func (m *maker) make(ctx context.Context, c *consumers.Conn, job picture) error {
	err := m.work(ctx, c, job)
	if errors.Is(err, layers.ErrNoChannel) {
		return nil // whoever asked has gone, so nobody wants the rest
	}
	return err // the job comes again
}

func (m *maker) work(ctx context.Context, c *consumers.Conn, job picture) error {
	if err := tell(ctx, c.SendTo, job, report{Worker: m.name}); err != nil {
		return err
	}
	img, err := decode(job.Data)
	if err != nil { // it would not be better the next time
		return tell(ctx, c.SendTo, job, report{Worker: m.name, Error: err.Error()})
	}
	for _, size := range sizes {
		if err := wait(ctx, m.pause); err != nil {
			return err
		}
		t, err := shrinkTo(size, img)
		if err != nil {
			return err
		}
		if err := tell(ctx, c.SendTo, job, report{Worker: m.name, Thumbnail: t}); err != nil {
			return err
		}
	}
	return nil
}

// giveUp handles a dead letter.
func (m *maker) giveUp(ctx context.Context, c *consumers.Conn, job picture) error {
	err := tell(ctx, c.SendTo, job, report{Worker: m.name, Error: "The workers failed at this picture too often and gave up."})
	if errors.Is(err, layers.ErrNoChannel) {
		return nil
	}
	return err
}

// How long a channel may seem to be gone before that is believed, and the time between tries. A site that has lost its NATS
// server for a moment looks as if its connections had ended.
const (
	patience = 5 * time.Second
	pace     = 200 * time.Millisecond
)

// tell sends a report to the channel that asked. It tries again while the page has too much to read, while the channel may
// be back in a moment, and where nobody knows whether the report has arrived: the page replaces what it has.
func tell(ctx context.Context, send func(context.Context, string, layers.Message) error, job picture, r report) error {
	r.ID = job.ID
	m := thumbnailsReport.With(r)
	for begun := time.Now(); ; {
		err := send(ctx, job.ReplyTo, m)
		switch {
		case errors.Is(err, layers.ErrChannelFull), errors.Is(err, layers.ErrUncertain):
		case errors.Is(err, layers.ErrNoChannel) && time.Since(begun) < patience:
		default:
			return err
		}
		if err := wait(ctx, pace); err != nil {
			return err
		}
	}
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
