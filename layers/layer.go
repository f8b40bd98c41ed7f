package layers

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// Layer lets any process of an application send to any connection. Backends make it: memlayer.New, natslayer.Open.
//
// All methods may be called from any goroutine, from outside consumers as well, and those of a nil *Layer return
// [ErrNoLayer]. None waits for a handler or a mailbox.
type Layer struct {
	driver driver.Driver
	opts   Options
	count  counters
	closed atomic.Bool
	life   context.Context // ends, with ErrClosed as cause, when the layer is closed
	end    context.CancelCauseFunc

	mu    sync.Mutex
	boxes map[string]*mailbox // of the channels of NewChannel

	outages    sync.Mutex
	lastOutage Outage
	isOut      bool
}

// New makes a layer over a backend. Applications call the backend's own constructor, which calls this. It panics on
// options that cannot work.
func New(d driver.Driver, opts *Options) *Layer {
	if d == nil {
		panic("layers: New(nil, ...): a layer needs a driver; applications write memlayer.New(nil)")
	}
	l := &Layer{driver: d, opts: opts.withDefaults(), boxes: make(map[string]*mailbox)}
	l.life, l.end = context.WithCancelCause(context.Background())
	l.life.Done() // made here, not by the first Receive: that may be in a synctest bubble, the second in another
	l.start()
	return l
}

// ready is what every method asks first.
func (l *Layer) ready(ctx context.Context) error {
	switch {
	case l == nil:
		return ErrNoLayer
	case l.closed.Load():
		return ErrClosed
	default:
		return ctx.Err()
	}
}

// Send sends m to one channel: of a connection anywhere ("!" in its name), or a queue. It never waits for the receiver. When
// it has returned nil for a durable queue, the job is stored.
//
// [ErrChannelFull]: the receiver is too slow, nothing was stored. [ErrNoChannel]: the connection is gone, forget its
// name. [ErrMessageTooLarge]. [ErrUncertain]: the owner did not answer. Invalid names and messages are errors too.
func (l *Layer) Send(ctx context.Context, channel string, m Message) error {
	if err := l.ready(ctx); err != nil {
		return err
	}
	if err := l.sendable(l.checkAddress(channel), m); err != nil {
		return &opError{"send to", channel, err}
	}
	var err error
	if l.opts.Propagator == nil && m.m.Trace() == "" {
		err = l.driver.Send(ctx, channel, l.arrive(m.m))
	} else {
		err = l.trace(ctx, m, func(m *driver.Message) error { return l.driver.Send(ctx, channel, m) })
	}
	if err != nil {
		err = l.failed("send to", channel, err)
		if errors.Is(err, ErrChannelFull) {
			l.count.refused.Add(1)
		}
		return err
	}
	l.count.sent.Add(1)
	return nil
}

// checkAddress says what is wrong with the name of a channel to send to, or to wait at.
func (l *Layer) checkAddress(channel string) error {
	if err := checkChannel(channel); err != nil || len(l.opts.Durables) == 0 {
		return err
	}
	return l.checkDurable(channel)
}

// sendable says what is wrong with a message, or with the name it goes to.
func (l *Layer) sendable(name error, m Message) error {
	if name != nil {
		return name
	}
	if err := m.problem(); err != nil {
		return err
	}
	if reserved(m.Type()) {
		return errors.New("type " + quote(m.Type()) + " is reserved: types that begin with \"layer.\" are the layer's own")
	}
	if m.Size() > l.opts.MaxMessageSize {
		return &tooLargeError{m.Size(), l.opts.MaxMessageSize}
	}
	return nil
}

// arrive stamps a message: it is sent now, and arrives now where it stays in this process.
func (l *Layer) arrive(m *driver.Message) *driver.Message { return m.Arrive(time.Now(), l.opts.Expiry) }

// Close ends the layer: its channels and memberships end, what is buffered is sent within ctx, waiting Receives and
// all later calls return [ErrClosed]. Closing twice is no error.
func (l *Layer) Close(ctx context.Context) error {
	if l == nil {
		return ErrNoLayer
	}
	if l.closed.Swap(true) {
		return nil
	}
	l.end(ErrClosed)
	l.mu.Lock()
	for _, b := range l.boxes {
		b.end()
	}
	clear(l.boxes)
	l.mu.Unlock()
	if err := l.driver.Close(ctx); err != nil {
		return &opError{op: "close", cause: err}
	}
	return nil
}
