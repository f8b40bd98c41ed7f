package layertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// patience is how long something that must happen may take. It is never waited for unless the promise is broken.
const patience = 30 * time.Second

// A node is what the checks use of a *layers.Layer. This package's own tests put wrappers in its place that break one
// promise each.
type node interface {
	NewChannel(ctx context.Context) (string, error)
	Listen(ctx context.Context, in layers.Inbox) (string, error)
	EndChannel(ctx context.Context, channel string) error
	Receive(ctx context.Context, channel string) (layers.Message, error)
	Take(ctx context.Context, queue string) (job, error)
	Send(ctx context.Context, channel string, m layers.Message) error
	GroupAdd(ctx context.Context, group, channel string) error
	GroupDiscard(ctx context.Context, group, channel string) error
	GroupSend(ctx context.Context, group string, m layers.Message) error
	Capacity(channel string) int
	Flush(ctx context.Context) error
	Close(ctx context.Context) error
}

// A backend is a harness and, in this package's own tests, what breaks a promise of it.
type backend struct {
	Harness
	wrap   func(i int, n node) node                     // nil: the layer as it is
	with   func(baggage) layers.Message                 // nil: baggageType.With
	decode func(layers.Message) (baggage, error)        // nil: baggageType.Decode
	fields func(layers.Message) (map[string]any, error) // nil: Message.Fields
}

// A trial is one run of one check with n instances.
type trial struct {
	tb    testing.TB
	b     backend
	rule  *rule
	n     int
	raw   []*layers.Layer
	nodes []node
	drops drops

	mu      sync.Mutex
	current context.Context // see ctx
}

// try runs the check and reports to tb.
func (c check) try(tb testing.TB, b backend, r *rule, n int) {
	c.run(&trial{tb: tb, b: b, rule: r, n: n})
}

// start makes the instances, in a broker of their own. A check may do so more than once.
func (t *trial) start(opts layers.Options) {
	t.tb.Helper()
	t.drops.reset()
	opts.OnDrop = t.drops.add
	t.raw = t.b.New(t.tb, opts, t.n)
	if len(t.raw) != t.n {
		t.tb.Fatalf("layertest: Harness.New returned %d layers, want %d", len(t.raw), t.n)
	}
	t.nodes = make([]node, t.n)
	for i, l := range t.raw {
		t.nodes[i] = layerNode{l}
		if t.b.wrap != nil {
			t.nodes[i] = t.b.wrap(i, layerNode{l})
		}
	}
}

// node is an instance. With fewer instances than a check has parts, they share.
func (t *trial) node(i int) node { return t.nodes[i%t.n] }

// layer is the instance behind node(i), for the harness.
func (t *trial) layer(i int) *layers.Layer { return t.raw[i%t.n] }

// brokenf ends the check: the promise is broken.
func (t *trial) brokenf(format string, args ...any) {
	t.tb.Helper()
	t.tb.Fatalf("%s:\n%s", t.rule.broken(), fmt.Sprintf(format, args...))
}

// must ends the check if something failed that a promise says works.
func (t *trial) must(err error, format string, args ...any) {
	t.tb.Helper()
	if err != nil {
		t.brokenf("%s: got error %q, want none", fmt.Sprintf(format, args...), err)
	}
}

// mustBe ends the check unless err matches want.
func (t *trial) mustBe(err, want error, format string, args ...any) {
	t.tb.Helper()
	if !errors.Is(err, want) {
		t.brokenf("%s: got %v, want an error that matches %q", fmt.Sprintf(format, args...), quoted(err), want)
	}
}

func quoted(err error) string {
	if err == nil {
		return "no error"
	}
	return fmt.Sprintf("error %q", err)
}

// ctx is a context for one call or a few, with at least half of patience left.
func (t *trial) ctx() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil {
		if limit, _ := t.current.Deadline(); time.Until(limit) > patience/2 {
			return t.current
		}
	}
	var cancel context.CancelFunc
	t.current, cancel = context.WithTimeout(context.Background(), patience)
	t.tb.Cleanup(cancel)
	return t.current
}

// repeat calls f again and again in a goroutine until stop is called, which waits for it, or the check ends.
func (t *trial) repeat(f func()) (stop func()) {
	stopping, stopped := make(chan struct{}), make(chan struct{})
	stop = sync.OnceFunc(func() { close(stopping); <-stopped })
	t.tb.Cleanup(stop)
	go func() { // ends with stop, which waits for it
		defer close(stopped)
		for {
			select {
			case <-stopping:
				return
			default:
				f()
			}
		}
	}()
	return stop
}

// eventually waits until ok says so.
func (t *trial) eventually(ok func() bool, format string, args ...any) {
	t.tb.Helper()
	if !within(patience, ok) {
		t.brokenf("%s: not within %v", fmt.Sprintf(format, args...), patience)
	}
}

// within asks ok, less and less often, until it says yes or the limit has passed.
func within(limit time.Duration, ok func() bool) bool {
	end := time.Now().Add(limit)
	for wait := time.Millisecond; !ok(); wait = min(2*wait, 250*time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
		pause(wait)
	}
	return true
}

// returns runs f and demands that it comes back.
func (t *trial) returns(f func() error, format string, args ...any) error {
	t.tb.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }() // ends with f, which the caller bounds by a ctx; waited for below
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		t.brokenf("%s: had not returned after %v", fmt.Sprintf(format, args...), patience)
		return nil
	}
}

// timed makes attempts with growing expiries until one succeeds, so that a machine that stands still for a second
// breaks no promise. In a bubble the clock is exact and there is one attempt.
func (t *trial) timed(attempt func(expiry time.Duration) error) {
	t.tb.Helper()
	var err error
	for _, expiry := range []time.Duration{3 * time.Second, 6 * time.Second, 12 * time.Second} {
		if err = attempt(expiry); err == nil || t.b.Bubble {
			break
		}
	}
	if err != nil {
		t.brokenf("%v", err)
	}
}

// begin lets goroutines that were just started get to where they wait. In a bubble they are there when it returns; in
// real time they nearly always are, and a check that finds them late misses a fault but reports none.
func begin() { pause(time.Millisecond) }

// pause lets d pass.
func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

// drops collects what the layers of a trial dropped.
type drops struct {
	mu   sync.Mutex
	seen []layers.Drop
}

func (d *drops) add(drop layers.Drop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, drop)
}

func (d *drops) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = nil
}

// full counts the drops for want of room on channel.
func (d *drops) full(channel string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, drop := range d.seen {
		if drop.Channel == channel && drop.Reason == layers.DropFull {
			n++
		}
	}
	return n
}
