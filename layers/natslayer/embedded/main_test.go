package embedded_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long something that must happen may take.
const patience = 30 * time.Second

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// start starts a server that the test closes.
func start(t testing.TB, opts *embedded.Options) *embedded.Server {
	t.Helper()
	srv, err := embedded.Start(soon(t), quiet(opts))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, srv) })
	return srv
}

func closeServer(t testing.TB, srv *embedded.Server) {
	t.Helper()
	if err := srv.Close(soon(t)); err != nil {
		t.Error(err)
	}
}

func quiet(opts *embedded.Options) *embedded.Options {
	var o embedded.Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return &o
}

// refused demands that a start fails with an error that holds all the words.
func refused(t *testing.T, ctx context.Context, opts *embedded.Options, words ...string) {
	t.Helper()
	srv, err := embedded.Start(ctx, quiet(opts))
	if err == nil {
		closeServer(t, srv)
		t.Fatalf("it started; want an error with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	if !strings.HasPrefix(err.Error(), "embedded: ") {
		t.Errorf("error %q does not name its package", err)
	}
}

// streams is JetStream as a client of srv sees it.
func streams(t testing.TB, conn *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// free finds n ports. They may be taken before they are used, so who uses them tries again.
func free(t testing.TB, n int) []string {
	t.Helper()
	var addrs []string
	var servers []*embedded.Server
	for range n {
		srv, err := embedded.Start(soon(t), quiet(&embedded.Options{Cluster: &embedded.Cluster{Listen: "127.0.0.1:0"}}))
		if err != nil {
			t.Fatal(err)
		}
		servers, addrs = append(servers, srv), append(addrs, srv.ClusterAddr())
	}
	for _, srv := range servers {
		closeServer(t, srv)
	}
	return addrs
}

// cluster starts n nodes at once; edit changes the options of each. It tries again when a port was taken meanwhile.
func cluster(t testing.TB, n int, edit func(i int, o *embedded.Options)) []*embedded.Server {
	t.Helper()
	for try := 0; ; try++ {
		servers, err := tryCluster(t, free(t, n), edit)
		if err == nil {
			t.Cleanup(func() { closeAll(t, servers) })
			return servers
		}
		closeAll(t, servers)
		if try == 3 || !strings.Contains(err.Error(), "in use") {
			t.Fatal(err)
		}
	}
}

func tryCluster(t testing.TB, addrs []string, edit func(i int, o *embedded.Options)) ([]*embedded.Server, error) {
	servers, errs := make([]*embedded.Server, len(addrs)), make([]error, len(addrs))
	var started sync.WaitGroup
	for i := range addrs {
		o := quiet(&embedded.Options{Name: fmt.Sprint("node", i), Cluster: &embedded.Cluster{Listen: addrs[i], Routes: addrs}})
		edit(i, o)
		started.Go(func() { servers[i], errs[i] = embedded.Start(soon(t), o) })
	}
	started.Wait()
	for _, err := range errs {
		if err != nil {
			return servers, err
		}
	}
	return servers, nil
}

// closeAll closes them at once: the last of a cluster alone has no majority to hand over to.
func closeAll(t testing.TB, servers []*embedded.Server) {
	t.Helper()
	var closed sync.WaitGroup
	for _, srv := range servers {
		if srv != nil {
			closed.Go(func() { closeServer(t, srv) })
		}
	}
	closed.Wait()
}
