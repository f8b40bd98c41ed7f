package natslayer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tideway-go/tideway/layers"
)

// rate tells how many passed per second.
func rate(b *testing.B, what string) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), what+"/s")
}

// BenchmarkQueue sends to a queue in one process and receives in another, n at a time on both sides, beside JetStream
// alone: a publish with its answer, one pull for each message and an acknowledgement with its answer.
func BenchmarkQueue(b *testing.B) {
	for _, n := range []int{1, 16, 128} {
		b.Run(fmt.Sprint("tideway/", n), func(b *testing.B) {
			br := newBroker(b)
			opts := &Options{Options: layers.Options{Capacity: 1 << 30}}
			p, q := br.process(opts), br.process(opts)
			passes(b, n, func(ctx context.Context) error { return p.Send(ctx, "jobs", note.With(text{"hello"})) },
				func(ctx context.Context) error { _, err := q.Receive(ctx, "jobs"); return err })
		})
		b.Run(fmt.Sprint("jetstream/", n), func(b *testing.B) { rawQueue(b, n, jetstream.MemoryStorage) })
	}
}

// BenchmarkJobs is the same for durable queues, in files: send, take, done.
func BenchmarkJobs(b *testing.B) {
	for _, n := range []int{1, 16, 128} {
		b.Run(fmt.Sprint("tideway/", n), func(b *testing.B) {
			br := newBroker(b)
			opts := workers(layers.Durable{Capacity: 1 << 30})
			p, q := br.process(opts), br.process(opts)
			passes(b, n, func(ctx context.Context) error { return p.Send(ctx, "jobs", note.With(text{"hello"})) },
				func(ctx context.Context) error {
					j, err := q.Take(ctx, "jobs")
					if err == nil {
						err = j.Done(ctx)
					}
					return err
				})
		})
		b.Run(fmt.Sprint("jetstream/", n), func(b *testing.B) { rawQueue(b, n, jetstream.FileStorage) })
	}
}

// passes runs n senders and n receivers until b.N messages have passed.
func passes(b *testing.B, n int, send, receive func(context.Context) error) {
	b.Helper()
	ctx := b.Context()
	if err := send(ctx); err != nil { // what is made at the first use
		b.Fatal(err)
	}
	if err := receive(ctx); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var all sync.WaitGroup
	each := func(f func(context.Context) error) {
		var done atomic.Int64
		for range n {
			all.Go(func() {
				for done.Add(1) <= int64(b.N) {
					if err := f(ctx); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
	}
	each(send)
	each(receive)
	all.Wait()
	rate(b, "msg")
}

func rawQueue(b *testing.B, n int, storage jetstream.StorageType) {
	br := newBroker(b)
	pc, _ := br.connect()
	qc, _ := br.connect()
	js, err := jetstream.New(pc)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: "raw", Subjects: []string{"raw.*"}, Retention: jetstream.WorkQueuePolicy, Storage: storage,
	}); err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateConsumer(b.Context(), "raw", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1}); err != nil {
		b.Fatal(err)
	}
	data := []byte("\x82\xa4type\xa4note\xa4text\xa5hello")
	pull := []byte(`{"batch":1,"expires":30000000000}`)
	subs := make(chan *nats.Subscription, n)
	for range n {
		sub, err := qc.SubscribeSync(qc.NewInbox())
		if err != nil {
			b.Fatal(err)
		}
		subs <- sub
	}
	passes(b, n, func(ctx context.Context) error {
		_, err := pc.RequestWithContext(ctx, "raw.jobs", data)
		return err
	}, func(ctx context.Context) error {
		sub := <-subs
		defer func() { subs <- sub }()
		if err := qc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.raw.c", sub.Subject, pull); err != nil {
			return err
		}
		m, err := sub.NextMsgWithContext(ctx)
		if err == nil {
			_, err = qc.RequestWithContext(ctx, m.Reply, []byte("+ACK"))
		}
		return err
	})
}
