package tracing_test

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/asgi/server/tracing"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// A site with traces: the middleware outside of all others, and the layer that carries traces to other processes.
func Example() {
	provider := sdktrace.NewTracerProvider( // and an exporter: sdktrace.WithBatcher(exporter)
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.01))))
	defer provider.Shutdown(context.Background())

	t := tracing.New(&tracing.Options{Provider: provider})
	layers.Register(layers.Default, memlayer.New(&layers.Options{Propagator: t}))
	srv := server.New(asgi.Wrap(chatApp(), t.Middleware), nil)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := srv.Run(ctx); err != nil {
		fmt.Println(err)
	}
}

// Code that takes messages itself finds the sender's trace in them.
func ExampleTracing_Extract() {
	t := tracing.New(nil)
	layer := memlayer.New(&layers.Options{Propagator: t})
	worker := func(ctx context.Context) error {
		for {
			job, err := layer.Take(ctx, "jobs")
			if err != nil {
				return err
			}
			ctx := layer.TraceContext(ctx, job.Message()) // spans that begin with this one are in the sender's trace
			if err := job.Done(ctx); err != nil {
				return err
			}
		}
	}
	_ = worker
	_ = consumers.Worker{Layer: layer, App: t.Middleware(chatApp())} // consumers need none of it
}
