package embedded_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

func TestAlone(t *testing.T) {
	t.Parallel()
	srv := start(t, nil)
	if srv.ClientURL() != "" || srv.ClusterAddr() != "" || len(srv.Peers()) != 0 {
		t.Errorf("a server alone has %q, %q, %q", srv.ClientURL(), srv.ClusterAddr(), srv.Peers())
	}
	other, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	sub, err := other.SubscribeSync("greeting")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, embedded.DefaultMaxPayload)
	if err := srv.Conn().Publish("greeting", big); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsgWithContext(soon(t)); err != nil || len(m.Data) != len(big) {
		t.Fatal(err)
	}
	if err := srv.Conn().Publish("greeting", append(big, 1)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("above MaxPayload: %v", err)
	}
}

func TestJetStreamLimits(t *testing.T) {
	t.Parallel()
	srv := start(t, &embedded.Options{MaxMemory: 1 << 20, MaxDisk: 1 << 20})
	js, ctx := streams(t, srv.Conn()), soon(t)
	for name, storage := range map[string]jetstream.StorageType{"memory": jetstream.MemoryStorage, "file": jetstream.FileStorage} {
		publish := func(size int) (err error) {
			for range 10 { // the limit is seen when it has been passed
				if _, err = js.Publish(ctx, name, make([]byte, size)); err != nil {
					break
				}
			}
			return err
		}
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}, Storage: storage}); err != nil {
			t.Fatal(err)
		}
		if err := publish(1000); err != nil {
			t.Errorf("%s: 10 kB: %v", name, err)
		}
		var refusal *jetstream.APIError
		if err := publish(500_000); !errors.As(err, &refusal) {
			t.Errorf("%s: 5 MB where 1 MiB is the limit: %v", name, err)
		}
	}
}

// TestNothingIsLeft holds that the temporary directory goes with the server.
func TestNothingIsLeft(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	srv := start(t, nil)
	if _, err := streams(t, srv.Conn()).CreateStream(soon(t), jobs); err != nil {
		t.Fatal(err)
	}
	closeServer(t, srv)
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	srv := start(t, &embedded.Options{Listen: "127.0.0.1:0", User: "u", Password: "p"})
	for _, c := range []struct {
		name string
		opt  nats.Option
		ok   bool
	}{
		{"right password", nats.UserInfo("u", "p"), true},
		{"wrong password", nats.UserInfo("u", "q"), false},
		{"wrong user", nats.UserInfo("v", "p"), false},
		{"no password", nats.Name("n"), false},
		{"inside the process", nats.InProcessServer(srv), true},
	} {
		conn, err := nats.Connect(srv.ClientURL(), c.opt)
		if conn != nil {
			conn.Close()
		}
		if (err == nil) != c.ok || err != nil && !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	open := start(t, &embedded.Options{Listen: "127.0.0.1:0"})
	conn, err := nats.Connect(open.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// TestShutPort holds that the port for clients that a node of a cluster must have lets nobody in.
func TestShutPort(t *testing.T) {
	t.Parallel()
	core, lines := observer.New(zap.DebugLevel)
	start(t, &embedded.Options{Logger: zap.New(core), Cluster: &embedded.Cluster{Listen: "127.0.0.1:0"}})
	var port string
	for _, l := range lines.All() {
		if _, addr, ok := strings.Cut(l.Message, "Listening for client connections on "); ok {
			port = addr
		}
	}
	if _, err := nats.Connect("nats://" + port); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a client at %q: %v", port, err)
	}
}

func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel rows
	port := taken.Addr().String()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	node := func(c embedded.Cluster) *embedded.Options {
		if c.Listen == "" {
			c.Listen = "127.0.0.1:1"
		}
		return &embedded.Options{Name: "a", Cluster: &c}
	}
	for _, c := range []struct {
		name  string
		ctx   context.Context
		opts  *embedded.Options
		words []string
	}{
		{"ctx over", ended, nil, []string{"canceled"}},
		{"ctx over in a cluster", ended, node(embedded.Cluster{}), []string{"canceled"}},
		{"client port taken", nil, &embedded.Options{Listen: port}, []string{port, "in use"}},
		{"client port taken in a cluster", nil, &embedded.Options{Listen: port, Cluster: &embedded.Cluster{Listen: "127.0.0.1:0"}}, []string{port, "in use"}},
		{"route port taken", nil, node(embedded.Cluster{Listen: port}), []string{port, "in use"}},
		{"bad address", nil, &embedded.Options{Listen: "4222"}, []string{"Options.Listen", `"4222"`, "host:port"}},
		{"bad port", nil, &embedded.Options{Listen: "h:70000"}, []string{"Options.Listen", `"h:70000"`, "65535"}},
		{"negative memory", nil, &embedded.Options{MaxMemory: -1}, []string{"Options.MaxMemory"}},
		{"negative disk", nil, &embedded.Options{MaxDisk: -1}, []string{"Options.MaxDisk"}},
		{"payload too large", nil, &embedded.Options{MaxPayload: 65 << 20}, []string{"Options.MaxPayload", "64 MiB"}},
		{"user without password", nil, &embedded.Options{Listen: "h:1", User: "u"}, []string{"Options.User", "both"}},
		{"password without port", nil, &embedded.Options{User: "u", Password: "p"}, []string{"Options.Password", "Options.Listen"}},
		{"name with spaces", nil, &embedded.Options{Name: "a b"}, []string{"Options.Name"}},

		{"no address", nil, &embedded.Options{Cluster: &embedded.Cluster{}}, []string{"Cluster.Listen"}},
		{"bad route address", nil, node(embedded.Cluster{Listen: "6222"}), []string{"Cluster.Listen", `"6222"`}},
		{"bad route", nil, node(embedded.Cluster{Routes: []string{"h:1", "nats://h:2"}}), []string{"Cluster.Routes[1]", `"nats://h:2"`, "host:port"}},
		{"route without host", nil, node(embedded.Cluster{Routes: []string{":6222"}}), []string{"Cluster.Routes[0]", `":6222"`}},
		{"bad advertised address", nil, node(embedded.Cluster{Advertise: "h:0"}), []string{"Cluster.Advertise", `"h:0"`}},
		{"cluster name with spaces", nil, node(embedded.Cluster{Name: "a b"}), []string{"Cluster.Name"}},
		{"cluster user without password", nil, node(embedded.Cluster{User: "u"}), []string{"Cluster.User", "both"}},

		{"JetStream on two nodes", nil, node(embedded.Cluster{JetStreamPeers: 2, Routes: []string{"h:1"}}), []string{"JetStreamPeers is 2", "death of either"}},
		{"JetStream on four nodes", nil, node(embedded.Cluster{JetStreamPeers: 4}), []string{"JetStreamPeers is 4", "3 or 5"}},
		{"JetStream without its peers", nil, node(embedded.Cluster{JetStreamPeers: 3, Routes: []string{"h:1"}}), []string{"Cluster.Routes lists 1", "other 2 peers"}},
		{"JetStream with too many", nil, node(embedded.Cluster{JetStreamPeers: 3, Routes: []string{"h:1", "h:2", "h:3", "h:4"}}), []string{"Cluster.Routes lists 4"}},
		{"JetStream without a name", nil, &embedded.Options{Cluster: &embedded.Cluster{Listen: "127.0.0.1:1", JetStreamPeers: 3, Routes: []string{"h:1", "h:2"}}}, []string{"Options.Name"}},
		{"JetStream on a random port", nil, node(embedded.Cluster{Listen: "127.0.0.1:0", JetStreamPeers: 3, Routes: []string{"h:1", "h:2"}}), []string{"Cluster.Listen", "port 0"}},
		{"directory without JetStream", nil, &embedded.Options{Dir: "d", Cluster: &embedded.Cluster{Listen: "127.0.0.1:1"}}, []string{"Options.Dir", "JetStreamPeers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := c.ctx
			if ctx == nil {
				ctx = soon(t)
			}
			refused(t, ctx, c.opts, c.words...)
		})
	}
}

// TestLonelyPeer holds that a peer without the others ends with ctx, and says who was there.
func TestLonelyPeer(t *testing.T) {
	t.Parallel()
	addrs := free(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	refused(t, ctx, &embedded.Options{Name: "a", Cluster: &embedded.Cluster{Listen: addrs[0], Routes: addrs, JetStreamPeers: 3}},
		"JetStream has no leader", "3 peers", "deadline")
}

func TestClose(t *testing.T) {
	t.Parallel()
	srv := start(t, nil)
	sub, err := srv.Conn().SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		closeServer(t, srv)
	}
	if !srv.Conn().IsClosed() || sub.IsValid() {
		t.Error("Close left its connection open")
	}
	if _, err := srv.InProcessConn(); err == nil {
		t.Error("a closed server takes connections")
	}
}

// TestCloseIsBounded holds that Close ends with ctx while somebody holds the connection up, and the server ends anyway.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	srv, err := embedded.Start(soon(t), quiet(nil))
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	working := make(chan struct{})
	_, err = srv.Conn().Subscribe("x", func(*nats.Msg) {
		close(working)
		<-release
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Conn().Publish("x", nil); err != nil {
		t.Fatal(err)
	}
	<-working
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := srv.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "embedded: close: ") {
		t.Errorf("Close with a handler that does not end: %v", err)
	}
	close(release)
	if err := srv.Close(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second Close does not tell that draining failed: %v", err)
	}
}

// TestLog holds that nothing but warnings is louder than debug.
func TestLog(t *testing.T) {
	t.Parallel()
	core, lines := observer.New(zap.DebugLevel)
	closeServer(t, start(t, &embedded.Options{Logger: zap.New(core)}))
	if n := lines.Filter(func(e observer.LoggedEntry) bool { return e.Level > zapcore.DebugLevel }).All(); len(n) > 0 {
		t.Errorf("a quiet life is logged: %v", n)
	}
	if lines.FilterMessageSnippet("Server is ready").Len() != 1 {
		t.Error("the notices of the server are lost")
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		srv, err := embedded.Start(b.Context(), quiet(nil))
		if err != nil {
			b.Fatal(err)
		}
		closeServer(b, srv)
	}
}

// A client on another machine that falls silent is cut soon enough for L10: here one that answers no ping.
func TestSilentClientIsCut(t *testing.T) {
	t.Parallel()
	srv := start(t, &embedded.Options{Listen: "127.0.0.1:0"})
	u, err := url.Parse(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "CONNECT {\"verbose\":false}\r\nPING\r\n"); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(said), "Stale Connection") {
		t.Errorf("the server said %q and then %v, want it to end the connection as stale", said, err)
	}
}
