package natslayer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

type text struct {
	Text string `json:"text"`
}

const note layers.Type[text] = "note"

// patience is how long something that must happen may take.
const patience = 30 * time.Second

// A broker is a server of the test's own.
type broker struct {
	testing.TB
	srv *embedded.Server
}

func newBroker(tb testing.TB) *broker {
	tb.Helper()
	srv, err := embedded.Start(context.Background(), &embedded.Options{Logger: zap.NewNop()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Close(ctx); err != nil {
			tb.Errorf("closing the server: %v", err)
		}
	})
	return &broker{tb, srv}
}

// A cable is a way to the server that can be cut.
type cable struct {
	srv *embedded.Server

	mu    sync.Mutex
	isCut bool
	ends  []net.Conn
}

// InProcessConn is called by the client for each connection that it tries to make.
func (c *cable) InProcessConn() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return nil, errors.New("the cable is cut")
	}
	conn, err := c.srv.InProcessConn()
	c.ends = append(c.ends, conn)
	return conn, err
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for _, end := range c.ends {
		_ = end.Close()
	}
	c.ends = nil
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = false
}

// A process is one layer with a connection of its own.
type process struct {
	testing.TB
	*layers.Layer
	n     *node
	cable *cable
	logs  *observer.ObservedLogs
}

func (b *broker) connect(options ...nats.Option) (*nats.Conn, *cable) {
	b.Helper()
	c := &cable{srv: b.srv}
	options = append(lasting(zap.NewNop()), options...)
	nc, err := nats.Connect("", append(options, nats.InProcessServer(c))...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	return nc, c
}

func (b *broker) process(opts *Options) *process { return b.processWith(opts, func(*node) {}) }

// processWith makes a process after change has had its way with it.
func (b *broker) processWith(opts *Options, change func(*node)) *process {
	b.Helper()
	nc, c := b.connect()
	core, logs := observer.New(zapcore.DebugLevel)
	o := opts.withDefaults()
	o.Logger = zap.New(core)
	n := newNode(nc, o)
	n.dialer = &dialer{}
	change(n)
	l, err := start(b.Context(), n)
	if err != nil {
		b.Fatal(err)
	}
	p := &process{b.TB, l, n, c, logs}
	b.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			b.Errorf("closing a layer: %v", err)
		}
	})
	return p
}

func (p *process) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *process) channel() string {
	p.Helper()
	channel, err := p.NewChannel(p.Context())
	p.must(err)
	return channel
}

func (p *process) send(channel string, texts ...string) {
	p.Helper()
	for _, s := range texts {
		p.must(p.Send(p.Context(), channel, note.With(text{s})))
	}
}

func (p *process) groupSend(group string, texts ...string) {
	p.Helper()
	for _, s := range texts {
		p.must(p.GroupSend(p.Context(), group, note.With(text{s})))
	}
}

func (p *process) join(group string, channels ...string) {
	p.Helper()
	for _, ch := range channels {
		p.must(p.GroupAdd(p.Context(), group, ch))
	}
}

// next receives a text.
func (p *process) next(channel string) string {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := p.Receive(ctx, channel)
	p.must(err)
	got, err := note.Decode(m)
	p.must(err)
	return got.Text
}

// want receives and demands these texts in this order.
func (p *process) want(channel string, texts ...string) {
	p.Helper()
	for _, want := range texts {
		if got := p.next(channel); got != want {
			p.Fatalf("got %q, want %q", got, want)
		}
	}
}

// empty demands that a marker sent now by from is the next message.
func (p *process) empty(from *process, channels ...string) {
	p.Helper()
	for _, ch := range channels {
		from.send(ch, "marker")
		p.want(ch, "marker")
	}
}

// eventually waits until ok says so.
func eventually(tb testing.TB, ok func() bool, format string, args ...any) {
	tb.Helper()
	for end := time.Now().Add(patience); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("not within %v: %s", patience, fmt.Sprintf(format, args...))
		}
	}
}

// subscribed is the number of groups that the process hears.
func (p *process) subscribed() int {
	p.n.groups.mu.Lock()
	defer p.n.groups.mu.Unlock()
	return len(p.n.groups.byName)
}
