package redislayer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
)

// kinds are both layers.
var kinds = map[string]func(*bed, func(*Options)) *process{"Core": (*bed).process, "PubSub": (*bed).pubsub}

// Commands in flight fail within their ctx, also when Redis says nothing at all.
func TestSilence(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 1)
			p, q := open(b, nil), open(b, nil)
			mine, theirs, ended := p.channel(), q.channel(), p.channel()
			p.join("room", mine)
			p.join("lobby", ended)
			p.cable.Stall()
			for op, call := range map[string]func(context.Context) error{
				"Send":      func(ctx context.Context) error { return p.Send(ctx, theirs, note.With(text{"a"})) },
				"GroupSend": func(ctx context.Context) error { return p.GroupSend(ctx, "room", note.With(text{"a"})) },
				"GroupAdd":  func(ctx context.Context) error { return p.GroupAdd(ctx, "hall", mine) },
			} {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				if err := call(ctx); err != context.DeadlineExceeded {
					t.Errorf("L15: %s while Redis is silent: %v, want the error of its ctx", op, err)
				}
				cancel()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			err := p.GroupDiscard(ctx, "room", mine) // which PubSub can do here, and tell later
			if name == "Core" && err != context.DeadlineExceeded || name == "PubSub" && err != nil {
				t.Errorf("L15: GroupDiscard while Redis is silent: %v", err)
			}
			if err := p.EndChannel(ctx, ended); err != nil { // Redis hears of it later
				t.Errorf("L15: EndChannel while Redis is silent: %v", err)
			}
			p.cable.Flow()
			if name == "PubSub" {
				b.subscribed(b.prefix+"__group__room", 0)
				b.subscribed(b.prefix+"__group__lobby", 0)
			} else {
				eventually(t, func() bool { return len(b.members("lobby")) == 0 }, "L10: a channel that ended while Redis was silent leaves its groups")
			}
			p.send(theirs, "marker")
			for {
				m, err := q.Receive(t.Context(), theirs)
				must(t, err)
				if v, err := note.Decode(m); err == nil && v.Text == "marker" {
					break
				}
			}
		})
	}
}

// A message whose answer is lost may have arrived.
func TestLostAnswer(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 1)
			p, q := open(b, nil), open(b, nil)
			theirs := q.channel()
			p.send(theirs, make([]string, warm)...)
			q.want(theirs, make([]string, warm)...)
			flow := p.cable.StallAnswers(t)
			sent := make(chan error, 1)
			go func() { sent <- p.Send(t.Context(), theirs, note.With(text{"b"})) }() // ends with the cable; waited for below
			q.want(theirs, "b")                                                       // it has arrived
			p.cable.Cut()
			flow()
			if err := <-sent; !errors.Is(err, layers.ErrUncertain) {
				t.Errorf("L15: a message whose answer is lost: %v, want ErrUncertain", err)
			}
		})
	}
}

// So does a flush.
func TestFlushInSilence(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 1)
			p := open(b, nil)
			p.cable.Stall()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("L15: Flush while Redis is silent: %v, want the error of its ctx", err)
			}
			p.cable.Flow()
		})
	}
}

// A connection over which nothing comes any more, and nobody says so, is given up within 20 s.
func TestSilentConnection(t *testing.T) {
	Long(t)
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 1)
			p, q := open(b, nil), open(b, nil)
			channel, ear := p.channel(), p.ear()
			p.join("room", channel)
			if name == "Core" {
				p.popsNext(q)
			}
			flow := sync.OnceFunc(p.cable.Flow)
			p.cable.Stall()
			t.Cleanup(flow)
			ear.want(t, layers.Down)
			flow()
			ear.want(t, layers.Up)
			p.groupSend("room", "a")
			p.want(channel, "a")
		})
	}
}

// popsNext returns when the next thing that the reader does is to wait in Redis: it has just taken a message of a queue.
func (p *process) popsNext(q *process) {
	p.Helper()
	got := make(chan error, 1)
	go func() { // ends with the message, or the test; waited for below
		_, err := p.Receive(p.Context(), "jobs")
		got <- err
	}()
	eventually(p, func() bool { return p.listening("jobs") == 1 }, "the reader listens to the queue")
	q.send("jobs", "a")
	must(p, <-got)
}

// Closing a layer whose Redis is gone takes a bounded time.
func TestCloseWithoutRedis(t *testing.T) {
	for name, open := range kinds {
		for _, how := range []string{"cut", "silent"} {
			t.Run(name+" "+how, func(t *testing.T) {
				b := newBed(t, 1)
				p := open(b, nil)
				p.join("room", p.channel())
				if how == "cut" {
					p.cable.Cut()
				} else {
					p.cable.Stall()
					defer p.cable.Flow()
				}
				ctx, cancel := context.WithTimeout(t.Context(), Patience)
				defer cancel()
				must(t, p.Close(ctx))
				if ctx.Err() != nil {
					t.Errorf("L16: Close took more than %v", Patience)
				}
			})
		}
	}
}

// One line in the log when the connection is lost, one when it is back, and the layer says so.
func TestOutageIsTold(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 3)
			p := open(b, nil)
			p.cable.Cut()
			eventually(t, func() bool { _, out := p.Outage(); return out }, "L15: the outage is noticed")
			if err := p.GroupSend(t.Context(), "room", note.With(text{"a"})); err == nil {
				t.Error("L15: a send without a connection is no error")
			}
			p.cable.Mend()
			eventually(t, func() bool { _, out := p.Outage(); return !out }, "L15: the end of the outage is noticed")
			channel := p.channel()
			p.join("room", channel)
			p.groupSend("room", "b")
			p.want(channel, "b")
			for _, text := range []string{"is lost", "is back"} {
				if n := p.logs.FilterMessageSnippet(text).Len(); n != 3 {
					t.Errorf("%d lines say that one of three connections %s, want 3", n, text)
				}
			}
		})
	}
}

// One line tells of an outage, however many tries fail.
func TestOneLineForManyTries(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	for range 3 {
		p.c.link.down(0, "a host", errLost)
	}
	p.c.link.up(0, "a host")
	for _, text := range []string{"is lost", "is back"} {
		if n := p.logs.FilterMessageSnippet(text).Len(); n != 1 {
			t.Errorf("L15: after three tries %d lines say that the connection %s, want 1", n, text)
		}
	}
}

// When one host of three is gone, what needs the others works on, and a group send says whether some members have it.
func TestOneHostOfThreeIsGone(t *testing.T) {
	var hosts []string
	var last *ownRedis
	for range 3 {
		last = startOwnRedis(t, plain)
		hosts = append(hosts, "redis://127.0.0.1:"+last.port)
	}
	l, err := Core(t.Context(), &Options{Hosts: hosts, Logger: zap.NewNop()})
	must(t, err)
	p := &process{TB: t, Layer: l}
	on := func(host int, format string) (name string) {
		for i := 0; name == "" || shardOf(name, 3) != host; i++ {
			name = fmt.Sprintf(format, i)
		}
		return name
	}
	mine := p.channel()
	near, far := on(0, "specific.%032d!")+"a", on(2, "specific.%032d!")+"a"
	some, none := on(1, "room%d"), on(0, "room%d")
	p.join(some, near, far, mine)
	p.join(none, far, mine)
	last.kill()
	eventually(t, func() bool { _, out := p.Outage(); return out }, "L15: the outage is noticed")
	var nobodys string
	eventually(t, func() bool { // the first may be written to a connection that is not yet known to be lost
		nobodys += "x"
		err := p.GroupSend(t.Context(), none, note.With(text{nobodys}))
		return err != nil && !errors.Is(err, layers.ErrUncertain)
	}, "L4: the error of a message that no host has is certain")
	if err := p.GroupSend(t.Context(), some, note.With(text{"a"})); !errors.Is(err, layers.ErrUncertain) {
		t.Errorf("L4: a message that one of two hosts has: %v, want an error that says so", err)
	}
	limit, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for got := ""; got != "a"; {
		m, err := p.Receive(limit, mine)
		must(t, err)
		v, err := note.Decode(m)
		must(t, err)
		if got = v.Text; got == nobodys {
			t.Error("L4: a member has a message whose error is certain, so that it may be sent again")
		}
	}
	must(t, p.GroupDiscard(t.Context(), some, far))
	p.groupSend(some, "b")
	p.want(mine, "b")
	p.send(near, "c")
	key := DefaultPrefix + nonLocal(near)
	if n, err := do(t, client(t, hosts[0]), "ZCARD", key).AsInt64(); err != nil || n != 3 {
		t.Errorf("%d messages are on a host that lives, %v, want 3", n, err)
	}
	must(t, p.Close(t.Context()))
}
