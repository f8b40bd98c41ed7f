package metrics_test

import (
	"context"
	"fmt"
	"net/http"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/asgi/server/metrics"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// A site with metrics: the middleware around the application, and what counts by itself added by name.
func Example() {
	layer := memlayer.New(nil)
	layers.Register(layers.Default, layer)

	m := metrics.New(nil)
	srv := server.New(asgi.Wrap(chatApp(), m.Middleware), nil)
	m.AddServer("public", srv)
	m.AddLayer(layers.Default, layer)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go http.ListenAndServe("127.0.0.1:8001", m.Handler()) // or the admin server, which has more
	if err := srv.Run(ctx); err != nil {
		fmt.Println(err)
	}
}

// An application with metrics of its own registers these beside them.
func ExampleMetrics_Collect() {
	m := metrics.New(&metrics.Options{Buckets: []float64{0.01, 0.1, 1}})
	m.AddLayer(layers.Default, memlayer.New(nil))
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		fmt.Println(err)
	}
	for _, f := range families {
		if f.GetName() == "tideway_layer_up" {
			fmt.Println(f.GetName(), f.Metric[0].GetGauge().GetValue())
		}
	}
	// Output: tideway_layer_up 1
}
