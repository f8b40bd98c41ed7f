package natslayer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tideway-go/tideway/layers"
)

// A process that has ended but whose subscription the broker still knows is asked once whether it is there (L12).
func TestSendToAGhost(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p := b.process(nil)
	_, err := p.n.nc.SubscribeSync("tideway.channel.ghost.*")
	p.must(err)
	if err := p.Send(t.Context(), "specific.ghost!1", note.With(text{"x"})); !errors.Is(err, layers.ErrNoChannel) {
		t.Errorf("L12: a send to a process that takes messages and answers nothing: %v", err)
	}
}

// That there is no JetStream is told also by who asked so soon after the start that it could still come, and whose last
// question had no answer.
func TestNoJetStreamIsTold(t *testing.T) {
	t.Parallel()
	s := newBroker(t).process(nil).n.store
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	tries := 0
	err := s.ask(ctx, func(ctx context.Context) error {
		if tries++; tries == 1 {
			return nats.ErrNoResponders
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if err := s.late(t.Context(), answerTime, err); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no JetStream, and then no answer: %v", err)
	}
}

// A server that is away for a moment comes back; servers that were never there do not.
func TestOfflinePeersPass(t *testing.T) {
	s := &store{begun: time.Now()}
	for text, want := range map[string]bool{"no suitable peers for placement, peer offline": true, "no suitable peers for placement": false} {
		err := fmt.Errorf("x: %w", &jetstream.APIError{Code: 400, ErrorCode: codeNoPeers, Description: text})
		if got := s.passing(err); got != want {
			t.Errorf("%q passes: %v, want %v", text, got, want)
		}
	}
}

// Servers elect a leader for a replicated stream, which may take them nine seconds; nothing else is waited for so long.
func TestFirstUseOfReplicatedQueueWaitsForElection(t *testing.T) {
	sh := shape{capacity: 1, age: time.Minute}
	for _, c := range []struct {
		replicas int
		there    bool
		want     time.Duration
	}{
		{3, false, electionTime},
		{3, true, answerTime},
		{1, false, answerTime},
	} {
		s := &store{opts: Options{Replicas: c.replicas}, streams: map[shape]bool{sh: c.there}}
		if got := s.patience(&queue{shape: sh}); got != c.want {
			t.Errorf("%d replicas, stream known: %v: a send waits up to %v, want %v", c.replicas, c.there, got, c.want)
		}
	}
}

// At the beginning of an outage a send to a queue waits for the connection.
func TestQueueSendInShortOutage(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	p.send("jobs", "one")
	p.cable.cut()
	eventually(t, func() bool { return !p.n.nc.IsConnected() }, "the connection is lost")
	p.n.store.outage.Store(time.Now().Add(patience).UnixNano()) // it is short, however slow the machine
	sent := make(chan error, 1)
	go func() { sent <- p.Send(t.Context(), "jobs", note.With(text{"two"})) }() // waited for below
	p.cable.mend()
	if err := <-sent; err != nil {
		t.Errorf("a send to a queue in a short outage: %v", err)
	}
	q.want("jobs", "one", "two")
}

// Where the broker's clock differs from this process's, the difference counts in a message's age (L6).
func TestQueueAgeByThisClock(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p := b.process(nil)
	p.send("jobs", "one")
	p.want("jobs", "one")
	p.send("jobs", "old", "new")
	p.n.store.skew.Store(int64(-time.Hour)) // it was stored an hour ago
	got := waitFor(p, "jobs")
	eventually(t, func() bool { return p.Stats().Dropped[layers.DropExpired] == 2 }, "two messages are too old")
	p.n.store.skew.Store(0)
	p.send("jobs", "three")
	if s := <-got; s != "three" {
		t.Errorf("L6: got %q", s)
	}
}

// A message whose claim is not confirmed when the layer closes is lost, and counted.
func TestQueueClosedWhileClaiming(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p := b.process(nil)
	mute, err := p.n.nc.SubscribeSync("mute") // hears the claim and confirms nothing
	p.must(err)
	ended := make(chan error, 1)
	go func() { // ends with the layer; waited for below
		_, err := p.Receive(context.Background(), "jobs")
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
	p.must(p.Close(t.Context()))
	if err := <-ended; !errors.Is(err, layers.ErrClosed) {
		t.Errorf("L16: a Receive whose layer was closed: %v", err)
	}
	if n := p.Stats().Dropped[layers.DropFailed]; n != 1 {
		t.Errorf("L11: %d lost messages are counted, want 1", n)
	}
}

// A queue that nobody receives from any more costs this process nothing.
func TestPumpEnds(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p := b.process(nil)
	p.send("jobs", "one")
	before := p.n.nc.NumSubscriptions()
	p.want("jobs", "one")
	eventually(t, func() bool { return p.n.nc.NumSubscriptions() == before }, "the subscription of a queue ends")
	p.send("jobs", "two")
	p.want("jobs", "two")
}

// Done says it again when the broker does not answer.
func TestJobDoneIsSaidAgain(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p := b.process(workers(layers.Durable{}))
	p.send("jobs", "one")
	taken, err := p.n.store.take(t.Context(), "jobs")
	p.must(err)
	j := taken.(*job)
	var said atomic.Int32
	ack := j.msg.Reply
	_, err = p.n.nc.Subscribe("hard-of-hearing", func(m *nats.Msg) {
		if said.Add(1) > 1 {
			_ = p.n.nc.PublishRequest(ack, m.Reply, m.Data)
		}
	})
	p.must(err)
	j.msg.Reply = "hard-of-hearing"
	p.must(j.Done(t.Context()))
	if n := said.Load(); n != 2 {
		t.Errorf("L18: Done was said %d times, want 2", n)
	}
	p.none("jobs")
}

// A process that stood still does not begin the jobs that were given to it meanwhile: others have done them (L18).
func TestJobsOfAStandstill(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	d := workers(layers.Durable{Lease: time.Second})
	p, q := b.process(d), b.process(d)
	got := make(chan string, 2)
	ctx, cancel := context.WithCancel(t.Context())
	var taking sync.WaitGroup
	defer taking.Wait()
	defer cancel()
	taking.Go(func() {
		for {
			j, err := p.Take(ctx, "jobs")
			if err != nil {
				return
			}
			v, _ := note.Decode(j.Message())
			if err := j.Done(ctx); err != nil {
				t.Error(err)
			}
			got <- v.Text
		}
	})
	eventually(t, func() bool { return p.waits("jobs") }, "a Take waits")
	known, err := p.n.store.queue("jobs")
	p.must(err)
	known.mu.Lock()
	pump := known.pump
	known.mu.Unlock()

	pump.mu.Lock() // the process stands still
	q.send("jobs", "one")
	j, err := q.Take(t.Context(), "jobs") // when p's hold of it has run out
	q.must(err)
	q.must(j.Done(t.Context()))
	pump.mu.Unlock() // and goes on
	q.send("jobs", "three")
	if first := <-got; first != "three" {
		t.Errorf("L18: a job that another worker has done is begun: %q", first)
	}
}
