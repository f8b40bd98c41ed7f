package natslayer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers"
)

// New makes a layer over a connection that belongs to the application: its handlers and settings are left alone, several
// layers may share it, and closing the layer does not close it. The connection must not be made with nats.NoEcho. When
// New returns, the layer is ready, or there is an error.
func New(ctx context.Context, nc *nats.Conn, opts *Options) (*layers.Layer, error) {
	if nc == nil {
		panic("natslayer: New(ctx, nil, ...): give it a connection, or a URL to natslayer.Open")
	}
	if nc.Opts.NoEcho {
		panic("natslayer: New: the connection is made with nats.NoEcho, and channels of this process would hear nothing of it: leave it out")
	}
	return start(ctx, newNode(nc, opts.withDefaults()))
}

// Open makes a layer with a connection of its own to one of the servers in url, a list with commas between, as in
// "nats://user:password@10.0.0.1:4222,nats://10.0.0.2:4222". What a URL cannot say, certificates and such, needs New.
//
// A URL that cannot be used is an error at once: an empty one, a port that is none, another scheme than nats, tls, ws or wss.
// In a user or a password, "@" is written "%40", "/" "%2F", "," "%2C". A user without a password is a token.
//
// While no server answers, Open tries again until ctx ends, for 10 s if it has no deadline. Later the connection is
// made again by itself, for ever, after waits of 25 ms to 3 s. It notices a server that fell silent after 15 s.
func Open(ctx context.Context, url string, opts *Options) (*layers.Layer, error) {
	o := opts.withDefaults()
	nc, d, err := connect(ctx, url, o.Logger)
	if err != nil {
		return nil, err
	}
	n := newNode(nc, o)
	n.dialer = d
	return start(ctx, n)
}

// start subscribes what every process needs.
func start(ctx context.Context, n *node) (*layers.Layer, error) {
	l := layers.New(n, &n.opts.Options)
	n.run()
	server := n.remember()
	if err := n.begin(ctx); err != nil {
		_ = l.Close(ctx)  // it has sent nothing
		if server == "" { // it has no connection now
			return nil, fmt.Errorf("natslayer: start: %w", err)
		}
		return nil, fmt.Errorf("natslayer: start on %s: %w", server, err)
	}
	return l, nil
}

// run starts the goroutines. Close ends each and waits for all: the first by theEnd, the last by closing what it reads,
// the others by life.
func (n *node) run() {
	n.events = n.nc.StatusChanged()
	n.running.Add(5)
	go n.deliver()       // ended by Close, which waits
	go n.serve()         // ended by Close, which waits
	go n.tidy(n.linger)  // ended by Close, which waits
	go n.countDropped()  // ended by Close, which waits
	go n.watch(n.events) // ended by Close, which waits
}

func (n *node) begin(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if n.nc.IsClosed() {
		return fmt.Errorf("the connection is closed already: make the layer before, and close it after the layer: %w", nats.ErrConnectionClosed)
	}
	if err := n.subscribe(); err != nil {
		return err
	}
	n.link.learn(n.nc)
	if err := n.nc.FlushWithContext(limited); err != nil { // whatever the server has against it has come
		return ended(ctx, err)
	}
	if !n.nc.HeadersSupported() {
		return errors.New("the server knows no headers, so nobody would learn that a channel has gone: use version 2.2 or later")
	}
	if err := n.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), n.subjects.prefix+".") {
		return fmt.Errorf("the user needs permission to publish and subscribe to %q: %w", n.subjects.prefix+".>", err)
	}
	return ended(ctx, n.settle(limited))
}

func (n *node) subscribe() error {
	for _, s := range []struct {
		subject string
		to      chan *nats.Msg
	}{
		{n.subjects.ownChannels(), n.in},
		{n.subjects.marks(), n.in},
		{n.subjects.flush(), n.in},
		{n.subjects.control(n.names.Process()), n.requests},
	} {
		sub, err := n.nc.ChanSubscribe(s.subject, s.to)
		if err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		n.fixed = append(n.fixed, sub)
	}
	n.groups.mu.Lock()
	defer n.groups.mu.Unlock()
	n.groups.channels.sub = n.fixed[0]
	return nil
}
