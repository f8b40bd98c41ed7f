package admin_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/asgi/server/admin"
	"github.com/tideway-go/tideway/asgi/server/metrics"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// A site with an admin server, which ends after the public one.
func Example() {
	layer := memlayer.New(nil)
	layers.Register(layers.Default, layer)
	var db *sql.DB // as the application opens it

	m := metrics.New(nil)
	srv := server.New(asgi.Wrap(consumers.AsyncWebsocketConsumer[struct{}]{}.App(), m.Middleware), nil)
	m.AddServer("public", srv)
	m.AddLayer("default", layer)
	a := admin.Server{
		Servers: map[string]*server.Server{"public": srv},
		Layers:  map[string]*layers.Layer{"default": layer},
		Checks:  map[string]func(context.Context) error{"database": db.PingContext},
		Metrics: m.Handler(),
	}

	signaled, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	err := srv.Run(signaled) // /ready says no while it drains
	end()
	if err := errors.Join(err, <-done); err != nil {
		fmt.Println(err)
	}
}
