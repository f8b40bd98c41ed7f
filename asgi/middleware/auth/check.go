package auth

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

const (
	checkSpread = 10 * time.Second // over which the checks of all connections are spread when the layer is back
	checkTime   = 10 * time.Second // that one may take
)

// A check is the clock of a connection: when its credentials end, or are to be looked at again. The timer's function is
// the only goroutine that it starts; stop ends it and waits for it.
type check struct {
	mu      sync.Mutex
	timer   *time.Timer
	soon    bool // the layer was away
	busy    bool // a check runs, and sets the clock afterwards
	stopped bool
	cancel  context.CancelFunc // of the one that runs
	running sync.WaitGroup
}

// arm sets the clock anew.
func (c *connection[U]) arm() {
	c.mu.Lock()
	known, expires := c.known, c.identity.Expires
	c.mu.Unlock()
	c.checks.mu.Lock()
	defer c.checks.mu.Unlock()
	after, ok := c.auth.wait(known, expires, c.checks.soon)
	switch {
	case !ok || c.checks.busy || c.checks.stopped:
	case c.checks.timer == nil:
		c.checks.timer = time.AfterFunc(after, c.tick)
	default:
		c.checks.timer.Reset(after)
	}
}

// wait is how long until the next check.
func (a *Authenticator[U]) wait(known bool, expires time.Time, soon bool) (after time.Duration, ok bool) {
	if !known {
		return 0, false
	}
	if every := a.opts.Recheck; every > 0 {
		after, ok = every-rand.N(every/10+1), true
	}
	if soon {
		after, ok = min(rand.N(checkSpread), orMax(after, ok)), true
	}
	if !expires.IsZero() {
		after, ok = min(max(0, time.Until(expires)), orMax(after, ok)), true
	}
	return after, ok
}

func orMax(d time.Duration, ok bool) time.Duration {
	if ok {
		return d
	}
	return 1<<63 - 1
}

// checkSoon has the connection checked within checkSpread.
func (c *connection[U]) checkSoon() {
	c.checks.mu.Lock()
	c.checks.soon = true
	c.checks.mu.Unlock()
	c.arm()
}

// tick is the timer's function.
func (c *connection[U]) tick() {
	ctx, ok := c.checks.begin(c.ctx)
	if !ok {
		return
	}
	defer c.checks.running.Done()
	c.check(ctx)
	c.checks.finish()
	if !c.hasEnded() {
		c.arm()
	}
}

// begin begins a check unless the connection is over.
func (k *check) begin(parent context.Context) (ctx context.Context, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped || k.busy {
		return nil, false
	}
	k.running.Add(1)
	k.busy, k.soon = true, false
	ctx, k.cancel = context.WithTimeout(parent, checkTime)
	return ctx, true
}

// finish ends what begin began.
func (k *check) finish() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy = false
	k.cancel()
}

// stop ends the clock and waits for a check that runs.
func (k *check) stop() {
	k.mu.Lock()
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
	if k.cancel != nil {
		k.cancel()
	}
	k.mu.Unlock()
	k.running.Wait()
}

// check looks at the credentials again, and ends the connection where they have ended. Those that say when they end are
// not asked then.
func (c *connection[U]) check(ctx context.Context) {
	c.mu.Lock()
	before, id, again, changes := c.identity, c.id, c.again, c.changes
	c.mu.Unlock()
	still := func() bool { return c.changes == changes } // nobody has logged in or out meanwhile
	switch {
	case again == nil: // logged out
		return
	case expired(before):
		c.end("credentials expired", still)
		return
	}
	c.auth.join(ctx, c) // again, where it has failed before
	fresh, err := safely(ctx, func(ctx context.Context) (Identity[U], error) {
		fresh, err := again(ctx)
		if err == nil && (c.auth.opts.ID(fresh.User) != id || fresh.Session != before.Session || expired(fresh)) {
			err = ErrInvalid
		}
		return fresh, err
	})
	switch {
	case errors.Is(err, ErrInvalid):
		c.end("credentials ended", still)
	case err == nil:
		c.mu.Lock()
		defer c.mu.Unlock()
		if still() {
			c.identity = fresh
		}
	case c.ctx.Err() == nil && !c.checks.isStopped():
		c.auth.warn(c, "credentials could not be checked, the connection stays until the next check", err)
	}
}

// safely makes an error of a panic, since nobody else is there on a timer's goroutine.
func safely[U any](ctx context.Context, again func(context.Context) (Identity[U], error)) (id Identity[U], err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &asgi.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return again(ctx)
}

func (k *check) isStopped() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stopped
}
