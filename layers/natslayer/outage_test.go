package natslayer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// ear counts what a layer tells its channels of outages.
type ear struct{ downs, ups atomic.Int32 }

// Deliver implements layers.Inbox.
func (e *ear) Deliver(m layers.Message) error {
	switch m.Type() {
	case layers.Down.String():
		e.downs.Add(1)
	case layers.Up.String():
		e.ups.Add(1)
	}
	return nil
}

func (e *ear) told(t *testing.T, downs, ups int32) {
	t.Helper()
	eventually(t, func() bool { return e.downs.Load() >= downs && e.ups.Load() >= ups }, "Down %d times and Up %d times", downs, ups)
	if d, u := e.downs.Load(), e.ups.Load(); d != downs || u != ups {
		t.Fatalf("L15: Down came %d times and Up %d times, want %d and %d", d, u, downs, ups)
	}
}

func listen(p *process) *ear {
	p.Helper()
	e := &ear{}
	_, err := p.Listen(p.Context(), e)
	p.must(err)
	return e
}

// What an outage does to each method, and that all flows again (L15).
func TestOutage(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	e, mine, theirs := listen(p), p.channel(), q.channel()
	p.join("room", mine)
	q.join("room", theirs)
	p.cable.cut()
	e.told(t, 1, 0)
	p.n.link.lost.Load().since = time.Now().Add(-time.Hour) // an outage that lasts

	p.groupSend("room", "kept") // by the client
	if err := p.Send(t.Context(), theirs, note.With(text{"fails"})); err == nil || !strings.Contains(err.Error(), "the connection to NATS is lost") || errors.Is(err, layers.ErrUncertain) {
		t.Errorf("a direct send in an outage: %v", err)
	}
	if err := p.GroupAdd(t.Context(), "hall", mine); err == nil {
		t.Error("a join in an outage succeeded")
	}
	if err := p.Flush(t.Context()); err == nil {
		t.Error("a flush in an outage succeeded")
	}
	second := p.channel()
	p.must(p.EndChannel(t.Context(), second))
	if err := q.Send(t.Context(), mine, note.With(text{"nobody"})); !errors.Is(err, layers.ErrNoChannel) && !errors.Is(err, layers.ErrUncertain) {
		t.Errorf("a direct send to a process in an outage: %v", err)
	}
	q.groupSend("room", "missed")
	q.want(theirs, "missed")

	p.cable.mend()
	e.told(t, 1, 1)
	q.want(theirs, "kept")
	p.want(mine, "kept")
	q.groupSend("room", "again")
	p.want(mine, "again")
	p.send(theirs, "again")
	q.want(theirs, "again", "again")
	lines := func() []observer.LoggedEntry { return p.logs.FilterLevelExact(zapcore.WarnLevel).All() }
	eventually(t, func() bool { return len(lines()) >= 2 }, "two lines of one outage")
	for i, want := range []string{"is lost", "is back"} {
		if l := lines(); len(l) != 2 || !strings.Contains(l[i].Message, want) || l[i].ContextMap()["server"] != "the one inside the process" {
			t.Errorf("the lines of one outage are %v, want %q and the server", l, want)
		}
	}
}

// At the beginning of an outage what needs an answer waits for the connection.
func TestShortOutage(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	e, theirs := listen(p), q.channel()
	for i := range int32(5) {
		p.cable.cut()
		e.told(t, i+1, i)
		p.n.link.lost.Load().since = time.Now().Add(patience) // it is short, however slow the machine
		sent := make(chan error, 1)
		go func() { sent <- p.Send(t.Context(), theirs, note.With(text{"waits"})) }() // waited for below
		p.cable.mend()
		if err := <-sent; err != nil {
			t.Fatalf("a direct send in a short outage: %v", err)
		}
		q.want(theirs, "waits")
		e.told(t, i+1, i+1)
	}
}

// L12: two processes lose one broker, and the first that is back does not take the other for dead.
func TestTheOtherIsOnItsWayBack(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	atP, atQ, theirs := listen(p), listen(q), q.channel()
	q.cable.cut()
	atQ.told(t, 1, 0)
	p.cable.cut()
	atP.told(t, 1, 0)
	p.cable.mend()
	atP.told(t, 1, 1)
	far := time.Now().Add(patience) // however slow the machine
	p.n.link.back.Store(&far)
	sent := make(chan error, 1)
	again := p.asksAgain()
	go func() { sent <- p.Send(t.Context(), theirs, note.With(text{"waits"})) }() // waited for below
	eventually(t, again, "nobody is heard of, and the sender asks again")
	q.cable.mend()
	if err := <-sent; err != nil {
		t.Fatalf("L12: a direct send to a process that comes back: %v", err)
	}
	q.want(theirs, "waits")
	long := time.Now().Add(-returnTime)
	p.n.link.back.Store(&long)
	p.must(q.EndChannel(t.Context(), theirs))
	q.cable.cut()
	atQ.told(t, 2, 1)
	if err := p.Send(t.Context(), theirs, note.With(text{"nobody"})); !errors.Is(err, layers.ErrNoChannel) {
		t.Errorf("L12: long after an outage, a direct send to nobody: %v", err)
	}
	q.cable.mend()
}

// asksAgain returns what says that the process has published twice from now on.
func (p *process) asksAgain() func() bool {
	before := p.n.nc.Stats().OutMsgs
	return func() bool { return p.n.nc.Stats().OutMsgs >= before+2 }
}

// L12: in a cluster the news of a process travels, and a send waits for it.
func TestNewsTravels(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	p.n.link.clustered.Store(true)
	p.n.news = patience
	channel := "specific.late!1"
	subject, ok := p.n.subjects.channel(channel)
	if !ok {
		t.Fatal("no subject")
	}
	sent := make(chan error, 1)
	again := p.asksAgain()
	go func() { sent <- p.Send(t.Context(), channel, note.With(text{"early"})) }() // waited for below
	eventually(t, again, "nobody is heard of, and the sender asks again")
	sub, err := q.n.nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond(answerOK) })
	q.must(err)
	if err := <-sent; err != nil {
		t.Errorf("L12: a direct send to a process that nobody had heard of: %v", err)
	}
	q.must(sub.Unsubscribe())
	q.must(q.n.nc.Flush())
	p.n.news = newsTime
	if err := p.Send(t.Context(), channel, note.With(text{"late"})); !errors.Is(err, layers.ErrNoChannel) {
		t.Errorf("L12: a direct send to nobody in a cluster: %v", err)
	}
}

// The link's patience, without a broker.
func TestLinkWaits(t *testing.T) {
	lost := errors.New("lost")
	over := make(chan struct{})
	var l link
	ctx := t.Context()
	if err := l.wait(ctx); err != nil {
		t.Errorf("up: %v", err)
	}
	for name, o := range map[string]*outage{
		"long": {err: lost, since: time.Now().Add(-answerTime), over: over},
		"last": {err: lost, since: time.Now().Add(patience), over: over, final: true},
	} {
		l.lost.Store(o)
		if err := l.wait(ctx); err != lost {
			t.Errorf("%s: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	l.lost.Store(&outage{err: lost, since: time.Now().Add(patience), over: over})
	if err := l.wait(ended); err != lost {
		t.Errorf("ctx ended: %v", err)
	}
	close(over)
	if err := l.wait(ctx); err != nil {
		t.Errorf("over: %v", err)
	}
}

// When the client's buffer is used up, a group send says so.
func TestReconnectBufferIsBounded(t *testing.T) {
	b := newBroker(t)
	p := b.process(nil)
	e := listen(p)
	p.cable.cut()
	e.told(t, 1, 0)
	big := note.With(text{strings.Repeat("x", 1<<20)})
	var err error
	sent := 0
	for ; err == nil && sent < 100; sent++ {
		err = p.GroupSend(t.Context(), "room", big)
	}
	if !errors.Is(err, errOutboxFull) || sent < 8 || sent > 10 {
		t.Errorf("after %d messages of 1 MiB: %v", sent, err)
	}
	p.cable.mend()
	e.told(t, 1, 1)
}

// An application's connection that is closed for good is a last Down.
func TestClosedForGood(t *testing.T) {
	b := newBroker(t)
	p := b.process(nil)
	e, channel := listen(p), p.channel()
	p.n.nc.Close()
	e.told(t, 1, 0)
	if err := p.Send(t.Context(), channel, note.With(text{"x"})); err == nil || !strings.Contains(err.Error(), "the connection to NATS is closed") {
		t.Errorf("a send: %v", err)
	}
	if err := p.GroupSend(t.Context(), "room", note.With(text{"x"})); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("a group send: %v", err)
	}
	p.must(p.EndChannel(t.Context(), channel))
}

// A server that is restarted on its port: the way of every process with a URL.
func TestServerRestart(t *testing.T) {
	first, err := embedded.Start(t.Context(), &embedded.Options{Listen: "127.0.0.1:0", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	url := first.ClientURL()
	core, logs := observer.New(zapcore.WarnLevel)
	open := func() *layers.Layer {
		l, err := Open(t.Context(), url, &Options{Logger: zap.New(core)})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l, other := open(), open()
	p := &process{TB: t, Layer: l}
	e, channel := listen(p), p.channel()
	p.join("room", channel)
	if err := first.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	e.told(t, 1, 0)
	second, err := embedded.Start(t.Context(), &embedded.Options{Listen: strings.TrimPrefix(url, "nats://"), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	e.told(t, 1, 1)
	eventually(t, func() bool { return other.Send(t.Context(), channel, note.With(text{"first"})) == nil }, "a direct send arrives")
	if err := other.GroupSend(t.Context(), "room", note.With(text{"second"})); err != nil {
		t.Error(err)
	}
	p.want(channel, "first", "second")
	for _, l := range []*layers.Layer{l, other} {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if err := second.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if n := logs.Len(); n != 4 {
		t.Errorf("%d warnings of one outage of two layers: %v", n, logs.All())
	}
}

// Close says what it could not send (L16).
func TestCloseInOutage(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	e := listen(p)
	p.cable.cut()
	e.told(t, 1, 0)
	p.groupSend("room", "one", "two")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(fmt.Sprint(err), "2 messages") {
		t.Errorf("L16: Close: %v", err)
	}
	e = listen(q)
	q.cable.cut()
	e.told(t, 1, 0)
	q.groupSend("room", "sent on")
	q.cable.mend()
	e.told(t, 1, 1)
	q.cable.cut()
	e.told(t, 2, 1)
	if err := q.Close(t.Context()); err != nil {
		t.Errorf("L16: Close with nothing to send: %v", err)
	}
}

// Close says what was lost with a connection that the application has closed (L16).
func TestCloseAfterTheConnection(t *testing.T) {
	b := newBroker(t)
	p := b.process(nil)
	e := listen(p)
	p.cable.cut()
	e.told(t, 1, 0)
	p.groupSend("room", "one", "two")
	p.n.nc.Close()
	if err := p.Close(t.Context()); !errors.Is(err, errClosed) && !errors.Is(err, errLost) || !strings.Contains(fmt.Sprint(err), "2 messages") {
		t.Errorf("L16: Close: %v", err)
	}
}

// Close waits for the connection if there is something to send (L16).
func TestCloseSendsWhatWaits(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	e, theirs := listen(p), q.channel()
	q.join("room", theirs)
	p.cable.cut()
	e.told(t, 1, 0)
	p.groupSend("room", "one", "two")
	closed := make(chan error, 1)
	go func() { closed <- p.Close(context.Background()) }() // waited for below
	p.cable.mend()
	if err := <-closed; err != nil {
		t.Errorf("L16: Close: %v", err)
	}
	q.want(theirs, "one", "two")
}
