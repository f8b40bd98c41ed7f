package redislayer

import (
	"context"
	"testing"
	"time"
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
