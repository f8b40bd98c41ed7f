package natslayer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

func TestQueueWaitsInOrder(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	p.send("jobs", "one", "two", "three")
	q.want("jobs", "one", "two")
	p.want("jobs", "three")
	q.empty(p, "jobs")
}

// Names that JetStream would not take as they are, and the longest.
func TestQueueNames(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	names := []string{".", "..", "a..b", ".a", "a.", "-", "_", "A", "a", strings.Repeat("x", 99), strings.Repeat(".", 99)}
	for _, name := range names {
		p.send(name, name)
	}
	for _, name := range names {
		q.want(name, name)
	}
}

func TestQueueSharedByProcesses(t *testing.T) {
	const total = 600
	b := newBroker(t)
	procs := []*process{b.process(nil), b.process(nil), b.process(nil)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got := make(chan string, 2*total)
	var receivers sync.WaitGroup
	for i := range 6 {
		p := procs[i%3]
		receivers.Go(func() {
			for {
				m, err := p.Receive(ctx, "jobs")
				if err != nil {
					return
				}
				v, _ := note.Decode(m)
				got <- v.Text
			}
		})
	}
	var senders sync.WaitGroup
	for s, p := range procs {
		senders.Go(func() {
			for n := range total / 3 {
				for {
					err := p.Send(ctx, "jobs", note.With(text{fmt.Sprint(s, " ", n)}))
					if err == nil {
						break
					}
					if !errors.Is(err, layers.ErrChannelFull) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	senders.Wait()
	seen := map[string]int{}
	for range total {
		select {
		case s := <-got:
			seen[s]++
		case <-ctx.Done():
			t.Fatalf("L11: six receivers got %d of %d messages", len(seen), total)
		}
	}
	cancel()
	receivers.Wait()
	close(got)
	for s := range got {
		seen[s]++
	}
	for s, n := range seen {
		if n != 1 {
			t.Errorf("L11: message %q came %d times", s, n)
		}
	}
	if len(seen) != total {
		t.Errorf("L11: %d messages of %d came", len(seen), total)
	}
	procs[0].empty(procs[1], "jobs")
}

func TestQueueFull(t *testing.T) {
	b := newBroker(t)
	opts := &Options{Options: layers.Options{Capacity: 2}}
	p, q := b.process(opts), b.process(opts)
	p.send("jobs", "one", "two")
	for _, from := range []*process{p, q} {
		if err := from.Send(t.Context(), "jobs", note.With(text{"three"})); !errors.Is(err, layers.ErrChannelFull) {
			t.Fatalf("L5: a third message to a queue of 2: %v", err)
		}
	}
	p.send("other", "full is another")
	q.want("jobs", "one")
	p.send("jobs", "four")
	q.want("jobs", "two", "four")
}

func TestQueueExpires(t *testing.T) {
	b := newBroker(t)
	opts := &Options{Options: layers.Options{Expiry: 300 * time.Millisecond}}
	p := b.process(opts)
	p.send("jobs", "old")
	<-time.After(400 * time.Millisecond)
	p.send("jobs", "new")
	p.want("jobs", "new")
}

// A Receive that ends loses nothing, in whatever moment the message comes.
func TestQueueCancelled(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	for i := range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan layers.Message, 1)
		var receiver sync.WaitGroup
		receiver.Go(func() {
			defer close(got)
			if m, err := q.Receive(ctx, "jobs"); err == nil {
				got <- m
			} else if err != context.Canceled {
				t.Error(err)
			}
		})
		var canceller sync.WaitGroup
		if i%3 > 0 {
			<-time.After(time.Duration(i%10) * 100 * time.Microsecond)
		}
		canceller.Go(cancel)
		p.send("jobs", fmt.Sprint(i))
		canceller.Wait()
		receiver.Wait()
		if m, ok := <-got; ok {
			if v, _ := note.Decode(m); v.Text != fmt.Sprint(i) {
				t.Fatalf("L11: got %q, want %d", v.Text, i)
			}
			continue
		}
		p.want("jobs", fmt.Sprint(i))
	}
}

// A Receive whose ctx ends while its message is lost on the way ends too, and does not wait for the next one.
func TestQueueCancelledWhileClaiming(t *testing.T) {
	b := newBroker(t)
	p := b.process(nil)
	mute, err := p.n.nc.SubscribeSync("mute") // hears the claim and confirms nothing
	p.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { // ends with ctx; waited for below
		_, err := p.Receive(ctx, "jobs")
		ended <- err
	}()
	eventually(t, func() bool { return p.waits("jobs") }, "the receiver waits")
	q, err := p.n.store.queue("jobs")
	p.must(err)
	q.mu.Lock()
	q.pump.in <- &nats.Msg{Subject: q.subject, Reply: "mute", Data: hello}
	q.mu.Unlock()
	_, err = mute.NextMsg(patience)
	p.must(err)
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a Receive whose ctx ended: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("a Receive whose ctx ended while its message was lost waits on")
	}
	if n := p.Stats().Dropped[layers.DropFailed]; n != 1 {
		t.Errorf("L11: %d lost messages are counted, want 1", n)
	}
}

// Case 32 for queues: a Receive that waits survives an outage.
func TestQueueReceiveSurvivesOutage(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	got := waitFor(q, "jobs")
	eventually(t, func() bool { return q.waits("jobs") }, "the receiver waits")
	q.cable.cut()
	eventually(t, func() bool { return !q.n.nc.IsConnected() }, "the connection is lost")
	q.cable.mend()
	eventually(t, func() bool { return q.n.nc.IsConnected() }, "the connection is back")
	p.send("jobs", "one")
	if s := <-got; s != "one" {
		t.Errorf("a receiver that waited through an outage got %q", s)
	}
}

// Without a connection a send waits a while, since most outages are short, and later fails at once. Nothing is stored.
func TestQueueSendWithoutLink(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	p.send("jobs", "one")
	p.cable.cut()
	eventually(t, func() bool { return !p.n.nc.IsConnected() }, "the connection is lost")
	err := p.Send(t.Context(), "jobs", note.With(text{"two"}))
	wantWords(t, err, "nothing was stored", "no connection")
	for range 1000 { // it would take half an hour
		if err := p.Send(t.Context(), "jobs", note.With(text{"three"})); err == nil || errors.Is(err, layers.ErrUncertain) {
			t.Fatalf("a send without a connection: %v", err)
		}
	}
	p.cable.mend()
	eventually(t, func() bool { return p.n.nc.IsConnected() }, "the connection is back")
	p.send("jobs", "four")
	q.want("jobs", "one", "four")
}

// waitFor begins a Receive; its result comes in the channel.
func waitFor(p *process, queue string) <-chan string {
	got := make(chan string, 1)
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	go func() { // ends with ctx; whoever reads got waits for it
		defer cancel()
		m, err := p.Receive(ctx, queue)
		if err != nil {
			got <- err.Error()
			return
		}
		v, _ := note.Decode(m)
		got <- v.Text
	}()
	return got
}

// waits says that somebody waits for a queue's messages, and the broker knows.
func (p *process) waits(queue string) bool {
	q, err := p.n.store.queue(queue)
	p.must(err)
	c, err := p.n.store.js.Consumer(p.Context(), q.stream, q.token)
	if err != nil {
		return false
	}
	return c.CachedInfo().NumWaiting > 0
}

// A process whose options give a queue another capacity or expiry hears of it, and never speaks to nobody.
func TestQueueConflicts(t *testing.T) {
	b := newBroker(t)
	p := b.process(nil)
	q := b.process(&Options{Options: layers.Options{Capacity: 7, Expiry: time.Hour}})
	d := b.process(&Options{Options: layers.Options{Durables: []layers.Durable{{Queues: "*", Capacity: 5}}}})
	p.send("sent", "one")
	_ = waitFor(p, "received")
	eventually(t, func() bool { return p.waits("received") }, "the receiver waits")
	for _, name := range []string{"sent", "received"} {
		for _, other := range []*process{q, d} {
			err := other.Send(t.Context(), name, note.With(text{"two"}))
			wantWords(t, err, "capacity 100", "expiry 1m0s", map[*process]string{q: "capacity 7", d: "Durable{Capacity: 5"}[other], "natslayer.Options")
			_, err = other.Receive(t.Context(), name)
			wantWords(t, err, "capacity 100")
		}
	}
	p.send("received", "end")
}

// A sender that has been at work before the other process began hears of it a little later.
func TestQueueConflictsLater(t *testing.T) {
	b := newBroker(t)
	p := b.process(nil)
	q := b.process(&Options{Options: layers.Options{Capacity: 7}})
	p.n.store.again = 50 * time.Millisecond
	p.send("jobs", "one")
	p.must(p.Flush(t.Context()))
	got := waitFor(q, "jobs")
	eventually(t, func() bool { return q.waits("jobs") }, "the receiver waits")
	eventually(t, func() bool {
		err := p.Send(t.Context(), "jobs", note.With(text{"two"}))
		if err == nil || errors.Is(err, layers.ErrChannelFull) {
			return false
		}
		wantWords(t, err, "capacity 100", "capacity 7")
		return true
	}, "the sender is told")
	q.send("jobs", "end")
	<-got
}

func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error, want one that says %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got error %q, want one that says %q", err, w)
		}
	}
}

func TestStreamWithOtherStorage(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(&Options{Storage: FileStorage})
	p.send("jobs", "one")
	err := q.Send(t.Context(), "jobs", note.With(text{"two"}))
	wantWords(t, err, `"tideway-queue-100-1m0s"`, "storage Memory", "wants File", "nats stream rm")
	r := b.process(&Options{Replicas: 3, Prefix: "three"})
	if err := r.Send(t.Context(), "jobs", note.With(text{"two"})); err == nil {
		t.Error("three replicas on one server: got no error")
	} else {
		wantWords(t, err, "Options.Replicas of 3")
	}
}

// Streams are made again when they are gone, for senders and for those who wait.
func TestStreamGone(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	got := waitFor(q, "jobs")
	eventually(t, func() bool { return q.waits("jobs") }, "the receiver waits")
	p.must(p.n.store.js.DeleteStream(t.Context(), "tideway-queue-100-1m0s"))
	p.send("jobs", "one")
	if s := <-got; s != "one" {
		t.Errorf("a receiver whose stream was deleted got %q", s)
	}
}

func TestWithoutJetStream(t *testing.T) {
	srv, err := embedded.Start(t.Context(), &embedded.Options{Cluster: &embedded.Cluster{Listen: "127.0.0.1:0"}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Close(context.Background()) }()
	l, err := New(t.Context(), srv.Conn(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close(context.Background()) }()
	_, receive := l.Receive(t.Context(), "jobs")
	for what, err := range map[string]error{
		"Require":  l.Require(t.Context(), layers.Queues),
		"Jobs":     l.Require(t.Context(), layers.Jobs),
		"Send":     l.Send(t.Context(), "jobs", note.With(text{"one"})),
		"Receive":  receive,
		"GroupAdd": l.GroupAdd(t.Context(), "room", "jobs"),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s without JetStream: %v", what, err)
		}
		wantWords(t, err, "nats-server with -js")
	}
	if err := l.Require(t.Context(), layers.Groups); err != nil {
		t.Errorf("groups without JetStream: %v", err)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Errorf("Flush without JetStream: %v", err)
	}
}

// What nobody can read is dropped and counted, and the next message comes.
func TestQueueUnreadable(t *testing.T) {
	b := newBroker(t)
	p := b.process(nil)
	p.send("jobs", "one")
	for _, bad := range []string{"", "not msgpack", "\x82"} {
		q, err := p.n.store.queue("jobs")
		p.must(err)
		p.must(p.n.nc.Publish(q.subject, []byte(bad)))
	}
	p.send("jobs", "two")
	p.want("jobs", "one", "two")
	if n := p.Stats().Dropped[layers.DropInvalid]; n != 3 {
		t.Errorf("%d unreadable messages were counted, want 3", n)
	}
}
