package natslayer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer"
	"github.com/tideway-go/tideway/testing/layertest"
)

// patience is how long something that must happen may take.
const patience = 30 * time.Second

// A broker is one server or several. Checks may share it, since each has a prefix of its own.
type broker struct {
	dials    []func() (net.Conn, error) // the ways in: the layers take them in turn
	replicas int                        // 0: no JetStream
}

// A broker is made for each check, or is there before.
type source func(tb testing.TB) *broker

var prefixes atomic.Int64

// harness is the suite's view of natslayer on a broker.
func harness(from source, interestDelay time.Duration) layertest.Harness {
	var cables sync.Map // from *layers.Layer to *cable
	cableOf := func(l *layers.Layer) *cable {
		c, _ := cables.Load(l)
		return c.(*cable)
	}
	return layertest.Harness{
		InterestDelay: interestDelay,
		New: func(tb testing.TB, opts layers.Options, n int) []*layers.Layer {
			tb.Helper()
			b := from(tb)
			o := &natslayer.Options{
				Options:  opts,
				Prefix:   fmt.Sprint("check", prefixes.Add(1)),
				Replicas: b.replicas,
				Logger:   zap.NewNop(),
			}
			b.sweep(tb, o.Prefix)
			var all []*layers.Layer
			for i := range n {
				c := &cable{dial: b.dials[i%len(b.dials)]}
				l := c.layer(tb, o)
				cables.Store(l, c)
				all = append(all, l)
			}
			if len(b.dials) > 1 {
				acquaint(tb, all)
			}
			return all
		},
		Break: func(_ testing.TB, l *layers.Layer) { cableOf(l).cut() },
		Mend:  func(_ testing.TB, l *layers.Layer) { cableOf(l).mend() },
		Crash: func(_ testing.TB, l *layers.Layer) { cableOf(l).destroy() },
	}
}

// sweep removes the streams of a check at its end.
func (b *broker) sweep(tb testing.TB, prefix string) {
	if b.replicas == 0 {
		return // no JetStream
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c := &cable{dial: b.dials[0]}
		nc := c.connect(tb)
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			tb.Error(err)
			return
		}
		for {
			err := deleteStreams(ctx, js, prefix)
			if err == nil {
				return
			}
			if ctx.Err() != nil { // a request during an election has no answer
				tb.Errorf("deleting the streams of %s: %v", prefix, err)
				return
			}
		}
	})
}

func deleteStreams(ctx context.Context, js jetstream.JetStream, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	names := js.StreamNames(ctx)
	var failed error
	for name := range names.Name() {
		if strings.HasPrefix(name, prefix+"_") || strings.HasPrefix(name, prefix+"-") {
			failed = errors.Join(failed, js.DeleteStream(ctx, name))
		}
	}
	return errors.Join(failed, names.Err())
}

// acquaint waits until every layer of a cluster knows of the others: routes carry news with a delay.
func acquaint(tb testing.TB, all []*layers.Layer) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	const hello layers.Type[map[string]any] = "harness.hello"
	for _, to := range all {
		ch, err := to.NewChannel(ctx)
		if err != nil {
			tb.Fatal(err)
		}
		for _, from := range all {
			err := layers.ErrNoChannel
			for errors.Is(err, layers.ErrNoChannel) {
				err = from.Send(ctx, ch, hello.With(nil))
			}
			if err != nil && !errors.Is(err, layers.ErrChannelFull) { // that is an answer too
				tb.Fatal(err)
			}
		}
		if err := to.EndChannel(ctx, ch); err != nil {
			tb.Fatal(err)
		}
	}
}

// A cable is the connection between one layer and its broker, which can be cut.
type cable struct {
	dial func() (net.Conn, error)

	mu        sync.Mutex
	isCut     bool
	destroyed bool
	ends      []net.Conn
}

var errCut = errors.New("the cable is cut")

// InProcessConn is called by the client for each connection that it tries to make, also to another process.
func (c *cable) InProcessConn() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return nil, errCut
	}
	end, err := c.dial()
	if err == nil {
		c.ends = append(c.ends, end)
	}
	return end, err
}

// cut ends the connection without a word and lets no new one come.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for _, end := range c.ends {
		_ = end.Close() // what it says of what was in it is of no interest
	}
	c.ends = nil
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = false
}

// destroy is the death of the process at this end.
func (c *cable) destroy() {
	c.cut()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.destroyed = true
}

func (c *cable) isDestroyed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.destroyed
}

// connect makes a connection that lasts as long as the test.
func (c *cable) connect(tb testing.TB) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(c), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(10*time.Millisecond, 10*time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		tb.Fatal(err)
	}
	return nc
}

// layer makes a layer at the end of the cable. Both end with the test.
func (c *cable) layer(tb testing.TB, o *natslayer.Options) *layers.Layer {
	tb.Helper()
	nc := c.connect(tb)
	tb.Cleanup(nc.Close)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, err := natslayer.New(ctx, nc, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		limit := patience
		if c.isDestroyed() {
			limit = 0 // nobody closes a dead process; this only ends its goroutines
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := l.Close(ctx); err != nil && !c.isDestroyed() {
			tb.Errorf("closing a layer: %v", err)
		}
	})
	return l
}
