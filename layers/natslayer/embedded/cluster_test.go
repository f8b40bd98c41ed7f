package embedded_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// crosses sends a message from one node to another.
func crosses(t *testing.T, from, to *embedded.Server) {
	t.Helper()
	sub, err := to.Conn().SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	for limit := soon(t); ; { // until the interest is known over there
		if err := errors.Join(to.Conn().Flush(), from.Conn().Publish("x", nil), from.Conn().Flush()); err != nil {
			t.Fatal(err)
		}
		if _, err := sub.NextMsg(100 * time.Millisecond); err == nil {
			return
		}
		if limit.Err() != nil {
			t.Fatal("nothing arrives")
		}
	}
}

// TestRoutesLater joins nodes that begin alone; the third finds the first by way of the second.
func TestRoutesLater(t *testing.T) {
	t.Parallel()
	node := func(name string) *embedded.Server {
		return start(t, &embedded.Options{Name: name, Cluster: &embedded.Cluster{Listen: "127.0.0.1:0", User: "u", Password: "p"}})
	}
	a, b, c := node("a"), node("b"), node("c")
	ctx := soon(t)
	if err := errors.Join(b.AddRoutes(ctx, a.ClusterAddr()), c.AddRoutes(ctx, b.ClusterAddr())); err != nil {
		t.Fatal(err)
	}
	for _, srv := range []*embedded.Server{a, b, c} {
		if err := srv.WaitPeers(ctx, 2); err != nil {
			t.Fatal(err)
		}
	}
	if p := c.Peers(); !slices.Equal(p, []string{"a", "b"}) {
		t.Errorf("the peers of c are %q", p)
	}
	crosses(t, a, c)
	crosses(t, c, a)
	closeServer(t, b)
	crosses(t, a, c)
}

func TestRefusedRoutes(t *testing.T) {
	t.Parallel()
	node := func(c embedded.Cluster) *embedded.Server {
		c.Listen = "127.0.0.1:0"
		return start(t, &embedded.Options{Cluster: &c})
	}
	a := node(embedded.Cluster{User: "u", Password: "p"})
	intruder := node(embedded.Cluster{User: "u", Password: "q", Routes: []string{a.ClusterAddr()}})
	stranger := node(embedded.Cluster{User: "u", Password: "p", Name: "other", Routes: []string{a.ClusterAddr()}})
	friend := node(embedded.Cluster{User: "u", Password: "p", Routes: []string{a.ClusterAddr()}})
	if err := friend.WaitPeers(soon(t), 1); err != nil { // the others had as much time
		t.Fatal(err)
	}
	for _, srv := range []*embedded.Server{intruder, stranger} {
		if p := srv.Peers(); len(p) > 0 {
			t.Errorf("a node with the wrong password or name has the peers %q", p)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.WaitPeers(ended, 7); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitPeers: %v", err)
	}
	if err := a.AddRoutes(ended, "h:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("AddRoutes with an ended ctx: %v", err)
	}
	if err := a.AddRoutes(soon(t), "6222"); err == nil {
		t.Error("AddRoutes of 6222: no error")
	}
	if err := start(t, nil).AddRoutes(soon(t), "h:1"); err == nil {
		t.Error("AddRoutes of a server alone: no error")
	}
	closeServer(t, friend)
	if err := friend.AddRoutes(soon(t), "h:1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("AddRoutes of a closed server: %v", err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := certificate(t), certificate(t)
	node := func(c *tls.Config, routes ...string) *embedded.Server {
		return start(t, &embedded.Options{Cluster: &embedded.Cluster{Listen: "127.0.0.1:0", TLS: c, Routes: routes}})
	}
	a := node(ours)
	theirs.RootCAs.AddCert(leaf(t, ours)) // it trusts us, we do not trust it
	stranger := node(theirs, a.ClusterAddr())
	plain := node(nil, a.ClusterAddr())
	b := node(ours, a.ClusterAddr())
	if err := b.WaitPeers(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	crosses(t, a, b)
	if p := append(stranger.Peers(), plain.Peers()...); len(p) > 0 {
		t.Errorf("nodes without a trusted certificate have the peers %q", p)
	}
}

// certificate makes a configuration that trusts itself.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: x509.NewCertPool()}
	c.RootCAs.AddCert(leaf(t, c))
	return c
}

func leaf(t *testing.T, c *tls.Config) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(c.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestJetStreamPeers writes on one of three nodes, restarts it, and reads on another; a fourth holds nothing.
func TestJetStreamPeers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var opts []*embedded.Options
	nodes := cluster(t, 3, func(i int, o *embedded.Options) {
		o.Dir = fmt.Sprintf("%s/%d", dir, i)
		o.Cluster.JetStreamPeers = 3
		if len(opts) < 3 {
			opts = append(opts, o)
		} else {
			opts[i] = o
		}
	})
	js := streams(t, nodes[0].Conn())
	stream := jobs
	stream.Replicas = 3
	if _, err := js.CreateStream(soon(t), stream); err != nil {
		t.Fatal(err)
	}
	publish := func(js jetstream.JetStream, want uint64) {
		t.Helper()
		for limit := soon(t); ; {
			try, cancel := context.WithTimeout(limit, time.Second)
			ack, err := js.Publish(try, "jobs.a", nil, jetstream.WithMsgID(fmt.Sprint(want)))
			cancel()
			if err == nil && ack.Sequence == want {
				return
			}
			if limit.Err() != nil {
				t.Fatal(ack, err)
			}
		}
	}
	publish(js, 1)
	closeServer(t, nodes[0])
	publish(streams(t, nodes[1].Conn()), 2)
	back, err := embedded.Start(soon(t), opts[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, back) })
	publish(streams(t, back.Conn()), 3)
	fourth := start(t, &embedded.Options{Cluster: &embedded.Cluster{Listen: "127.0.0.1:0", Routes: opts[0].Cluster.Routes}})
	if err := fourth.WaitPeers(soon(t), 3); err != nil {
		t.Fatal(err)
	}
	publish(streams(t, fourth.Conn()), 4)
}
