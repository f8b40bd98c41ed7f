package natslayer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// Settings of the connections that Open makes.
const (
	connectTime    = 10 * time.Second // for the first connection, when ctx has no deadline
	dialTime       = 2 * time.Second  // for one server to take a connection
	writeTime      = 10 * time.Second // for the socket to take what is written
	pingTime       = 5 * time.Second  // between pings; a server that owes three answers is gone
	reconnectBytes = 8 << 20          // of group messages kept while there is no connection
)

// connect makes a connection that lasts. A server that refuses is an error at once, one that is not there may come.
func connect(ctx context.Context, servers string, log *zap.Logger) (*nats.Conn, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, connectTime)
		defer cancel()
	}
	for try := 1; ; try++ {
		nc, err := nats.Connect(servers, lasting(ctx, log)...)
		if err == nil {
			return nc, nil
		}
		var absent net.Error
		if bad := (*url.Error)(nil); errors.As(err, &bad) { // which shows the password
			return nil, fmt.Errorf("natslayer: connect to %s: %w", redact(servers), bad.Err)
		}
		if !errors.Is(err, nats.ErrNoServers) && !errors.As(err, &absent) {
			return nil, fmt.Errorf("natslayer: connect to %s: %w", redact(servers), err)
		}
		if try == 1 {
			log.Warn("natslayer: no server answers; trying again", zap.String("url", redact(servers)), zap.Error(err))
		}
		select {
		case <-time.After(pause(try)):
		case <-ctx.Done():
			return nil, fmt.Errorf("natslayer: connect to %s: %w (%w)", redact(servers), err, context.Cause(ctx))
		}
	}
}

// lasting are the client's options. ctx bounds the first try.
func lasting(ctx context.Context, log *zap.Logger) []nats.Option {
	try := dialTime
	if end, ok := ctx.Deadline(); ok {
		try = min(try, max(time.Until(end), time.Millisecond))
	}
	return []nats.Option{
		nats.Name("tideway"),
		nats.Timeout(try),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(pause),
		nats.ReconnectBufSize(reconnectBytes),
		nats.FlusherTimeout(writeTime),
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

// redact removes passwords from a list of URLs.
func redact(servers string) string {
	list := strings.Split(servers, ",")
	for i, s := range list {
		if s = strings.TrimSpace(s); !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		if u, err := url.Parse(s); err == nil {
			s = u.Redacted()
		} else if _, host, ok := strings.Cut(s, "@"); ok {
			s = host
		}
		list[i] = s
	}
	return strings.Join(list, ",")
}
