package redislayer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/layers"
)

type text struct {
	Text string `json:"text"`
}

const note layers.Type[text] = "note"

// A process is one layer and what it logs.
type process struct {
	testing.TB
	*layers.Layer
	c     *core   // of Core
	ps    *pubsub // of PubSub
	cable *Cable
	logs  *observer.ObservedLogs
}

// Context is the test's: a layer has a method of that name too.
func (p *process) Context() context.Context { return p.TB.Context() }

// bed is a deployment of its own on the server.
type bed struct {
	testing.TB
	prefix string
	hosts  int
	redis  rueidis.Client // of the first host
	direct bool           // without cables, which cost time
}

func newBed(tb testing.TB, hosts int) *bed {
	tb.Helper()
	b := &bed{TB: tb, prefix: NewPrefix(), hosts: hosts}
	b.redis = b.client(0)
	return b
}

// client is a client of one host.
func (b *bed) client(host int) rueidis.Client {
	b.Helper()
	h, err := parseHost("unix://"+Socket(b, host), nil)
	if err != nil {
		b.Fatal(err)
	}
	client, err := h.connect(b.Context(), zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	return client
}

// process makes a layer of Core with a cable of its own.
func (b *bed) process(change func(*Options)) *process {
	b.Helper()
	p := b.core(change)
	must(b, p.c.run(b.Context()))
	return p
}

// pubsub makes a layer of PubSub with a cable of its own.
func (b *bed) pubsub(change func(*Options)) *process {
	b.Helper()
	p := b.stations(change)
	must(b, p.ps.run(b.Context()))
	return p
}

// core makes what process does, without its goroutines.
func (b *bed) core(change func(*Options)) *process {
	b.Helper()
	p := &process{TB: b.TB, cable: NewCable(b, b.hosts)}
	o, logs := b.options(p.cable, change)
	o, err := o.withDefaults()
	must(b, err)
	o.forCore()
	shards, err := connectAll(b.Context(), &o, 5)
	must(b, err)
	p.c = newCore(o, shards)
	p.Layer, p.logs = layers.New(p.c, &o.Options), logs
	b.Cleanup(p.end)
	return p
}

// stations makes what pubsub does, without its goroutines.
func (b *bed) stations(change func(*Options)) *process {
	b.Helper()
	p := &process{TB: b.TB, cable: NewCable(b, b.hosts)}
	o, logs := b.options(p.cable, change)
	o, err := o.withDefaults()
	must(b, err)
	must(b, o.forPubSub())
	shards, err := connectAll(b.Context(), &o, 6)
	must(b, err)
	p.ps = newPubsub(o, shards)
	p.Layer, p.logs = layers.New(p.ps, &o.Options), logs
	b.Cleanup(p.end)
	return p
}

// end closes the layer.
func (p *process) end() {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		p.Errorf("closing a layer: %v", err)
	}
}

// options are those of a layer at the end of a cable.
func (b *bed) options(cable *Cable, change func(*Options)) (Options, *observer.ObservedLogs) {
	seen, logs := observer.New(zapcore.DebugLevel)
	o := Options{Hosts: cable.URLs(), Prefix: b.prefix, Logger: zap.New(seen)}
	if b.direct {
		o.Hosts = []string{"unix://" + Socket(b, 0)}
	}
	if change != nil {
		change(&o)
	}
	return o, logs
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (p *process) channel() string {
	p.Helper()
	channel, err := p.NewChannel(p.Context())
	must(p, err)
	return channel
}

func (p *process) send(channel string, texts ...string) {
	p.Helper()
	for _, s := range texts {
		must(p, p.Send(p.Context(), channel, note.With(text{s})))
	}
}

// warm is how many messages use every connection over which commands are sent to one host, up to 4, of which rueidis takes one by
// chance: that all 64 miss one of them is 1 in 20 millions.
const warm = 64

func (p *process) groupSend(group string, texts ...string) {
	p.Helper()
	for _, s := range texts {
		must(p, p.GroupSend(p.Context(), group, note.With(text{s})))
	}
}

func (p *process) join(group string, channels ...string) {
	p.Helper()
	for _, ch := range channels {
		must(p, p.GroupAdd(p.Context(), group, ch))
	}
}

// want receives and demands these texts in this order.
func (p *process) want(channel string, texts ...string) {
	p.Helper()
	for _, want := range texts {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		m, err := p.Receive(ctx, channel)
		cancel()
		if err != nil {
			p.Fatalf("receive: %v, want %q", err, want)
		}
		if got, err := note.Decode(m); err != nil || got.Text != want {
			p.Fatalf("got %q, %v, want %q", got.Text, err, want)
		}
	}
}

// dropped waits until so many messages were dropped for a reason.
func (p *process) dropped(why layers.DropReason, n uint64) {
	p.Helper()
	eventually(p, func() bool { return p.Stats().Dropped[why] == n }, "%d messages are dropped as %s, want %d", p.Stats().Dropped[why], why, n)
}

// eventually waits until ok says so.
func eventually(tb testing.TB, ok func() bool, format string, args ...any) {
	tb.Helper()
	for end := time.Now().Add(Patience); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("not within %v: %s", Patience, fmt.Sprintf(format, args...))
		}
	}
}

// do runs a command of Redis.
func do(tb testing.TB, client rueidis.Client, args ...string) rueidis.RedisResult {
	tb.Helper()
	r := client.Do(tb.Context(), client.B().Arbitrary(args...).Build())
	if err := r.Error(); err != nil && !errors.Is(err, rueidis.Nil) {
		tb.Fatalf("%v: %v", args, err)
	}
	return r
}

func (b *bed) number(args ...string) int64 {
	b.Helper()
	n, err := do(b, b.redis, args...).AsInt64()
	must(b, err)
	return n
}
