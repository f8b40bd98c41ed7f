package consumers

import (
	"context"
	"sync"
	"time"
)

// A life is the ctx of a connection's handlers. It behaves as one made by [context.WithCancelCause], but makes that only
// when somebody waits for it or asks it for a value: an idle connection does without.
type life struct {
	base context.Context

	mu    sync.Mutex
	inner *innerLife
	cause error // with which it was ended
	ended bool
}

type innerLife struct {
	context.Context
	stop context.CancelCauseFunc
}

// end cancels the ctx with a cause. The first cause stays.
func (l *life) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended, l.cause = true, cause
	if l.inner != nil {
		l.inner.stop(cause)
	}
}

// made returns the inner ctx.
func (l *life) made() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner == nil {
		ctx, stop := context.WithCancelCause(l.base)
		l.inner = &innerLife{ctx, stop}
		if l.ended {
			l.inner.stop(l.cause)
		}
	}
	return l.inner
}

// Deadline is that of Serve's ctx.
func (l *life) Deadline() (time.Time, bool) { return l.base.Deadline() }

// Done is closed when the connection has ended.
func (l *life) Done() <-chan struct{} { return l.made().Done() }

// Err is nil while the connection lasts.
func (l *life) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.inner != nil:
		return l.inner.Err()
	case l.ended:
		return context.Canceled
	}
	return l.base.Err()
}

// Value is also how [context.Cause] finds the cause, so it asks the inner ctx.
func (l *life) Value(key any) any { return l.made().Value(key) }

// A workContext is the ctx of [Conn.Go]: what is sent with it is written at once, even while a handler runs.
type workContext struct{ context.Context }

type workKey struct{}

// Value also answers for ctxs made of this one.
func (w workContext) Value(key any) any {
	if key == (workKey{}) {
		return true
	}
	return w.Context.Value(key)
}

// ofWork reports whether ctx comes from [Conn.Go].
func ofWork(ctx context.Context) bool {
	if _, handler := ctx.(*life); handler {
		return false
	}
	return ctx.Value(workKey{}) != nil
}
