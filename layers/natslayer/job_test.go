package natslayer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers"
)

// workers are the options of those who have one durable queue.
func workers(d layers.Durable) *Options {
	if d.Queues == "" {
		d.Queues = "jobs"
	}
	return &Options{Options: layers.Options{Durables: []layers.Durable{d}}}
}

// take waits for a job and demands its text and attempt.
func (p *process) take(queue, want string, attempt int) *layers.Job {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	j, err := p.Take(ctx, queue)
	if err != nil {
		p.Fatalf("take from %s: %v, want %q", queue, err, want)
	}
	if got, err := note.Decode(j.Message()); err != nil || got.Text != want || j.Attempt() != attempt {
		p.Fatalf("took %q at attempt %d (%v), want %q at attempt %d", got.Text, j.Attempt(), err, want, attempt)
	}
	return j
}

// none demands that a job sent now is the next.
func (p *process) none(queue string) {
	p.Helper()
	p.send(queue, "marker")
	p.must(p.take(queue, "marker", 1).Done(p.Context()))
}

func TestJobDone(t *testing.T) {
	b := newBroker(t)
	opts := workers(layers.Durable{})
	p, q := b.process(opts), b.process(opts)
	p.must(p.Require(t.Context(), layers.Jobs))
	p.send("jobs", "one", "two")
	one, two := q.take("jobs", "one", 1), p.take("jobs", "two", 1)
	q.must(one.Done(t.Context()))
	p.must(two.Done(t.Context()))
	q.none("jobs")
}

// A job whose worker dies is given to another when the lease has run out.
func TestJobCrash(t *testing.T) {
	b := newBroker(t)
	opts := workers(layers.Durable{Lease: 300 * time.Millisecond})
	p, q := b.process(opts), b.process(opts)
	p.send("jobs", "one")
	lost := p.take("jobs", "one", 1)
	p.cable.cut()
	again := q.take("jobs", "one", 2)
	p.cable.mend()
	eventually(t, func() bool { return p.n.nc.IsConnected() }, "the first worker is back")
	if err := lost.Extend(t.Context()); err == nil {
		t.Error("Extend of a hold that has run out: got no error")
	}
	if err := lost.Retry(t.Context(), 0); err == nil {
		t.Error("Retry of a hold that has run out: got no error")
	}
	q.must(again.Done(t.Context()))
	q.none("jobs")
}

// A hold that is extended does not end.
func TestJobExtend(t *testing.T) {
	b := newBroker(t)
	opts := workers(layers.Durable{Lease: 1500 * time.Millisecond})
	p, q := b.process(opts), b.process(opts)
	p.send("jobs", "long")
	j := p.take("jobs", "long", 1)
	other := waitFor(q, "jobs")
	for range 8 {
		<-time.After(250 * time.Millisecond)
		p.must(j.Extend(t.Context()))
	}
	p.must(j.Done(t.Context()))
	p.send("jobs", "next")
	if got := <-other; got != "next" {
		t.Errorf("L18: another worker got %q while the first extended its hold", got)
	}
}

// Done of a hold that has run out ends the job nevertheless.
func TestJobDoneLate(t *testing.T) {
	b := newBroker(t)
	opts := workers(layers.Durable{Lease: 200 * time.Millisecond})
	p := b.process(opts)
	p.send("jobs", "slow")
	first := p.take("jobs", "slow", 1)
	second := p.take("jobs", "slow", 2)
	p.must(first.Done(t.Context()))
	<-time.After(300 * time.Millisecond)
	p.none("jobs")
	p.must(second.Done(t.Context()))
}

// A job in backoff outlives the expiry of plain messages, lets others pass, and counts its attempts.
func TestJobRetry(t *testing.T) {
	b := newBroker(t)
	opts := workers(layers.Durable{Lease: 200 * time.Millisecond})
	opts.Expiry = 150 * time.Millisecond
	p, q := b.process(opts), b.process(opts)
	p.send("jobs", "one", "two")
	begun := time.Now()
	p.must(p.take("jobs", "one", 1).Retry(t.Context(), 700*time.Millisecond))
	p.must(q.take("jobs", "two", 1).Done(t.Context()))
	j := q.take("jobs", "one", 2)
	if took := time.Since(begun); took < 700*time.Millisecond {
		t.Errorf("a job that was to be tried in 700 ms came after %v", took)
	}
	if j.Message().Expired(time.Now()) {
		t.Error("a job says that it has expired after the expiry of plain messages")
	}
	q.must(j.Retry(t.Context(), 0))
	p.must(p.take("jobs", "one", 3).Done(t.Context()))
	p.none("jobs")
}

// What was sent is there when the broker's consumer has gone, and comes in order.
func TestJobOrder(t *testing.T) {
	b := newBroker(t)
	opts := workers(layers.Durable{})
	p := b.process(opts)
	for i := range 100 {
		p.send("jobs", fmt.Sprint(i))
	}
	for i := range 100 {
		if i == 50 {
			s := p.n.store
			p.must(s.js.DeleteConsumer(t.Context(), "tideway-queue-durable-10000-168h0m0s", "jobs"))
		}
		p.must(p.take("jobs", fmt.Sprint(i), 1).Done(t.Context()))
	}
	p.none("jobs")
}

func TestJobFull(t *testing.T) {
	b := newBroker(t)
	opts := workers(layers.Durable{Capacity: 2})
	p := b.process(opts)
	p.send("jobs", "one", "two")
	j := p.take("jobs", "one", 1)
	if err := p.Send(t.Context(), "jobs", note.With(text{"three"})); !errors.Is(err, layers.ErrChannelFull) {
		t.Errorf("a third job to a queue of 2, one of which is held: %v", err)
	}
	p.must(j.Done(t.Context()))
	p.send("jobs", "three")
}

// A job is buried once, however often that is tried, and is lost at no moment.
func TestJobBury(t *testing.T) {
	b := newBroker(t)
	opts := workers(layers.Durable{Capacity: 1})
	p := b.process(opts)
	p.send("jobs", "one")
	j := p.take("jobs", "one", 1)
	hold := p.n.store
	letter := func() error { return hold.put(t.Context(), &nats.Msg{Data: []byte("x")}, "jobs.dead") }
	p.must(letter())
	if err := j.Bury(t.Context(), "too often"); !errors.Is(err, layers.ErrChannelFull) {
		t.Errorf("Bury where there is no room: %v", err)
	}
	p.must(hold.purge(t.Context()))
	p.send("jobs", "two")
	j = p.take("jobs", "two", 1)
	p.must(j.Bury(t.Context(), "too often:\nfive times"))
	dead := p.take("jobs.dead", "two", 1)
	if got := dead.Reason(); got != "too often: five times" {
		t.Errorf("the reason of a burial is %q", got)
	}
	p.must(dead.Done(t.Context()))
	p.none("jobs")
	p.none("jobs.dead")
}

// A Bury that is tried again, because the answer to the first was lost, stores one letter.
func TestJobBuryTwice(t *testing.T) {
	b := newBroker(t)
	p := b.process(workers(layers.Durable{}))
	p.send("jobs", "one")
	raw, err := p.n.Take(t.Context(), "jobs")
	p.must(err)
	for range 3 {
		p.must(raw.Bury(t.Context(), "jobs.dead", "again"))
	}
	p.must(p.take("jobs.dead", "one", 1).Done(t.Context()))
	p.none("jobs.dead")
	p.none("jobs")
}

// A Take that ends holds nothing and loses nothing.
func TestJobTakeCancelled(t *testing.T) {
	b := newBroker(t)
	opts := workers(layers.Durable{Lease: time.Hour})
	p, q := b.process(opts), b.process(opts)
	for i := range 60 {
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan *layers.Job, 1)
		var worker sync.WaitGroup
		worker.Go(func() {
			defer close(got)
			if j, err := q.Take(ctx, "jobs"); err == nil {
				got <- j
			}
		})
		if i%3 > 0 {
			<-time.After(time.Duration(i%10) * 100 * time.Microsecond)
		}
		var canceller sync.WaitGroup
		canceller.Go(cancel)
		p.send("jobs", fmt.Sprint(i))
		canceller.Wait()
		worker.Wait()
		j := <-got
		if j == nil {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			var err error
			j, err = p.Take(ctx, "jobs")
			cancel()
			if err != nil {
				t.Fatalf("L18: job %d, whose taker had gone: %v", i, err)
			}
		}
		if v, _ := note.Decode(j.Message()); v.Text != fmt.Sprint(i) {
			t.Fatalf("L18: got %q, want %d", v.Text, i)
		}
		p.must(j.Done(t.Context()))
	}
}

// What nobody can read ends for good, and what is too old as well.
func TestJobUnreadable(t *testing.T) {
	b := newBroker(t)
	p := b.process(workers(layers.Durable{}))
	p.must(p.n.store.put(t.Context(), &nats.Msg{Data: []byte("not msgpack")}, "jobs"))
	p.none("jobs")
	if n := p.Stats().Dropped[layers.DropInvalid]; n != 1 {
		t.Errorf("%d unreadable jobs were counted, want 1", n)
	}
	info, err := p.n.store.js.Stream(t.Context(), "tideway-queue-durable-10000-168h0m0s")
	p.must(err)
	if n := info.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d messages are left in the stream, want none", n)
	}
}

func TestJobMaxAge(t *testing.T) {
	b := newBroker(t)
	p := b.process(workers(layers.Durable{MaxAge: 300 * time.Millisecond}))
	p.send("jobs", "old")
	<-time.After(400 * time.Millisecond)
	p.none("jobs")
}

// Processes that declare a durable queue otherwise hear of it.
func TestJobConflicts(t *testing.T) {
	b := newBroker(t)
	p := b.process(workers(layers.Durable{}))
	lease := b.process(workers(layers.Durable{Lease: time.Minute}))
	age := b.process(workers(layers.Durable{MaxAge: time.Hour}))
	plain := b.process(nil)
	p.send("jobs", "one")
	p.must(p.take("jobs", "one", 1).Retry(t.Context(), 0))
	_, err := lease.Take(t.Context(), "jobs")
	wantWords(t, err, "Lease 30s", "1m0s", "nats consumer rm")
	_, err = age.Take(t.Context(), "jobs")
	wantWords(t, err, "MaxAge: 168h0m0s", "MaxAge: 1h0m0s")
	_, err = plain.Receive(t.Context(), "jobs")
	wantWords(t, err, "Durable{Capacity: 10000", "capacity 100 and expiry 1m0s")
	wantWords(t, plain.Send(t.Context(), "jobs", note.With(text{"two"})), "Durable{Capacity: 10000")
	p.must(p.take("jobs", "one", 2).Done(t.Context()))
}

// A durable queue as the member of a group.
func TestJobFromGroup(t *testing.T) {
	b := newBroker(t)
	p := b.process(workers(layers.Durable{}))
	p.join("room", "jobs")
	p.groupSend("room", "one")
	p.must(p.take("jobs", "one", 1).Done(t.Context()))
}
