package asgitest

import (
	"context"

	"github.com/tideway-go/tideway/consumers"
)

// Work runs a worker of named channels until stop is called, or to the end of the test. Where w has no Layer, App or
// Logger it gets those of the Site; its StopTime is half of [Options.Timeout] by default. Feed it through the layer:
//
//	stop := site.Work(consumers.Worker{Channels: []string{"thumbnails"}})
//	err := site.Layer().Send(ctx, "thumbnails", resize.With(picture{ID: 7}))
//
// A durable queue, whose jobs are tried again when their handler fails, is one that the layer declares:
//
//	layer := memlayer.New(&layers.Options{Durables: []layers.Durable{{Queues: "thumbnails"}}})
//	stop := site.With(&asgitest.Options{Layer: layer}).Work(consumers.Worker{Channels: []string{"thumbnails"}})
//	letter, err := layer.Take(ctx, layers.DeadLetters("thumbnails")) // after Attempts
//
// In a bubble the time between attempts costs nothing; outside of one, set Backoff.
//
// stop waits for the worker and returns the error of its Run. An error that stop has not shown fails the test. What a
// handler returns is no such error: it goes to the Logger, as in production.
func (s *Site) Work(w consumers.Worker) (stop func() error) {
	s.t.Helper()
	if w.Layer == nil {
		w.Layer = s.options.Layer
	}
	if w.Logger == nil {
		w.Logger = s.options.Logger
	}
	if w.App == nil {
		w.App = s.app
	}
	if w.StopTime == 0 {
		w.StopTime = s.options.Timeout / 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := s.begin(ctx, "worker", cancel, w.Run, func(r *run) { r.failed = r.err })
	return func() error {
		s.t.Helper()
		cancel()
		limit, done := s.limit()
		defer done()
		select {
		case <-r.done:
			r.shown.Store(true)
		case <-limit.Done():
			s.t.Fatalf("asgitest: worker %q: it still runs %v after stop%s", w.Channels, s.options.Timeout, stacks(r.label))
		}
		return r.err
	}
}
