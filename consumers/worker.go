package consumers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A Worker runs consumers of named channels: queues that any process can send to.
//
//	w := consumers.Worker{
//		Layer:       layer,
//		App:         routing.Channels(map[string]asgi.App{"thumbnails": Thumbnails}),
//		Channels:    []string{"thumbnails"},
//		Concurrency: 4,
//	}
//	err := w.Run(ctx)
//
// What a channel is decides its layer. A plain queue is served at most once: a message goes to one worker, and one whose
// handler fails is lost. A queue that the layer's options declare durable ([layers.Durable]) is served at least once: its
// messages, jobs, are done when their handler has returned nil, or [ErrStop], or an [asgi.CloseError] as it is. After an error
// or a panic a job is tried again, later and later; after Attempts it is buried in the queue of dead letters
// ([layers.DeadLetters]), as is, at once, one of a type that is not listed and one whose payload cannot be decoded. When
// a worker dies, another takes its jobs over. So a handler may run twice for one job, and should do no harm then.
//
// A job that kills its worker takes those with it that run beside it. Nobody can tell which of them it was, so all are
// tried again, and after Attempts each is tried alone, where only that one job dies of it: the others are done, and it is
// buried. For a while after its start a worker takes one job of a channel at a time, for the same reason.
//
// On either, what is wrong with one message harms that one alone: a failure is logged, once, and a fresh instance goes on.
//
// Dead letters are a durable queue, which a worker may serve: with a repaired handler, say. There is nowhere to bury them;
// after Attempts a dead letter is tried again every hour, until it is too old.
//
// # Apps that are no tables
//
// App may be any [asgi.App], with middleware around it. It gets its messages from receive, as [ChannelMessage]. Calling
// receive again says that the last one is done, and so does returning nil; returning an error says that it has failed.
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
	// Attempts is how often a job is tried before it is buried; default 5. A try that a crash ended counts, and one that
	// StopTime did. A job that was taken more often has killed its workers, or ran beside one that did. It is tried up to
	// as often again, but alone: the worker waits for what it handles, on all its channels, and begins nothing else until
	// the job has ended. One taken more than twice Attempts is buried without being tried.
	Attempts int
	// Backoff is how long after its first, second, ... attempt has failed a job is tried again. Default: 1 s, doubled up to
	// 1 min, up to half of it less at random.
	Backoff func(attempt int) time.Duration
	// StopTime is how long handlers that run at the end of Run's ctx may go on before their own ctx ends; default 10 s. Jobs
	// of those that it ends are given back. Run waits for a handler that ignores its ctx, and names it in the log 10 s later.
	StopTime time.Duration
	// Logger is for failures, and for the consumers that run. Default: warnings and errors to stderr; zap.NewNop() is
	// silence.
	Logger *zap.Logger

	state *workerState // of Health; a pointer, so that a declaration may be copied
}

const (
	defaultAttempts = 5
	defaultStopTime = 10 * time.Second
)

// A crew is one Run of a Worker.
type crew struct {
	layer    *layers.Layer
	app      asgi.App
	attempts int
	backoff  func(attempt int) time.Duration
	logger   *zap.Logger
	state    *workerState
	gate     *gate
	taking   context.Context // while messages are taken
	handlers context.Context // of the handlers: ends later
}

// Run serves until ctx ends, then lets the handlers that run finish, and returns nil. Messages that were not begun stay
// in their channel. Where handlers heed their ctx that takes no longer than StopTime, and 10 s for each answer that the
// layer owes. An error means that the worker could not go on: it is misconfigured, or the layer was closed.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.check(); err != nil {
		return err
	}
	state := w.getState()
	defer state.run()()
	handlers, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	taking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stopCut := context.AfterFunc(taking, func() { w.cutLater(handlers, cut) })
	defer stopCut()

	c := &crew{layer: w.Layer, app: w.App, attempts: w.Attempts, backoff: w.Backoff, logger: w.Logger,
		state: state, gate: newGate(w.Channels), taking: taking, handlers: handlers}
	if c.attempts == 0 {
		c.attempts = defaultAttempts
	}
	if c.backoff == nil {
		c.backoff = backoff
	}
	if c.logger == nil {
		c.logger = toStderr()
	}
	var (
		instances sync.WaitGroup
		once      sync.Once
		failure   error
	)
	for _, channel := range w.Channels {
		if lease, durable := w.Layer.Durable(channel); durable { // what this worker held when it died comes back together
			c.gate.beCareful(lease.Lease)
		}
		for range max(1, w.Concurrency) {
			start(&instances, func() {
				if err := c.serve(channel); err != nil {
					once.Do(func() { failure = err; stop(err) })
				}
			})
		}
	}
	instances.Wait()
	return failure
}

// start runs an instance, and another in its place when a handler has ended its goroutine by runtime.Goexit.
func start(instances *sync.WaitGroup, serve func()) {
	instances.Go(func() {
		returned := false
		defer func() {
			if !returned {
				start(instances, serve)
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
	case w.Attempts < 0:
		return fmt.Errorf("consumers: worker: Attempts is %d: give the number of times that a job is tried, 1 for once", w.Attempts)
	}
	for i, channel := range w.Channels {
		if slices.Contains(w.Channels[:i], channel) {
			return fmt.Errorf("consumers: worker: Channels names %q twice: name it once, and set Concurrency to handle more at once", channel)
		}
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
		limit = defaultStopTime
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-late.C:
		cut(asgi.DisconnectError{By: asgi.ByServer, Reason: "worker stops"})
	case <-handlers.Done():
	}
}

// toStderr is the logger of a worker that was given none.
func toStderr() *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), zap.WarnLevel))
}

// refuse is the send of a worker: there is nobody to send to.
func refuse(_ context.Context, ev asgi.Event) error {
	return fmt.Errorf("consumers: %q cannot be sent from a worker: answer by a message to the channel that asked", ev.EventType())
}
