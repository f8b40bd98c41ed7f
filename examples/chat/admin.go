package main

import (
	"context"
	"errors"
	"net"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/asgi/server/admin"
	"github.com/tideway-go/tideway/asgi/server/metrics"
	"github.com/tideway-go/tideway/layers"
)

// listenAdmin listens at the address of -admin, if there is one.
func listenAdmin(addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	return net.Listen("tcp", addr)
}

// serveObserved serves a site on ln until ctx ends, and what operators ask on another listener: /metrics, /live, and /ready,
// which says no while the site drains. So that one ends last.
func serveObserved(ctx context.Context, ln, operators net.Listener, site asgi.App, layer *layers.Layer) error {
	m := metrics.New(nil)
	srv := server.New(m.Middleware(site), nil)
	m.AddServer("chat", srv)
	m.AddLayer(layers.Default, layer)
	a := admin.Server{
		Servers: map[string]*server.Server{"chat": srv},
		Layers:  map[string]*layers.Layer{layers.Default: layer},
		Metrics: m.Handler(),
	}
	asked, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	done := make(chan error, 1)
	go func() { done <- a.Serve(asked, operators) }() // ends with asked; received below
	err := srv.Serve(ctx, ln)
	end()
	return errors.Join(err, <-done)
}
