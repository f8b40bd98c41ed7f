package natslayer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// Memberships of another process's channels, until it is gone.
func TestForeignChannels(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	theirs := q.channel()
	p.join("room", theirs, theirs)
	q.join("room", theirs)
	p.groupSend("room", "once")
	q.want(theirs, "once")
	for range 2 {
		p.must(p.GroupDiscard(t.Context(), "room", theirs))
	}
	p.groupSend("room", "after it left")
	q.empty(p, theirs)
	q.must(q.Close(t.Context()))
	if err := p.GroupAdd(t.Context(), "room", theirs); !errors.Is(err, layers.ErrNoChannel) {
		t.Errorf("add a channel of a process that is gone: %v", err)
	}
	if err := p.GroupDiscard(t.Context(), "room", theirs); err != nil {
		t.Errorf("L9: discard a channel of a process that is gone: %v", err)
	}
}

// An owner that cannot take part says so in time; what is asked of it meanwhile is bounded, and it recovers.
func TestRequestsAreBounded(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	theirs := q.channel()
	release := block(q)
	begun := time.Now()
	err := p.GroupAdd(t.Context(), "room", theirs)
	if !errors.Is(err, layers.ErrUncertain) {
		t.Errorf("a join that is not answered: %v", err)
	}
	if took := time.Since(begun); took < answerTime/2 {
		t.Errorf("it gave up after %v: %v", took, err)
	}
	for range 2 * requestBound {
		p.must(p.n.nc.Publish(p.n.subjects.control(q.n.names.Process()), []byte("join hall "+theirs)))
	}
	eventually(t, func() bool { return len(q.n.requests) == requestBound }, "requests fill their queue")
	release()
	eventually(t, func() bool { return p.GroupAdd(t.Context(), "room", theirs) == nil }, "requests are answered again")
	p.groupSend("room", "hello")
	q.want(theirs, "hello")
}

// What an inbox of another process made of a message comes back to the sender, cut to one short line.
func TestForeignFailure(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	theirs, err := q.Listen(t.Context(), inbox(func(layers.Message) error { return errors.New("no\n" + strings.Repeat("x", 1000)) }))
	q.must(err)
	err = p.Send(t.Context(), theirs, note.With(text{"x"}))
	if err == nil || !strings.Contains(err.Error(), `the channel's process answered "failed no"`) {
		t.Errorf("an inbox that fails: %v", err)
	}
	panics, err := q.Listen(t.Context(), inbox(func(layers.Message) error { panic("broken") }))
	q.must(err)
	if err := p.Send(t.Context(), panics, note.With(text{"x"})); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("an inbox that panics: %v", err)
	}
	q.join("room", panics)
	p.groupSend("room", "x")
	eventually(t, func() bool { return q.Stats().Dropped[layers.DropPanic] == 1 }, "a panic is counted")
}

func TestAnswers(t *testing.T) {
	for text, want := range map[string]string{
		"ok":       "<nil>",
		"full":     "driver: channel is full",
		"gone":     "driver: no such channel",
		"invalid":  "the channel's process could not read the message",
		"failed x": `the channel's process answered "failed x"`,
		"":         `the channel's process answered ""`,
	} {
		if got := fmt.Sprint(answered([]byte(text))); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if n := len(failed(errors.New(strings.Repeat("x", 1000)))); n > 250 {
		t.Errorf("an answer has %d bytes", n)
	}
}

// A flush unsubscribes the groups that it emptied.
func TestFlushUnsubscribes(t *testing.T) {
	b := newBroker(t)
	p := b.processWith(nil, func(n *node) { n.linger = time.Millisecond })
	channel := p.channel()
	for i := range 10 {
		p.join(fmt.Sprint("room", i), channel)
	}
	p.must(p.Flush(t.Context()))
	eventually(t, func() bool { return p.subscribed() == 0 }, "%d groups are subscribed", p.subscribed())
}
