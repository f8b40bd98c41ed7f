package natslayer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// restart ends the server and begins another, which knows what is in dir, and nothing without one.
func (b *broker) restart(dir string, all ...*process) {
	b.Helper()
	for _, p := range all {
		p.cable.cut()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.srv.Close(ctx); err != nil {
		b.Fatal(err)
	}
	var err error
	if b.srv, err = embedded.Start(ctx, &embedded.Options{Logger: zap.NewNop(), Dir: dir}); err != nil {
		b.Fatal(err)
	}
	srv := b.srv
	b.Cleanup(func() { _ = srv.Close(context.Background()) })
	for _, p := range all {
		p.cable.mu.Lock()
		p.cable.srv = srv
		p.cable.mu.Unlock()
		p.cable.mend()
	}
	for _, p := range all {
		eventually(b, p.n.nc.IsConnected, "the connection is back")
	}
}

// A broker that kept everything in memory comes back empty: streams and consumers are made again for those who wait, and
// memberships are held again.
func TestBrokerRestart(t *testing.T) {
	b := newBroker(t)
	opts := workers(layers.Durable{Queues: "durable"})
	p, q := b.process(opts), b.process(opts)
	p.join("room", "jobs")
	waiting, working := waitFor(q, "jobs"), waitFor(q, "durable")
	eventually(t, func() bool { return q.waits("jobs") && q.waits("durable") }, "the receivers wait")
	b.restart("", p, q)
	send := func(queue string) {
		eventually(t, func() bool { return p.Send(t.Context(), queue, note.With(text{"after " + queue})) == nil }, "a send after the restart")
	}
	send("jobs")
	send("durable")
	if got := <-waiting; got != "after jobs" {
		t.Errorf("a Receive that waited while the broker restarted got %q", got)
	}
	if got := <-working; got != "after durable" {
		t.Errorf("a Receive that waited for a job while the broker restarted got %q", got)
	}
	q.groupSend("room", "member")
	q.want("jobs", "member")
}

// Jobs are in files: they survive the broker, with their attempts.
func TestJobsSurviveBroker(t *testing.T) {
	dir := t.TempDir()
	b := newBroker(t)
	b.restart(dir)
	opts := workers(layers.Durable{Lease: 2 * time.Second})
	p := b.process(opts)
	p.send("jobs", "held", "later", "waits")
	p.take("jobs", "held", 1)
	p.must(p.take("jobs", "later", 1).Retry(t.Context(), time.Second))
	b.restart(dir, p)
	got := map[string]int{}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		j, err := p.Take(ctx, "jobs")
		cancel()
		p.must(err)
		v, _ := note.Decode(j.Message())
		got[v.Text] = j.Attempt()
		p.must(j.Done(t.Context()))
	}
	if got["held"] != 2 || got["later"] != 2 || got["waits"] != 1 {
		t.Errorf("L18: jobs and their attempts after a restart of the broker: %v, want held 2, later 2, waits 1", got)
	}
}

func TestShapes(t *testing.T) {
	s := &store{prefix: "p"}
	for _, c := range []struct {
		shape           shape
		stream, subject string
	}{
		{shape{false, 100, time.Minute}, "p-queue-100-1m0s", "p.queue.100-1m0s.a~b"},
		{shape{false, 5, 1500 * time.Millisecond}, "p-queue-5-1~5s", "p.queue.5-1~5s.a~b"},
		{shape{true, 10, time.Hour}, "p-queue-durable-10-1h0m0s", "p.queue.durable-10-1h0m0s.a~b"},
		{shape{false, 1, time.Microsecond}, "p-queue-1-1=C2=B5s", "p.queue.1-1=C2=B5s.a~b"},
	} {
		if got := s.streamOf(c.shape); got != c.stream {
			t.Errorf("stream of %v: %q, want %q", c.shape, got, c.stream)
		}
		if got := s.subjectOf(c.shape, "a.b"); got != c.subject {
			t.Errorf("subject in %v: %q, want %q", c.shape, got, c.subject)
		}
	}
}

// Every setting that a process relies on is compared.
func TestStreamDiffers(t *testing.T) {
	s := &store{prefix: "p", opts: Options{Replicas: 1}}
	want := s.config(shape{true, 10, time.Hour})
	if err := differs(want, want); err != nil {
		t.Errorf("a stream differs from itself: %v", err)
	}
	for what, change := range map[string]func(*jetstream.StreamConfig){
		"storage File": func(c *jetstream.StreamConfig) {
			c.Storage = jetstream.FileStorage
			want.Storage = jetstream.MemoryStorage
		},
		"replicas 3":           func(c *jetstream.StreamConfig) { c.Replicas = 3 },
		"capacity 11":          func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 11 },
		"expiry 1m0s":          func(c *jetstream.StreamConfig) { c.MaxAge = time.Minute },
		"retention Limits":     func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy },
		"discard policy":       func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"discard per subject":  func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = false },
		"subjects other.place": func(c *jetstream.StreamConfig) { c.Subjects = []string{"other.place"} },
	} {
		have := want
		change(&have)
		if err := differs(want, have); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("a stream with another %s: %v", what, err)
		}
	}
}

// Between the same clocks there is no skew; else it is at most what one answer shows.
func TestSkew(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, c := range []struct {
		broker time.Time
		want   time.Duration
	}{
		{time.Time{}, 0},
		{at, 0},
		{at.Add(50 * time.Millisecond), 0},
		{at.Add(100 * time.Millisecond), 0},
		{at.Add(time.Hour), 100*time.Millisecond - time.Hour},
		{at.Add(-time.Hour), time.Hour},
	} {
		if got := skew(at, at.Add(100*time.Millisecond), c.broker); got != c.want {
			t.Errorf("skew of a broker at %v: %v, want %v", c.broker, got, c.want)
		}
	}
}

// TestWireFormatOfQueues sends to a queue and receives from one with a client that knows the page and nothing else.
func TestWireFormatOfQueues(t *testing.T) {
	b := newBroker(t)
	p := b.process(&Options{Options: layers.Options{Capacity: 2}})
	client, _ := b.connect()
	p.send("a.b", "first")
	request := func(subject string, payload []byte) string {
		t.Helper()
		reply, err := client.Request(subject, payload, patience)
		p.must(err)
		return string(reply.Data)
	}
	if got := request("tideway.queue.2-1m0s.a~b", hello); !strings.Contains(got, `"stream":"tideway-queue-2-1m0s"`) {
		t.Errorf("the answer to a message for a queue: %s", got)
	}
	if got := request("tideway.queue.2-1m0s.a~b", hello); !strings.Contains(got, "10077") || !strings.Contains(got, "maximum messages per subject exceeded") {
		t.Errorf("the answer to a message for a full queue: %s", got)
	}
	p.want("a.b", "first", "hello")
	p.send("a.b", "second")
	m, err := client.Request("$JS.API.CONSUMER.MSG.NEXT.tideway-queue-2-1m0s.a~b", nil, patience)
	p.must(err)
	if !strings.Contains(string(m.Data), "second") {
		t.Errorf("a plain client received %q", m.Data)
	}
	request(m.Reply, []byte("+ACK"))
	p.empty(p, "a.b")
	c, err := p.n.store.js.Consumer(t.Context(), "tideway-queue-2-1m0s", "a~b")
	p.must(err)
	if c := c.CachedInfo().Config; c.AckWait != 61*time.Second || c.InactiveThreshold != time.Minute {
		t.Errorf("L11: the consumer gives a message again after %v, and stays for %v; want 1m1s and 1m", c.AckWait, c.InactiveThreshold)
	}
}
