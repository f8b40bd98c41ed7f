package layertest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
)

var closing = rule{
	number: 16,
	promise: "Close first sends what is buffered, or says what it could not; after it everything is ErrClosed; nothing " +
		"leaks",
	checks: []check{
		{name: "what was sent before Close arrives", cluster: true, run: sentBeforeClose},
		{name: "a Receive that waits ends with ErrClosed", run: receiveEnds},
		{name: "every method returns ErrClosed after Close", run: allClosed},
		{name: "what runs during Close succeeds or is ErrClosed", run: closeUnderFire},
		{name: "the members of a closed instance are gone and the others go on", cluster: true, run: othersGoOn},
		{name: "no goroutine is left", run: noGoroutine},
	},
}

func sentBeforeClose(t *trial) {
	t.start(layers.Options{Capacity: 1000})
	m := t.mailbox(1)
	t.join("room", m)
	t.groupSend(t.node(0), "room", until(200)...)
	t.must(t.node(0).Close(t.ctx()), "Close")
	m.exactly(t.node(2), "200 messages that were sent before Close", until(200)...)
}

func receiveEnds(t *trial) {
	t.start(layers.Options{})
	members := []*member{t.mailbox(0)}
	if !t.b.Exceptions.NoQueues {
		members = append(members, t.queue(0, "jobs"))
	}
	ended := make(chan error, len(members))
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	for _, m := range members {
		go func() { // ends with the layer, or with ctx; waited for below
			_, err := m.next(ctx)
			ended <- err
		}()
	}
	begin()
	t.must(t.node(0).Close(t.ctx()), "Close")
	for range members {
		err := t.returns(func() error { return <-ended }, "a Receive that waited during Close")
		t.mustBe(err, layers.ErrClosed, "a Receive that waited during Close")
	}
}

func allClosed(t *trial) {
	t.start(layers.Options{})
	n, m := t.node(0), t.mailbox(0)
	t.must(n.Close(t.ctx()), "Close")
	ctx, msg := t.ctx(), noteType.With(note{})
	for method, call := range map[string]func() error{
		"NewChannel":       func() error { _, err := n.NewChannel(ctx); return err },
		"Listen":           func() error { _, err := n.Listen(ctx, newInbox(-1)); return err },
		"EndChannel":       func() error { return n.EndChannel(ctx, m.channel) },
		"Receive":          func() error { _, err := n.Receive(ctx, m.channel); return err },
		"Receive of queue": func() error { _, err := n.Receive(ctx, "jobs"); return err },
		"Take":             func() error { _, err := n.Take(ctx, "work"); return err },
		"Send":             func() error { return n.Send(ctx, m.channel, msg) },
		"Send to queue":    func() error { return n.Send(ctx, "jobs", msg) },
		"GroupAdd":         func() error { return n.GroupAdd(ctx, "room", m.channel) },
		"GroupDiscard":     func() error { return n.GroupDiscard(ctx, "room", m.channel) },
		"GroupSend":        func() error { return n.GroupSend(ctx, "room", msg) },
		"Flush":            func() error { return n.Flush(ctx) },
	} {
		t.mustBe(t.returns(call, "%s after Close", method), layers.ErrClosed, "%s after Close", method)
	}
	if err := n.Close(ctx); err != nil && !errors.Is(err, layers.ErrClosed) {
		t.brokenf("Close for the second time: got %s", quoted(err))
	}
}

// closeUnderFire closes an instance while goroutines use it until they are refused.
func closeUnderFire(t *trial) {
	t.start(layers.Options{Capacity: 1_000_000})
	n, m, msg, ctx := t.node(0), t.mailbox(1), noteType.With(note{N: 1}), t.ctx()
	t.join("room", m)
	calls := map[string]func() error{
		"Send":       func() error { return forgive(n.Send(ctx, m.channel, msg), layers.ErrChannelFull, layers.ErrNoChannel) },
		"GroupSend":  func() error { return n.GroupSend(ctx, "room", msg) },
		"NewChannel": func() error { _, err := n.NewChannel(ctx); return err },
		"GroupAdd":   func() error { return forgive(n.GroupAdd(ctx, "hall", m.channel), layers.ErrNoChannel) },
	}
	type result struct {
		method string
		err    error
	}
	refused := make(chan result, len(calls))
	var begun sync.WaitGroup
	for method, call := range calls {
		begun.Add(1)
		go func() { // ends with the first error, at the latest that of ctx; waited for below
			err := call()
			begun.Done()
			for err == nil {
				pause(time.Millisecond)
				err = call()
			}
			refused <- result{method, err}
		}()
	}
	begun.Wait()
	t.must(n.Close(t.ctx()), "Close")
	for range calls {
		r := <-refused
		t.mustBe(r.err, layers.ErrClosed, "%s during Close", r.method)
	}
}

// forgive returns nil in place of an error that matches one of those.
func forgive(err error, those ...error) error {
	for _, e := range those {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

func othersGoOn(t *trial) {
	t.start(layers.Options{})
	gone, in, stays := t.mailbox(0), t.listener(0), t.mailbox(1)
	t.join("room", gone, in, stays)
	t.must(t.node(0).Close(t.ctx()), "Close")
	t.groupSend(t.node(2), "room", 1)
	stays.exactly(t.node(2), "a member of an instance that goes on", 1)
	if n := in.inbox.count(); n > 0 {
		t.brokenf("an Inbox of a closed instance was given %d messages", n)
	}
}

// noGoroutine uses the instances, closes them, lets the harness clean up, and demands that every goroutine that began
// meanwhile has ended.
func noGoroutine(t *trial) {
	before := goroutines()
	func() {
		harness := &scope{TB: t.tb}
		defer harness.end()
		inner := &trial{tb: harness, b: t.b, rule: t.rule, n: t.n}
		inner.start(layers.Options{})
		for _, k := range kinds {
			m := k.open(inner, 1)
			inner.join(k.name, m)
			inner.groupSend(inner.node(0), k.name, 1)
			inner.send(inner.node(2), m.channel, 2)
		}
		if !t.b.Exceptions.NoQueues {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_, _ = inner.node(0).Receive(ctx, "jobs")
		}
		for i, n := range inner.nodes {
			t.must(n.Close(t.ctx()), "Close of instance %d", i)
		}
	}()
	var left []string
	ended := within(patience, func() bool {
		left = left[:0]
		for id, stack := range goroutines() {
			if before[id] == "" {
				left = append(left, stack)
			}
		}
		return len(left) == 0
	})
	if !ended {
		t.brokenf("%d goroutines have not ended %v after Close, one of them: %s", len(left), patience, left[0])
	}
}

// goroutines are the stacks of all goroutines but the caller's, by number.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := map[string]string{}
	for i, stack := range strings.Split(string(buf), "\n\n") {
		if i == 0 { // the caller
			continue
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		all[id] = stack
	}
	return all
}

// scope is a testing.TB whose clean-up comes before the test's.
type scope struct {
	testing.TB
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) end() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
	s.cleanups = nil
}
