package natslayer

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// The application's connection keeps its handlers and outlives its layers, which leave nothing on it.
func TestNewLeavesTheConnectionAlone(t *testing.T) {
	b := newBroker(t)
	lost := make(chan struct{}, 1)
	nc, cable := b.connect(nats.DisconnectErrHandler(func(*nats.Conn, error) { lost <- struct{}{} }))
	var all []*layers.Layer
	for range 2 {
		l, err := New(t.Context(), nc, &Options{Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	p, q := &process{TB: t, Layer: all[0]}, &process{TB: t, Layer: all[1]}
	mine, theirs := p.channel(), q.channel()
	p.join("room", mine)
	q.join("room", theirs)
	p.groupSend("room", "hello")
	p.want(mine, "hello")
	q.want(theirs, "hello")
	p.must(p.Close(t.Context()))
	q.groupSend("room", "again")
	q.want(theirs, "again")
	q.must(q.Close(t.Context()))
	if n := nc.NumSubscriptions(); n > 1 { // the client's own, for answers to requests
		t.Errorf("L16: %d subscriptions are left on the connection", n)
	}
	if !nc.IsConnected() {
		t.Error("the connection is closed")
	}
	cable.cut()
	<-lost // the application's handler is still there
}

func TestNewRefuses(t *testing.T) {
	b := newBroker(t)
	silent, _ := b.connect(nats.NoEcho())
	for want, nc := range map[string]*nats.Conn{"give it a connection": nil, "NoEcho": silent} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(v.(string), want) {
					t.Errorf("panic %v, want %q in it", v, want)
				}
			}()
			_, _ = New(t.Context(), nc, nil)
		}()
	}
	closed, _ := b.connect()
	closed.Close()
	if _, err := New(t.Context(), closed, nil); !errors.Is(err, nats.ErrConnectionClosed) || !strings.Contains(err.Error(), "is closed already") {
		t.Errorf("a closed connection: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"Options.Storage":  {Storage: "disk"},
		"Options.Replicas": {Replicas: -1},
		"Options.Capacity": {Options: layers.Options{Capacity: -1}},
	} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(v.(string), want) {
					t.Errorf("panic %v, want %q in it", v, want)
				}
			}()
			_, _ = Open(t.Context(), "nats://127.0.0.1:1", &o)
		}()
	}
	if o := (*Options)(nil).withDefaults(); o.Prefix != DefaultPrefix || o.Storage != DefaultStorage || o.Replicas != 1 || o.Logger == nil {
		t.Errorf("the defaults are %+v", o)
	}
	if o := (&Options{Storage: MemoryStorage}).withDefaults(); o.Storage != MemoryStorage {
		t.Errorf("storage %q", o.Storage)
	}
}

// Open waits for a server that is not there yet, until ctx ends, and tells a wrong password at once.
func TestOpen(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = Open(ctx, "nats://ann:secret@"+addr, &Options{Logger: zap.NewNop()})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), "secret") {
		t.Errorf("no server: %v", err)
	}
	type result struct {
		l   *layers.Layer
		err error
	}
	opened := make(chan result, 1)
	go func() { // waited for below
		l, err := Open(t.Context(), "nats://ann:secret@"+addr, &Options{Logger: zap.NewNop()})
		opened <- result{l, err}
	}()
	srv, err := embedded.Start(t.Context(), &embedded.Options{Listen: addr, User: "ann", Password: "secret", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	r := <-opened
	if r.err != nil {
		t.Fatalf("a server that came later: %v", r.err)
	}
	if err := r.l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = Open(t.Context(), "nats://ann:wrong@"+addr, &Options{Logger: zap.NewNop()})
	if !errors.Is(err, nats.ErrAuthorization) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err = Open(t.Context(), "nats://ann:secret@bad host", nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a bad URL: %v", err)
	}
}

// Open obeys ctx also while a server that took the connection says nothing.
func TestOpenEndsWithItsContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the user gave up")
	go func() { // ends with the connection, or with the listener
		if conn, err := ln.Accept(); err == nil {
			cancel(reason)
			_, _ = conn.Read(make([]byte, 1)) // until the other side closes it
			_ = conn.Close()
		}
	}()
	if _, err := Open(ctx, "nats://"+ln.Addr().String(), &Options{Logger: zap.NewNop()}); !errors.Is(err, reason) {
		t.Errorf("got %v, want %v", err, reason)
	}
}

// A node of a cluster without JetStream tells how to have it.
func TestQueuesOnAClusterWithoutPeers(t *testing.T) {
	t.Parallel()
	srv, err := embedded.Start(t.Context(), &embedded.Options{Logger: zap.NewNop(), Cluster: &embedded.Cluster{Listen: "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(t.Context(), srv.Conn(), &Options{Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	err = l.Require(t.Context(), layers.Queues)
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "Cluster.JetStreamPeers") {
		t.Errorf("queues: %v", err)
	}
	if err := errors.Join(l.Close(context.Background()), srv.Close(context.Background())); err != nil {
		t.Error(err)
	}
}

// Waits grow, and never alike.
func TestPause(t *testing.T) {
	for try, most := range map[int]time.Duration{1: 75 * time.Millisecond, 2: 150 * time.Millisecond, 100: 3 * time.Second} {
		seen := map[time.Duration]bool{}
		for range 20 {
			d := pause(try)
			if seen[d] = true; d < most/3 || d > most {
				t.Errorf("try %d: %v", try, d)
			}
		}
		if len(seen) < 10 {
			t.Errorf("try %d: %d different waits of 20", try, len(seen))
		}
	}
}

// Flush reaches all processes of the prefix, and no others.
func TestFlush(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	other := b.process(&Options{Prefix: "other"})
	all := []*process{p, q, other}
	var channels []string
	for _, x := range all {
		c := x.channel()
		x.join("room", c)
		x.send(c, "unread")
		channels = append(channels, c)
	}
	p.must(p.Flush(t.Context()))
	p.groupSend("room", "to nobody")
	q.groupSend("room", "to nobody")
	for i, x := range all[:2] {
		x.empty(p, channels[i])
		x.empty(q, channels[i])
	}
	p.join("room", channels[0])
	q.join("room", channels[1])
	p.groupSend("room", "hello")
	p.want(channels[0], "hello")
	q.want(channels[1], "hello")
	other.want(channels[2], "unread")
	other.groupSend("room", "still a member")
	other.want(channels[2], "still a member")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Flush(ctx); err != context.Canceled {
		t.Errorf("a flush with an ended ctx: %v", err)
	}
}

// The limit of the server is asked for at each send.
func TestTooLargeForTheServer(t *testing.T) {
	srv, err := embedded.Start(t.Context(), &embedded.Options{MaxPayload: 1 << 20, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b := &broker{t, srv}
	p := b.process(nil)
	channel := p.channel()
	p.join("room", channel)
	fits := strings.Repeat("x", 1<<20-headroom-100)
	p.send(channel, fits)
	p.groupSend("room", fits)
	p.want(channel, fits, fits)
	large := note.With(text{strings.Repeat("x", 1<<20-headroom)})
	for what, err := range map[string]error{
		"direct": p.Send(t.Context(), channel, large),
		"group":  p.GroupSend(t.Context(), "room", large),
	} {
		if !errors.Is(err, layers.ErrMessageTooLarge) || !strings.Contains(err.Error(), "max_payload") {
			t.Errorf("L13: %s: %v", what, err)
		}
	}
	p.empty(p, channel)
}
