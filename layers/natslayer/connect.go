package natslayer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// Settings of the connections that Open makes.
const (
	connectTime    = 10 * time.Second // for the first connection, when ctx has no deadline
	dialTime       = 2 * time.Second  // for one server to take a connection
	pingTime       = 5 * time.Second  // between pings; a server that owes three answers is gone
	reconnectBytes = 8 << 20          // kept by the client in the moment before the layer notices an outage
)

// connect makes a connection that lasts. A server that refuses is an error at once, one that is not there may come.
func connect(ctx context.Context, servers string, log *zap.Logger) (*nats.Conn, *dialer, error) {
	if err := checkURLs(servers); err != nil {
		return nil, nil, fmt.Errorf("natslayer: connect to %q: %w", redact(servers), err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, connectTime)
		defer cancel()
	}
	d := &dialer{}
	for try := 1; ; try++ {
		d.begin(ctx)
		nc, err := nats.Connect(servers, append(lasting(log), nats.SetCustomDialer(d))...)
		if err == nil && d.connected() {
			return nc, d, nil
		}
		if nc != nil {
			nc.Close()
		}
		d.wait()
		var absent net.Error
		switch {
		case ctx.Err() != nil:
		case !errors.Is(err, nats.ErrNoServers) && !errors.As(err, &absent):
			return nil, nil, fmt.Errorf("natslayer: connect to %s: %w", redact(servers), err)
		case try == 1:
			log.Warn("natslayer: no server answers; trying again", zap.String("url", redact(servers)), zap.Error(err))
		}
		select {
		case <-time.After(pause(try)):
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("natslayer: connect to %s: %w (%w)", redact(servers), context.Cause(ctx), cmp.Or(err, nats.ErrNoServers))
		}
	}
}

// dialer makes the client's sockets. Until the first connection is made they end with ctx; the client has no ctx there.
type dialer struct {
	mu      sync.Mutex
	ctx     context.Context // nil later
	stop    func() bool     // of the watch over the last socket
	last    *socket
	sockets sync.WaitGroup
}

// begin says whose ctx the next tries are for.
func (d *dialer) begin(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ctx = ctx
}

// connected says that the first connection is made and ctx has left it alone.
func (d *dialer) connected() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ctx = nil
	return d.stop == nil || d.stop()
}

// wait ends the last socket after the client has ended, and returns when all are at their end.
func (d *dialer) wait() {
	d.mu.Lock()
	d.closeLast()
	d.mu.Unlock()
	d.sockets.Wait()
}

// closeLast ends a socket that the client has left to the collector, as it does when a server refuses it. The lock is held.
func (d *dialer) closeLast() {
	if d.last != nil {
		_ = d.last.Close()
		d.last = nil
	}
}

// Dial is called by the client, for one connection after the other.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closeLast()
	ctx := d.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	nd := net.Dialer{Timeout: dialTime}
	conn, err := nd.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.sockets.Add(1)
	s := newSocket(conn, d.sockets.Done)
	d.last = s
	if d.ctx != nil {
		d.stop = context.AfterFunc(d.ctx, func() { _ = s.Close() })
	}
	return s, nil
}

// lasting are the client's options.
func lasting(log *zap.Logger) []nats.Option {
	return []nats.Option{
		nats.Name("tideway"),
		nats.Timeout(dialTime),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(pause),
		nats.ReconnectBufSize(reconnectBytes),
		nats.ReconnectOnFlusherError(),
		nats.PingInterval(pingTime),
		nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrSlowConsumer) { // overflow counts these
				log.Warn("natslayer: the client reports an error", zap.Error(err))
			}
		}),
	}
}

// pause is the wait before the next try: longer each time, and never the same for two processes.
func pause(try int) time.Duration {
	d := min(50*time.Millisecond<<min(try-1, 10), 2*time.Second)
	return d/2 + rand.N(d)
}
