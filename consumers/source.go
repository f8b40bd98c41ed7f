package consumers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
)

// ChannelMessage is the event by which a [Worker] hands a message to its app. Tables look up what handles it; an app of
// another kind finds the message here. It is made by workers only: pass on the one that you got.
type ChannelMessage struct {
	Message layers.Message
	// Attempt counts how often the message was handed to a worker, this time included; always 1 on plain queues.
	Attempt int

	delivery *delivery
}

// EventType is "channel.message".
func (ChannelMessage) EventType() string { return "channel.message" }

// serve runs one instance of the channel's consumer after the other until taking ends. Only what makes another try
// senseless is an error.
func (c *crew) serve(channel string) error {
	scope := asgi.LoggerKey.With(LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.Channel, Channel: channel}), c.layer), c.logger)
	lease, durable := c.layer.Durable(channel)
	worked := false // an instance has come so far as to ask for a message
	for failures := 0; c.taking.Err() == nil; {
		s := &source{crew: c, channel: channel, durable: durable, lease: lease.Lease}
		err := s.run(sourceKey.With(scope, s))
		if c.taking.Err() != nil {
			s.err = nil // of a layer that is closed, perhaps: another instance has said so
			s.report(err)
			return nil
		}
		worked = worked || s.asked
		if cause := s.hopeless(err, worked); cause != nil {
			return fmt.Errorf("consumers: worker: channel %q: %w", channel, cause)
		}
		s.report(err)
		if s.taken > 0 {
			failures = 0
			continue
		}
		failures++
		pause(c.taking, failures)
	}
	return nil
}

// pause waits before the next try at a layer that does not answer: 100 ms, doubled up to 5 s, half of it at random.
func pause(ctx context.Context, failures int) {
	limit := min(5*time.Second, 100*time.Millisecond<<min(failures, 6))
	t := time.NewTimer(limit/2 + rand.N(limit/2))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// A source is what one instance receives: the messages of its channel, until the worker stops.
type source struct {
	crew    *crew
	channel string
	durable bool
	lease   time.Duration
	table   bool // the app is a table, which says what becomes of a message
	asked   bool
	taken   int
	current atomic.Pointer[delivery] // what the instance handles now
	cut     context.CancelCauseFunc  // ends the ctx of its handlers
	told    bool                     // what ended the instance was the end of a message, and was logged with that
	err     error                    // of the layer; it ended the instance
}

// sourceKey is how a table finds that it serves a worker.
var sourceKey = asgi.NewKey[*source]("worker")

// run is the life of one instance.
func (s *source) run(scope *asgi.Scope) (err error) {
	returned := false
	defer func() {
		if !returned { // a handler has called runtime.Goexit
			s.settle(errGoexit, true)
			s.report(errGoexit)
			if s.taken == 0 { // the next one would do the same
				pause(s.crew.taking, 1)
			}
		}
	}()
	ctx, cut := context.WithCancelCause(s.crew.handlers)
	defer cut(nil)
	s.cut = cut
	defer s.watch(ctx)()
	err = guard(func() error { return s.crew.app.Serve(ctx, scope, s.receive, refuse) })
	returned = true
	s.settle(err, true)
	return err
}

// watch names the handler that does not heed the end of its ctx, once, until it is stopped.
func (s *source) watch(ctx context.Context) (stop func()) {
	var (
		mu    sync.Mutex
		over  bool
		timer *time.Timer
	)
	unwatched := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			timer = time.AfterFunc(handlerPatience, s.late)
		}
	})
	return func() {
		unwatched()
		mu.Lock()
		defer mu.Unlock()
		if over = true; timer != nil {
			timer.Stop()
		}
	}
}

// late says what still runs a while after the end of its ctx.
func (s *source) late() {
	if d := s.current.Load(); d != nil {
		s.crew.logger.Error("consumers: worker: a handler ignores that its ctx has ended: return when ctx.Done() is closed",
			append(d.fields(nil), zap.Duration("after", handlerPatience))...)
	}
}

// report logs what ended an instance, unless that was the failure of a message.
func (s *source) report(err error) {
	switch {
	case s.err != nil:
		s.crew.logger.Error("consumers: worker: the layer does not answer, and will be asked again", trouble(s.channel, s.err)...)
	case !s.told && err != nil && !errors.Is(err, asgi.ErrClosed):
		s.crew.log(s.channel, err)
	}
}

// settle ends the message that was handled. over says that the instance has ended, with err.
func (s *source) settle(err error, over bool) {
	if d := s.current.Swap(nil); d != nil {
		s.told = err != nil
		d.settle(err, over)
	}
}

// hopeless returns why another try could not go better: the layer is closed or has no such channel, or the application
// has never worked. err is what Serve returned; once the application has worked, its errors harm one message alone.
func (s *source) hopeless(err error, worked bool) error {
	switch {
	case errors.Is(s.err, layers.ErrClosed), errors.Is(s.err, errors.ErrUnsupported), errors.Is(s.err, layers.ErrInvalidName):
		return s.err
	case worked:
		return nil
	case err == nil:
		return errors.New("the application returned without asking for a message")
	}
	return err
}

// receive is the instance's [asgi.Receive]. Who asks for another message is done with the last one.
func (s *source) receive(ctx context.Context) (asgi.Event, error) {
	s.asked = true
	s.settle(nil, false)
	if s.crew.taking.Err() != nil { // AfterFunc would come too late
		return nil, fmt.Errorf("consumers: worker: %w: it stops", asgi.ErrClosed)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.crew.taking, func() { cancel(asgi.ErrClosed) })()
	d, err := s.take(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.err = err
			s.crew.state.failing(err)
		}
		return nil, fmt.Errorf("consumers: worker: %w: %w", asgi.ErrClosed, err)
	}
	s.crew.state.answered()
	s.taken++
	s.current.Store(d)
	return ChannelMessage{Message: d.message, Attempt: d.attempt, delivery: d}, nil
}

// take waits for the next message, and for the place where it may be handled.
func (s *source) take(ctx context.Context) (*delivery, error) {
	for {
		d := &delivery{source: s, crew: s.crew, channel: s.channel, attempt: 1}
		again, release, err := s.crew.gate.ask(ctx, s.channel, s.durable, d.fetch)
		switch {
		case again:
			continue
		case err != nil:
			return nil, err
		case d.job == nil: // it cannot be given back
			return d, nil
		case d.wornOut():
			release()
			d.bury(errWornOut)
			continue
		}
		err = d.admit(ctx, release)
		switch {
		case err == nil:
			return d, nil
		case d.hold.isLost():
			d.over(func(*WorkerHealth) {})
		default: // the worker or the instance ends, and nothing has begun
			d.back()
		}
		return nil, err
	}
}

// fetch asks the layer for a message.
func (d *delivery) fetch(ctx context.Context) (err error) {
	defer d.crew.state.asking()()
	if !d.source.durable {
		if d.message, err = d.crew.layer.Receive(ctx, d.channel); err == nil {
			d.crew.gate.join()
			d.place = shared
			d.begin(0)
		}
		return err
	}
	if d.job, err = d.crew.layer.Take(ctx, d.channel); err == nil {
		d.message, d.attempt = d.job.Message(), d.job.Attempt()
		d.begin(d.source.lease)
	}
	return err
}

// admit waits until the job may be handled: beside others, or alone if its workers may have died of it. release lets
// another be taken.
func (d *delivery) admit(ctx context.Context, release func()) error {
	if ctx.Err() != nil {
		release()
		return ctx.Err()
	}
	g := d.crew.gate
	if !d.suspicious() {
		release()
		if err := g.share(ctx); err != nil {
			return err
		}
		d.place = shared
		return nil
	}
	g.suspect(d.source.lease)
	release()
	d.crew.logger.Warn("consumers: worker: nobody has said how a job ended, which may have killed its workers: it runs alone", d.fields(nil)...)
	if err := g.isolate(ctx); err != nil {
		return err
	}
	d.place = solitary
	return nil
}

// suspicious reports whether the job was taken more often than errors explain: the last of them buries, unless the dead
// letters are full.
func (d *delivery) suspicious() bool { return d.attempt > d.crew.attempts && !d.dead() }

// wornOut reports whether it is suspicious and was taken as often again.
func (d *delivery) wornOut() bool {
	return d.suspicious() && d.attempt-d.crew.attempts > d.crew.attempts
}

var errWornOut = errors.New("it was taken again and again, at last alone, and never ended: its workers died, or were stopped, while they handled it")
