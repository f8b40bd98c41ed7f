package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A Worker runs consumers of named channels: queues that any process can send to. A message goes to one worker, at most
// once. A handler that fails or panics harms its message alone: the failure is logged and a fresh instance goes on.
//
//	w := consumers.Worker{
//		Layer:       layer,
//		App:         routing.Channels(map[string]asgi.App{"thumbnails": Thumbnails}),
//		Channels:    []string{"thumbnails"},
//		Concurrency: 4,
//	}
//	err := w.Run(ctx)
//
// Channels: runworker.
type Worker struct {
	// Layer is where the channels are. Required.
	Layer *layers.Layer
	// App serves scopes of type "channel", usually by [github.com/tideway-go/tideway/routing.Channels]. Required.
	App asgi.App
	// Channels are the names of the channels to serve. At least one; none of them process-local.
	Channels []string
	// Concurrency is how many messages of one channel are handled at once, each by an instance of its own; default 1.
	Concurrency int
	// StopTime is how long handlers that run at the end of Run's ctx may go on before their own ctx ends; default 10 s.
	StopTime time.Duration
	// Logger is for failures, and for the consumers that run. Default: warnings and errors to stderr; zap.NewNop() is
	// silence.
	Logger *zap.Logger
}

// Run serves until ctx ends, then lets the handlers that run finish, and returns nil. Messages that were not begun stay
// in their channel. An error means that the worker could not go on: it is misconfigured, or the layer was closed.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.check(); err != nil {
		return err
	}
	if w.Logger == nil {
		withLogger := *w
		withLogger.Logger = toStderr()
		w = &withLogger
	}
	handlers, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	taking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stopCut := context.AfterFunc(taking, func() { w.cutLater(handlers, cut) })
	defer stopCut()

	var (
		instances sync.WaitGroup
		once      sync.Once
		failure   error
	)
	for _, channel := range w.Channels {
		for range max(1, w.Concurrency) {
			w.start(&instances, channel, func() {
				if err := w.serve(taking, handlers, channel); err != nil {
					once.Do(func() { failure = err; stop(err) })
				}
			})
		}
	}
	instances.Wait()
	return failure
}

// start runs an instance, and another in its place when a handler has ended its goroutine by runtime.Goexit.
func (w *Worker) start(instances *sync.WaitGroup, channel string, serve func()) {
	instances.Go(func() {
		returned := false
		defer func() {
			if !returned {
				w.log(channel, errGoexit)
				w.start(instances, channel, serve)
			}
		}()
		serve()
		returned = true
	})
}

// check returns what is wrong with the declaration.
func (w *Worker) check() error {
	switch {
	case w.Layer == nil:
		return fmt.Errorf("consumers: worker: %w", (*layers.Layer)(nil).Close(context.Background()))
	case w.App == nil:
		return errors.New("consumers: worker: App is nil: set it to routing.Channels of the consumers to run")
	case len(w.Channels) == 0:
		return errors.New("consumers: worker: Channels is empty: name the channels to serve")
	case w.Concurrency < 0:
		return fmt.Errorf("consumers: worker: Concurrency is %d: give the number of messages of one channel to handle at once", w.Concurrency)
	}
	for _, channel := range w.Channels {
		if strings.Contains(channel, "!") {
			return fmt.Errorf("consumers: worker: channel %q belongs to one connection: give queues a name without %q", channel, "!")
		}
	}
	return nil
}

// cutLater ends the handlers' ctx when they have had their time to stop.
func (w *Worker) cutLater(handlers context.Context, cut context.CancelCauseFunc) {
	limit := w.StopTime
	if limit == 0 {
		limit = 10 * time.Second
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-late.C:
		cut(asgi.DisconnectError{By: asgi.ByServer, Reason: "worker stops"})
	case <-handlers.Done():
	}
}

// serve runs one instance of the channel's consumer after the other until taking ends. Only a closed layer is an error.
func (w *Worker) serve(taking, handlers context.Context, channel string) error {
	scope := LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.Channel, Channel: channel}), w.Layer)
	scope = asgi.LoggerKey.With(scope, w.Logger)
	worked := false // an instance has come so far as to ask for a message
	for failures := 0; ; {
		source := &source{layer: w.Layer, taking: taking, channel: channel}
		err := guard(func() error { return w.App.Serve(handlers, scope, source.receive, refuse) })
		if taking.Err() != nil {
			w.log(channel, err)
			return nil
		}
		worked = worked || source.asked
		if cause := source.hopeless(err, worked); cause != nil {
			return fmt.Errorf("consumers: worker: channel %q: %w", channel, cause)
		}
		w.log(channel, cmp.Or(source.err, err))
		if source.taken > 0 {
			failures = 0
			continue
		}
		failures++
		pause(taking, failures)
	}
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

// toStderr is the logger of a worker that was given none.
func toStderr() *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), zap.WarnLevel))
}

func (w *Worker) log(channel string, err error) {
	if err == nil || errors.Is(err, asgi.ErrClosed) {
		return
	}
	fields := []zap.Field{zap.String("channel", channel), zap.Error(err)}
	var p *asgi.PanicError
	if errors.As(err, &p) {
		fields = append(fields, zap.ByteString("stack", p.Stack))
	}
	w.Logger.Error("consumers: worker: a message has failed", fields...)
}

// A source is what one instance receives: the messages of its channel, until the worker stops.
type source struct {
	layer   *layers.Layer
	taking  context.Context
	channel string
	asked   bool
	taken   int
	err     error // what ended it
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

func (s *source) receive(ctx context.Context) (asgi.Event, error) {
	s.asked = true
	if s.taking.Err() != nil { // AfterFunc would come too late
		return nil, fmt.Errorf("consumers: worker: %w: it stops", asgi.ErrClosed)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.taking, func() { cancel(asgi.ErrClosed) })()
	m, err := s.layer.Receive(ctx, s.channel)
	if err != nil {
		if ctx.Err() == nil {
			s.err = err
		}
		return nil, fmt.Errorf("consumers: worker: %w: %w", asgi.ErrClosed, err)
	}
	s.taken++
	return channelMessage{m}, nil
}

// refuse is the send of a worker: there is nobody to send to.
func refuse(_ context.Context, ev asgi.Event) error {
	return fmt.Errorf("consumers: %q cannot be sent from a worker: answer by a message to the channel that asked", ev.EventType())
}
