package natstest

import (
	"context"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// patience is how long a start or an end may take before the test fails.
const patience = 30 * time.Second

// New returns a layer with default options on a server of its own. Both end with the test.
func New(tb testing.TB) *layers.Layer {
	tb.Helper()
	return NewBroker(tb, nil).Layer()
}

// A Broker is a server of one test and makes its layers.
type Broker struct {
	tb     testing.TB
	opts   *natslayer.Options
	server *embedded.Server
}

// NewBroker starts a server, which ends with the test. Its layers have opts; nil is ready.
func NewBroker(tb testing.TB, opts *natslayer.Options) *Broker {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	srv, err := embedded.Start(ctx, nil)
	if err != nil {
		tb.Fatalf("natstest: %v", err)
	}
	b := &Broker{tb: tb, opts: opts, server: srv}
	b.atEnd("the server", srv.Close)
	return b
}

// Layer returns a layer that is another process, as far as others can tell: a channel of one is foreign to the rest. It is
// closed with the test; closing it before is a process that ends.
func (b *Broker) Layer() *layers.Layer {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, err := natslayer.New(ctx, b.server.Conn(), b.opts)
	if err != nil {
		b.tb.Fatalf("natstest: %v", err)
	}
	b.atEnd("a layer", l.Close)
	return l
}

// Server is the server itself, for what a plain NATS client sees of the layers: its Conn is one.
func (b *Broker) Server() *embedded.Server { return b.server }

func (b *Broker) atEnd(what string, end func(context.Context) error) {
	b.tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := end(ctx); err != nil {
			b.tb.Errorf("natstest: closing %s: %v", what, err)
		}
	})
}
