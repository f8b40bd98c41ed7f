package asgitest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// A link joins the two ends of a connection in memory: events that the client gives wait in `in` until the app receives
// them, events that the app sends wait in `out` until the test reads them. Both directions are bounded.
//
// All fields are guarded by mu. Whoever changes something that another waits for calls notify.
type link struct {
	limits Options
	least  int // what any event counts at least

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, by notify

	in        []asgi.Event
	inSize    int
	inOver    bool // nothing follows what is in `in`
	receiving bool // the app waits in Receive

	out     []asgi.Event
	held    []asgi.Event // sent with More: they follow `out` when released
	outSize int          // of out and held
	outOver bool         // nothing follows what is in `out`
	sending int          // calls of Send that wait for room
	stall   *time.Timer  // runs while the queue is full
	onStall func()       // called with mu held when the client has read nothing for too long

	returned bool // Serve has, and run.done is about to be closed
	verdict  int  // events at the end of `out` that are the server's own answer to how Serve returned
	ended    bool // Send returns ErrClosed
	cause    asgi.DisconnectError
	cancel   context.CancelCauseFunc
	patience *time.Timer // runs from an orderly end to the end of ctx
}

var errOverlap = errors.New("asgitest: two calls of Receive overlap: one goroutine at a time may wait for the next event")

// open makes the link ready and returns the ctx for Serve.
func (l *link) open(limits Options) context.Context {
	l.limits = limits
	l.changed = make(chan struct{})
	var ctx context.Context
	ctx, l.cancel = context.WithCancelCause(context.Background())
	return ctx
}

// notify wakes everyone who waits, so that they look again.
func (l *link) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// await waits with mu held, letting go of it meanwhile, until ready says true. It looks before it heeds ctx, whose cause
// it returns.
func (l *link) await(ctx context.Context, ready func() bool) error {
	for !ready() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		l.mu.Lock()
	}
	return nil
}

// receive is the app's [asgi.Receive].
func (l *link) receive(ctx context.Context) (asgi.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.receiving {
		return nil, errOverlap
	}
	l.receiving = true
	defer func() { l.receiving = false }()
	if len(l.in) == 0 {
		l.release() // the server is about to wait for the client, who may be waiting for this
	}
	if err := l.await(ctx, func() bool { return len(l.in) > 0 || l.inOver }); err != nil {
		return nil, err
	}
	if len(l.in) == 0 {
		return nil, asgi.ErrClosed
	}
	event := l.in[0]
	l.in[0] = nil
	l.in = l.in[1:]
	l.inSize -= l.size(event)
	l.notify()
	return event, nil
}

// give is what the client sends: it waits while the app has too much unread. Nothing is taken after the end.
func (l *link) give(ctx context.Context, event asgi.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.size(event)
	room := func() bool { return l.inOver || len(l.in) == 0 || l.inSize+n <= l.limits.Queue }
	if err := l.await(ctx, room); err != nil {
		return err
	}
	if l.inOver {
		return asgi.ErrClosed
	}
	l.in = append(l.in, event)
	l.inSize += n
	l.notify()
	return nil
}

// lastIn leaves event as the last one for the app; keep says whether what waits is still delivered before it.
func (l *link) lastIn(event asgi.Event, keep bool) {
	if !keep {
		l.in, l.inSize = nil, 0
	}
	if event != nil {
		l.in = append(l.in, event)
		l.inSize += l.size(event)
	}
	l.inOver = true
	l.notify()
}

// reserve waits with mu held until n more bytes fit, as [asgi.Send] promises.
func (l *link) reserve(ctx context.Context, n int) error {
	if l.ended {
		return asgi.ErrClosed
	}
	if l.fits(n) {
		return nil
	}
	l.release() // full: what was held back goes first
	l.startStall()
	if ctx.Err() != nil {
		return asgi.ErrFull
	}
	l.sending++
	defer func() { l.sending-- }()
	room := func() bool {
		if l.ended || l.fits(n) {
			return true
		}
		l.startStall() // anew when the client has read, but not enough
		return false
	}
	if err := l.await(ctx, room); err != nil {
		return fmt.Errorf("%w: %w", asgi.ErrFull, err)
	}
	if l.ended {
		return asgi.ErrClosed
	}
	return nil
}

func (l *link) fits(n int) bool { return l.outSize == 0 || l.outSize+n <= l.limits.Queue }

// emit appends event for the client, after what was held back.
func (l *link) emit(event asgi.Event) {
	l.held = append(l.held, event)
	l.outSize += l.size(event)
	l.release()
}

// hold appends event behind what is held back already.
func (l *link) hold(event asgi.Event) {
	l.held = append(l.held, event)
	l.outSize += l.size(event)
}

// release lets the client see what was held back.
func (l *link) release() {
	if len(l.held) == 0 {
		return
	}
	l.out = append(l.out, l.held...)
	l.held = nil
	l.notify()
}

// next is what the test reads: the app's next event, [asgi.ErrClosed] after the last.
func (l *link) next(ctx context.Context) (asgi.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.await(ctx, func() bool { return len(l.out) > 0 || l.outOver }); err != nil {
		return nil, err
	}
	if len(l.out) == 0 {
		return nil, asgi.ErrClosed
	}
	event := l.out[0]
	l.out[0] = nil
	l.out = l.out[1:]
	l.outSize -= l.size(event)
	stop(&l.stall)
	l.notify()
	return event, nil
}

// judged reports whether the test has read of the server's answer to how Serve returned.
func (l *link) judged() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.out) < l.verdict
}

// startStall begins to count the time in which the client reads nothing though the queue is full.
func (l *link) startStall() {
	if l.stall != nil || l.limits.WriteTimeout < 0 || l.onStall == nil {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(l.limits.WriteTimeout, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.stall == t && !l.ended {
			l.onStall()
		}
	})
	l.stall = t
}

// answered counts the events that follow the first n as the server's own.
func (l *link) answered(n int) { l.verdict = len(l.out) - n }

// judge notes that Serve has returned, and whether that was a failure.
func (l *link) judge(r *run) {
	l.returned = true
	r.failed = failure(r.err, l.ended)
}

// finish ends the app's side: Send returns ErrClosed from now on, and ctx ends when the grace is over.
func (l *link) finish(cause asgi.DisconnectError, grace time.Duration) {
	l.ended, l.cause = true, cause
	stop(&l.stall)
	stop(&l.patience)
	if grace > 0 {
		l.patience = time.AfterFunc(grace, func() { l.cancel(cause) })
	} else {
		l.cancel(cause)
	}
	l.notify()
}

// hurry ends ctx at once where the connection has ended and ctx has not.
func (l *link) hurry() {
	stop(&l.patience)
	l.cancel(l.cause)
}

// How long the ctx of an app outlasts its connection: not at all when it was lost, else as in asgi/server.
const (
	lost            = time.Duration(0)
	appCloseTimeout = 10 * time.Second
	shutdownGrace   = 5 * time.Second
)

// stop ends a timer that may not run.
func stop(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}

// frameHeader is what an event counts besides its payload, so that empty ones are bounded too.
const frameHeader = 10

// size is what an event counts in a queue.
func (l *link) size(event asgi.Event) int {
	n := frameHeader
	switch e := event.(type) {
	case asgi.WebSocketSend:
		n += len(e.Frame.Data)
	case asgi.WebSocketReceive:
		n += len(e.Frame.Data)
	case asgi.HTTPRequest:
		n += len(e.Body)
	case asgi.HTTPResponseBody:
		n += len(e.Body)
	case asgi.WebSocketHTTPResponseBody:
		n += len(e.Body)
	default:
		if once(event) {
			n = 0
		}
	}
	return max(n, l.least)
}

// once tells the events that a connection has at most once, and that therefore need no room, from those that wait for it.
func once(event asgi.Event) bool {
	switch event.(type) {
	case asgi.WebSocketAccept, asgi.WebSocketClose, asgi.WebSocketFlush, asgi.WebSocketHTTPResponseStart, asgi.HTTPResponseStart:
		return true
	}
	return false
}
