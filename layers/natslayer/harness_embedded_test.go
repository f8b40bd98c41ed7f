package natslayer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// embeddedBroker is a server alone that nobody else uses.
func embeddedBroker(tb testing.TB) *broker {
	tb.Helper()
	srv, err := embedded.Start(context.Background(), &embedded.Options{Logger: zap.NewNop()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeServers(tb, srv) })
	return &broker{dials: []func() (net.Conn, error){srv.InProcessConn}, replicas: 1}
}

// startCluster starts three nodes, for all checks of t. Queues are kept on so many of them; with 0 there is no JetStream.
func startCluster(t testing.TB, replicas int) source {
	t.Helper()
	var nodes []*embedded.Server
	for try := 0; ; try++ {
		var err error
		if nodes, err = tryCluster(t, replicas > 0); err == nil {
			break
		}
		closeServers(t, nodes...)
		if try == 3 || !strings.Contains(err.Error(), "in use") { // another process took a port that was free
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { closeServers(t, nodes...) })
	b := &broker{replicas: replicas}
	for _, srv := range nodes {
		if err := srv.WaitPeers(t.Context(), len(nodes)-1); err != nil {
			t.Fatal(err)
		}
		b.dials = append(b.dials, srv.InProcessConn)
	}
	return func(testing.TB) *broker { return b }
}

func tryCluster(t testing.TB, jetStream bool) ([]*embedded.Server, error) {
	t.Helper()
	const n = 3
	peers := 0
	if jetStream {
		peers = n
	}
	addrs := freeAddrs(t, n)
	nodes, errs := make([]*embedded.Server, n), make([]error, n)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var started sync.WaitGroup
	for i := range n {
		started.Go(func() {
			nodes[i], errs[i] = embedded.Start(ctx, &embedded.Options{
				Name:    fmt.Sprint("node", i),
				Logger:  zap.NewNop(),
				Cluster: &embedded.Cluster{Listen: addrs[i], Routes: addrs, JetStreamPeers: peers},
			})
		})
	}
	started.Wait()
	return nodes, errors.Join(errs...)
}

// freeAddrs are addresses that were free a moment ago.
func freeAddrs(t testing.TB, n int) []string {
	t.Helper()
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// closeServers closes those that have started, all at once: the last of a cluster has nobody to hand over to.
func closeServers(tb testing.TB, servers ...*embedded.Server) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var closed sync.WaitGroup
	for _, srv := range servers {
		if srv == nil {
			continue
		}
		closed.Go(func() {
			if err := srv.Close(ctx); err != nil {
				tb.Errorf("closing a server: %v", err)
			}
		})
	}
	closed.Wait()
}
