package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/layers/natslayer"
	"github.com/tideway-go/tideway/routing"
	"github.com/tideway-go/tideway/testing/natstest"
	"go.uber.org/zap"
)

// BenchmarkWorker tells how many jobs per second a consumers.Worker handles that do nothing, while another process sends
// them: from a plain queue, at most once, and from a durable one, at least once, over memory and over a NATS server inside
// this process. Compare BenchmarkQueue and BenchmarkJobs of layers/natslayer, which have no worker, and JetStream alone.
func BenchmarkWorker(b *testing.B) {
	opts := layers.Options{Capacity: 1 << 30, Durables: []layers.Durable{{Queues: "durable", Capacity: 1 << 30}}}
	for _, queue := range []string{"plain", "durable"} {
		for _, n := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("%s/memlayer/%d", queue, n), func(b *testing.B) {
				bus := memlayer.NewBus(&opts)
				from, to := bus.Layer(), bus.Layer()
				b.Cleanup(func() {
					if err := errors.Join(from.Close(context.Background()), to.Close(context.Background())); err != nil {
						b.Error(err)
					}
				})
				handle(b, from, to, queue, n)
			})
			b.Run(fmt.Sprintf("%s/natslayer/%d", queue, n), func(b *testing.B) {
				broker := natstest.NewBroker(b, &natslayer.Options{Options: opts})
				handle(b, broker.Layer(), broker.Layer(), queue, n)
			})
		}
	}
}

// handle has n senders and a worker of concurrency n until b.N jobs are handled.
func handle(b *testing.B, from, to *layers.Layer, queue string, n int) {
	b.Helper()
	const nothing layers.Type[struct{}] = "bench.nothing"
	handled := make(chan struct{}, n)
	w := &consumers.Worker{
		Layer: to, Channels: []string{queue}, Concurrency: n, Logger: zap.NewNop(),
		App: routing.Channels(map[string]asgi.App{queue: consumers.AsyncConsumer[struct{}]{
			Messages: []consumers.Handler[struct{}]{consumers.On(nothing, func(*struct{}, context.Context, *consumers.Conn, struct{}) error {
				handled <- struct{}{}
				return nil
			})},
		}.App()}),
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }() // ends with ctx; waited for below
	send := func() {
		if err := from.Send(ctx, queue, nothing.With(struct{}{})); err != nil {
			b.Error(err)
			handled <- struct{}{} // nobody waits for it
		}
	}
	send()
	<-handled // what is made at the first use is there
	b.ResetTimer()
	var senders sync.WaitGroup
	for i := range n {
		senders.Go(func() {
			for range (b.N + i) / n {
				send()
			}
		})
	}
	for range b.N {
		<-handled
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	b.StopTimer()
	senders.Wait()
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}
