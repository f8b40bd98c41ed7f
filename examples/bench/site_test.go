package main

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"go.uber.org/zap"
)

// A site is a server in the test's own process, on TCP.
type site struct {
	addr    string
	layer   *layers.Layer
	stop    func() error // shuts down; later calls return the same
	sockets *sockets
}

// serve serves the two sockets of this command until the end of the test.
func serve(t testing.TB, opts server.Options) *site {
	t.Helper()
	return serveOn(t, app(), opts, func(ln net.Listener) net.Listener { return ln })
}

// serveOn serves another app, on a listener that is made of one for TCP.
func serveOn(t testing.TB, app asgi.App, opts server.Options, listen func(net.Listener) net.Listener) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if opts.ShutdownWindow == 0 {
		opts.ShutdownWindow = -1
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	layer := memlayer.New(nil)
	layers.Register(layers.Default, layer)
	ctx, cancel := context.WithCancel(context.Background())
	s := &site{addr: ln.Addr().String(), layer: layer, sockets: &sockets{Listener: ln}}
	served := make(chan error, 1)
	go func() { served <- server.New(app, &opts).Serve(ctx, listen(s.sockets)) }() // awaited by stop
	var ended *error
	s.stop = func() error {
		if ended == nil {
			cancel()
			err := <-served
			ended = &err
		}
		return *ended
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		layers.Register(layers.Default, nil)
		if err := layer.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sockets is a listener that can make connections whose kernel buffer fills soon: not after megabytes.
type sockets struct {
	net.Listener
	small atomic.Bool
}

func (s *sockets) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err == nil && s.small.Load() {
		c.(*net.TCPConn).SetWriteBuffer(8 << 10)
	}
	return c, err
}
