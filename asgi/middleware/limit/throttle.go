package limit

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tideway-go/tideway/asgi"
)

// A throttle stands before the Receive of one WebSocket. What it knows is Receive's, of which no two calls overlap.
type throttle struct {
	messages, bytes *rate.Limiter // nil: no limit
	close           bool
	inner           asgi.Receive
	out             asgi.Send
	flushes         bool // the server holds messages back, and takes a flush

	due   time.Time // when the client may be heard again
	ended bool      // closed for what it sent

	closing chan struct{} // closed when the app closes
	once    sync.Once
}

func newThrottle(o *Options, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) *throttle {
	t := &throttle{close: o.Close, inner: receive, out: send, closing: make(chan struct{})}
	if o.Messages.limits() {
		t.messages = o.Messages.limiter()
	}
	if o.Bytes.limits() {
		t.bytes = o.Bytes.limiter()
	}
	_, t.flushes = scope.Extension("websocket.flush")
	return t
}

// receive is the app's Receive. A message is handed on as it comes, and paid for before the next one is read.
func (t *throttle) receive(ctx context.Context) (asgi.Event, error) {
	if !t.due.IsZero() {
		if err := t.wait(ctx); err != nil {
			return nil, err
		}
	}
	event, err := t.inner(ctx)
	message, ok := event.(asgi.WebSocketReceive)
	if err != nil || !ok || t.ended {
		return event, err
	}
	size := len(message.Frame.Data)
	if !t.close {
		t.charge(size)
		return event, nil
	}
	why := t.excess(size)
	if why == "" {
		return event, nil
	}
	if err := t.out(ctx, asgi.WebSocketClose{Code: policyViolation, Reason: why}); err != nil && !errors.Is(err, asgi.ErrClosed) {
		return nil, err
	}
	t.ended = true
	return t.inner(ctx) // the disconnect
}

// send is the app's Send.
func (t *throttle) send(ctx context.Context, event asgi.Event) error {
	if _, ok := event.(asgi.WebSocketClose); ok {
		t.once.Do(func() { close(t.closing) })
	}
	return t.out(ctx, event)
}

// wait waits until the client may be heard. The server does not know that Receive waits, so what it holds back is flushed.
func (t *throttle) wait(ctx context.Context) error {
	if left := time.Until(t.due); left > 0 {
		if t.flushes {
			_ = t.out(ctx, asgi.WebSocketFlush{}) // what is wrong with the connection is heard below
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-t.closing:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	t.due = time.Time{}
	return nil
}

// charge takes a message from both buckets. A bucket that does not hold enough says when it will.
func (t *throttle) charge(size int) {
	now := time.Now()
	if delay := max(take(t.messages, now, 1), take(t.bytes, now, size)); delay > 0 {
		t.due = now.Add(delay)
	}
}

func take(bucket *rate.Limiter, now time.Time, n int) (delay time.Duration) {
	if bucket == nil || bucket.AllowN(now, n) {
		return 0
	}
	for burst := bucket.Burst(); n > 0; n -= burst { // it takes no more than a burst in one reservation
		delay = bucket.ReserveN(now, min(n, burst)).DelayFrom(now)
	}
	return delay
}

// excess takes a message from both buckets, and says what is too much.
func (t *throttle) excess(size int) string {
	now := time.Now()
	switch {
	case t.messages != nil && !t.messages.AllowN(now, 1):
		return "too many messages"
	case t.bytes != nil && !t.bytes.AllowN(now, min(size, t.bytes.Burst())):
		return "too many bytes"
	}
	return ""
}
