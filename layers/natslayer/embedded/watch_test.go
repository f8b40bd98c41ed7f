package embedded_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// said waits for a line with all the words, in its message or its fields.
func said(t *testing.T, ctx context.Context, lines *observer.ObservedLogs, words ...string) {
	t.Helper()
	for ctx.Err() == nil {
	next:
		for _, l := range lines.All() {
			text := l.Message
			for _, f := range l.ContextMap() {
				if s, ok := f.(string); ok {
					text += " " + s
				}
			}
			for _, w := range words {
				if !strings.Contains(text, w) {
					continue next
				}
			}
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Errorf("the log does not say %q: %v", words, lines.All())
}

// A route to a port for clients makes both servers run hot, so it is refused at the start.
func TestRouteToAPortForClients(t *testing.T) {
	t.Parallel()
	a := start(t, &embedded.Options{Listen: "127.0.0.1:0", Cluster: &embedded.Cluster{Listen: "127.0.0.1:0"}})
	wrong := strings.TrimPrefix(a.ClientURL(), "nats://")
	words := []string{wrong, "port for clients", "Cluster.Listen", "-cluster"}
	routes := []string{a.ClusterAddr(), wrong}
	refused(t, soon(t), &embedded.Options{Cluster: &embedded.Cluster{Listen: "127.0.0.1:0", Routes: routes}},
		append(words, "Cluster.Routes")...)
	refused(t, soon(t), &embedded.Options{Cluster: &embedded.Cluster{Listen: "127.0.0.1:0", Routes: routes, TLS: certificate(t)}}, words...)

	b := start(t, &embedded.Options{Cluster: &embedded.Cluster{Listen: "127.0.0.1:0"}})
	err := b.AddRoutes(soon(t), routes...)
	if err == nil || !strings.Contains(err.Error(), "port for clients") {
		t.Errorf("AddRoutes: %v", err)
	}
	if err := b.AddRoutes(soon(t), a.ClusterAddr()); err != nil {
		t.Fatal(err)
	}
	if err := b.WaitPeers(soon(t), 1); err != nil {
		t.Fatal(err)
	}
}

// A port for clients that comes to a route later is found out, left alone, and tried again when a node is there.
func TestRouteThatIsWrongLater(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	p.down()
	core, lines := observer.New(zap.InfoLevel)
	node := start(t, &embedded.Options{Logger: zap.New(core), Cluster: &embedded.Cluster{Listen: "127.0.0.1:0", Routes: []string{p.addr}}})
	a := start(t, &embedded.Options{Listen: "127.0.0.1:0", Cluster: &embedded.Cluster{Listen: "127.0.0.1:0"}})
	p.to.Store(strings.TrimPrefix(a.ClientURL(), "nats://"))
	p.up()
	said(t, soon(t), lines, "left alone", p.addr, "port for clients")
	p.to.Store(a.ClusterAddr())
	if err := node.WaitPeers(soon(t), 1); err != nil {
		t.Error(err)
	}
	if n := lines.Filter(func(l observer.LoggedEntry) bool { return l.Level == zapcore.ErrorLevel }).Len(); n > 20 {
		t.Errorf("%d errors are logged", n)
	}
}

// The log says which nodes are missing and why, and when they are here; not that a node starts a moment later.
func TestMissingNodes(t *testing.T) {
	t.Parallel()
	web, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	p := newProxy(t)
	p.down()
	start := func(o embedded.Options, c embedded.Cluster) (*embedded.Server, *observer.ObservedLogs) {
		core, lines := observer.New(zap.InfoLevel)
		c.Listen = "127.0.0.1:0"
		o.Cluster, o.Logger = &c, zap.New(core)
		return start(t, &o), lines
	}
	a, alines := start(embedded.Options{Name: "a"}, embedded.Cluster{User: "u", Password: "p", Routes: []string{p.addr, web.Addr().String()}})
	_, wrong := start(embedded.Options{}, embedded.Cluster{User: "u", Password: "q", Routes: []string{a.ClusterAddr()}})
	_, other := start(embedded.Options{}, embedded.Cluster{User: "u", Password: "p", Name: "other", Routes: []string{a.ClusterAddr()}})
	_, twin := start(embedded.Options{Name: "a"}, embedded.Cluster{User: "u", Password: "p", Routes: []string{a.ClusterAddr()}})
	b, blines := start(embedded.Options{Name: "b"}, embedded.Cluster{User: "u", Password: "p", Routes: []string{a.ClusterAddr()}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience) // the first lines come after 10 s
	defer cancel()
	said(t, ctx, alines, "no connection to a node", p.addr, "refused")
	said(t, ctx, alines, "no connection to a node", web.Addr().String(), "says nothing")
	said(t, ctx, wrong, "no connection to a node", a.ClusterAddr(), "Cluster.User, Password")
	said(t, ctx, other, "no connection to a node", `its cluster is "tideway", this one is "other"`)
	said(t, ctx, twin, "no connection to a node", `two nodes have the name "a"`)
	p.to.Store(b.ClusterAddr())
	p.up()
	said(t, ctx, alines, "the node of the cluster is connected now", p.addr)
	if blines.Len() > 0 {
		t.Errorf("a node without problems says %v", blines.All())
	}
}
