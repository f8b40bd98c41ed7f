package natslayer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/layers"
)

// A fake is a NATS server as bad as a test needs it. It delivers what a connection publishes to that connection alone.
type fake struct {
	testing.TB
	ln net.Listener

	mu      sync.Mutex
	info    string                      // more fields of the greeting
	refuses func(subject string) string // an error for a subscription
	mute    bool                        // answers nothing
	loses   bool                        // delivers nothing
	turns   int                         // clients that are not let in yet
	conns   []net.Conn
}

func newFake(tb testing.TB) *fake {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	f := &fake{TB: tb, ln: ln, info: `"headers":true,"max_payload":1048576`}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, conn)
			f.mu.Unlock()
			serving.Go(func() { f.serve(conn) })
		}
	})
	tb.Cleanup(func() {
		_ = ln.Close()
		f.drop()
		serving.Wait()
	})
	return f
}

func (f *fake) url() string { return "nats://" + f.ln.Addr().String() }

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// drop ends all connections.
func (f *fake) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
}

// say sends a line to all connections.
func (f *fake) say(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_, _ = io.WriteString(c, line+"\r\n")
	}
}

func (f *fake) silent() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mute || f.loses
}

// answer is what the server says to a line.
func (f *fake) answer(verb string, words []string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case verb == "CONNECT" && f.turns > 0:
		f.turns--
		return "-ERR 'Authorization Violation'\r\n"
	case verb == "PING" && !f.mute:
		return "PONG\r\n"
	case verb == "SUB" && f.refuses != nil:
		if text := f.refuses(words[0]); text != "" {
			return "-ERR '" + text + "'\r\n"
		}
	}
	return ""
}

func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	f.mu.Lock()
	greeting := `INFO {"server_id":"fake","version":"2.10.0","proto":1,` + f.info + "}\r\n"
	f.mu.Unlock()
	if _, err := io.WriteString(conn, greeting); err != nil {
		return
	}
	subs := map[string]string{}
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		words := strings.Fields(line)
		if err != nil || len(words) == 0 {
			return
		}
		answer := f.answer(words[0], words[1:])
		switch words[0] {
		case "SUB":
			subs[words[1]] = words[2]
		case "PUB":
			n, err := strconv.Atoi(words[len(words)-1])
			if err != nil {
				return
			}
			payload := make([]byte, n+2)
			if _, err := io.ReadFull(r, payload); err != nil {
				return
			}
			if sid := subs[words[1]]; sid != "" && !f.silent() {
				answer = fmt.Sprintf("MSG %s %s %d\r\n%s", words[1], sid, n, payload)
			}
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// Servers with which a layer cannot work are errors at the start.
func TestUnfitServers(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*fake){
		`needs permission to publish and subscribe to "tideway.>"`: func(f *fake) {
			f.refuses = func(subject string) string { return `Permissions Violation for Subscription to "` + subject + `"` }
		},
		"knows no headers": func(f *fake) { f.info = `"headers":false,"max_payload":1048576` },
	} {
		f := newFake(t)
		f.set(func() { spoil(f) })
		if _, err := Open(t.Context(), f.url(), &Options{Logger: zap.NewNop()}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), f.url()) {
			t.Errorf("got %v, want an error that tells %q and the server", err, want)
		}
	}
}

// A broker that does not answer costs a caller 2 s, or what its ctx leaves.
func TestMuteServer(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l, err := Open(t.Context(), f.url(), &Options{Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	channel, err := l.NewChannel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.mute = true })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.GroupAdd(ctx, "room", channel); err != context.DeadlineExceeded {
		t.Errorf("a join whose ctx ended: %v", err)
	}
	if err := l.GroupAdd(t.Context(), "room", channel); err == nil || !strings.Contains(err.Error(), "no answer from the broker") {
		t.Errorf("a join: %v", err)
	}
	if err := l.Send(t.Context(), channel, note.With(text{"x"})); !errors.Is(err, layers.ErrUncertain) {
		t.Errorf("L14: a send: %v", err)
	}
	if err := l.Flush(t.Context()); err == nil {
		t.Error("a flush that nobody answered")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("L16: Close: %v", err)
	}
}

// After a change of server the new one's limit holds; a server that says goodbye before it goes is an outage like others.
func TestServerThatLeaves(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l, err := Open(t.Context(), f.url(), &Options{Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{TB: t, Layer: l}
	e := listen(p)
	large := note.With(text{strings.Repeat("x", 60_000)})
	p.must(p.GroupSend(t.Context(), "room", large))
	f.set(func() { f.info = `"headers":true,"max_payload":65536` })
	f.say(fmt.Sprintf(`INFO {"server_id":"fake","headers":true,"max_payload":%d,"ldm":true}`, 1<<20))
	f.drop()
	e.told(t, 1, 1)
	p.must(p.GroupSend(t.Context(), "room", large))
	if err := p.GroupSend(t.Context(), "room", note.With(text{strings.Repeat("x", 64_000)})); !errors.Is(err, layers.ErrMessageTooLarge) {
		t.Errorf("L13: above the new server's limit: %v", err)
	}
	p.must(p.Close(t.Context()))
}

// A connection that Open made comes back although the server refuses the password for a while (L15).
func TestServerThatRefuses(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	l, err := Open(t.Context(), f.url(), &Options{Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{TB: t, Layer: l}
	e := listen(p)
	f.set(func() { f.turns = 4 })
	f.drop()
	e.told(t, 1, 1)
	p.must(p.Close(t.Context()))
}

// Up is told when the broker has taken the subscriptions, not when there is a connection (L15).
func TestUpWaitsForSubscriptions(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	nc, d, err := connect(t.Context(), f.url(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(nc, (&Options{Logger: zap.NewNop()}).withDefaults())
	n.dialer = d
	l, err := start(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{TB: t, Layer: l, n: n}
	e := listen(p)
	f.set(func() { f.loses = true })
	f.drop()
	eventually(t, func() bool {
		n.marks.mu.Lock()
		defer n.marks.mu.Unlock()
		return nc.IsConnected() && len(n.marks.all) == 1
	}, "the layer asks whether the broker has its subscriptions")
	e.told(t, 1, 0)
	f.set(func() { f.loses = false })
	e.told(t, 1, 1)
	p.must(p.Close(t.Context()))
}

// What the client reports beside outages is one line in the log; of slow readers the layer tells by itself.
func TestClientErrorsAreLogged(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	o := nats.GetDefaultOptions()
	for _, set := range lasting(zap.New(core)) {
		if err := set(&o); err != nil {
			t.Fatal(err)
		}
	}
	if silent := o.PingInterval * time.Duration(o.MaxPingsOut+1); silent != 15*time.Second {
		t.Errorf("a server that fell silent is noticed after %v, want 15 s", silent)
	}
	o.AsyncErrorCB(nil, nil, nats.ErrSlowConsumer)
	o.AsyncErrorCB(nil, nil, nats.ErrPermissionViolation)
	if all := logs.All(); len(all) != 1 || all[0].ContextMap()["error"] != nats.ErrPermissionViolation.Error() {
		t.Errorf("logged %v", all)
	}
}
