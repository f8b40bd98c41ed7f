package redislayer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

// PubSub makes a layer that shares channels and groups with channels_redis.pubsub.RedisPubSubChannelLayer. It needs Redis 6
// or later. It connects as [Core] does.
func PubSub(ctx context.Context, opts *Options) (*layers.Layer, error) {
	o, err := opts.withDefaults()
	if err == nil {
		err = o.forPubSub()
	}
	if err != nil {
		return nil, err
	}
	layers.New(struct{ driver.Driver }{}, &o.Options) // panics on what cannot work, before a connection is made
	ctx, cancel := startLimit(ctx)
	defer cancel()
	shards, err := connectAll(ctx, &o, 6) // RESP3
	if err != nil {
		return nil, err
	}
	p := newPubsub(o, shards)
	l := layers.New(p, &o.Options)
	if err := p.run(ctx); err != nil {
		_ = l.Close(ctx) // it has sent nothing
		return nil, err
	}
	return l, nil
}

// pubsub is the driver of one layer of PubSub.
type pubsub struct {
	opts   Options
	log    *zap.Logger
	keys   keyspace
	format format
	names  *driver.Namer
	shards []*station

	// What follows is there from Start on.
	host  driver.Host
	local *driver.Local
	link  link

	groups   groupTable
	unread   complaint
	requests chan request // what other processes ask of this one
	asked    askedTable
	asks     atomic.Uint64

	life    context.Context // ends when Close begins to stop the goroutines
	end     context.CancelFunc
	running sync.WaitGroup
}

var (
	_ driver.Driver  = (*pubsub)(nil)
	_ driver.Starter = (*pubsub)(nil)
	_ driver.Groups  = (*pubsub)(nil)
	_ driver.Flusher = (*pubsub)(nil)
)

func newPubsub(o Options, shards []*shard) *pubsub {
	p := &pubsub{
		opts:     o,
		log:      o.Logger,
		keys:     keyspace{o.Prefix},
		format:   format{serializer: o.Serializer},
		names:    driver.NewNamer(),
		requests: make(chan request, requestBound),
	}
	for _, s := range shards {
		p.shards = append(p.shards, &station{shard: s})
	}
	if len(o.Keys) > 0 {
		p.format.keys = newKeyring(o.Keys)
	}
	p.groups.byName = make(map[string]*groupSub)
	p.asked.byID = make(map[string]chan answer)
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// Start implements driver.Starter.
func (p *pubsub) Start(h driver.Host, _ driver.Limits) {
	p.host, p.local = h, driver.NewLocal(h)
	p.link = link{log: p.log, host: h, local: p.local}
}

// run connects the stations and starts the goroutines.
func (p *pubsub) run(ctx context.Context) error {
	p.running.Add(1)
	go p.serve() // ended by Close, which waits
	for _, s := range p.shards {
		var lost <-chan error
		err := insist(ctx, p.log, s.name, func() (err error) {
			lost, err = p.attach(ctx, s)
			return err
		})
		if err != nil {
			return fmt.Errorf("redislayer: start on %s: %w", s.name, err)
		}
		p.running.Add(1)
		go p.hear(s, lost) // ended by Close, which waits
	}
	return nil
}

// channelName makes the name of a channel. The prefix is in it, as in Python's.
func (p *pubsub) channelName() string { return p.keys.prefix + p.names.Next() }

// process is the part of a channel's name that all channels of one process share, up to the "!".
func (p *pubsub) process() string { return p.keys.prefix + "specific." + p.names.Process() + "!" }

func (p *pubsub) own(channel string) bool { return strings.HasPrefix(channel, p.process()) }

func (p *pubsub) shardOf(name string) *station { return p.shards[shardOf(name, len(p.shards))] }

// groupChannel is where a group's messages are published.
func (k keyspace) groupChannel(group string) string { return k.prefix + "__group__" + group }

// groupOf is the inverse.
func (k keyspace) groupOf(channel string) (group string, ok bool) {
	return strings.CutPrefix(channel, k.prefix+"__group__")
}

// all is where requests to all Tideway processes are published.
func (k keyspace) all() string { return k.prefix + "__tideway__" }

// ofPython says that a name is as channels_redis makes those of process-local channels, which have no "!": it ends with a
// UUID.
func ofPython(channel string) bool {
	const hex = 32
	return len(channel) > hex && strings.Trim(channel[len(channel)-hex:], "0123456789abcdef") == ""
}

var errNoQueues = fmt.Errorf("PubSub keeps no messages, so there are no queues: a channel without \"!\" must be one that Python's new_channel made, or use Core: %w",
	errors.ErrUnsupported)

// Open implements driver.Driver. The subscription of all the process's channels is there already.
func (p *pubsub) Open(_ context.Context, in driver.Inbox) (string, error) {
	channel := p.channelName()
	p.local.Open(channel, in)
	return channel, nil
}

// Shut implements driver.Driver. A group that has lost its last member here is not heard any more.
func (p *pubsub) Shut(ctx context.Context, channel string) error {
	left, _ := p.local.Shut(channel)
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for _, l := range left {
		if l.Last && p.unsubscribe(limited, l.Group) != nil {
			p.unsubscribeLater(l.Group)
		}
	}
	return nil
}

// Send implements driver.Driver. This process's own channels get theirs from Redis too, so nothing overtakes.
func (p *pubsub) Send(ctx context.Context, channel string, m *driver.Message) error {
	if isQueue(channel) && !ofPython(channel) {
		return errNoQueues
	}
	heard, err := p.publish(ctx, channel, m.Data())
	if err == nil && heard == 0 {
		return driver.ErrNoChannel
	}
	return err
}

// GroupSend implements driver.Groups.
func (p *pubsub) GroupSend(ctx context.Context, group string, m *driver.Message) error {
	_, err := p.publish(ctx, p.keys.groupChannel(group), m.Data())
	return err
}

// publish returns how many connections heard it.
func (p *pubsub) publish(ctx context.Context, to string, data []byte) (int64, error) {
	text, err := p.format.pack(data, nil, false, time.Now())
	if err != nil {
		return 0, err
	}
	s := p.shardOf(to)
	heard, err := s.Do(ctx, s.B().Publish().Channel(to).Message(rueidis.BinaryString(text)).Build()).AsInt64()
	if err != nil {
		return 0, s.uncertain(ctx, err)
	}
	return heard, nil
}

// GroupAdd implements driver.Groups. Only the process of a channel can hear a group for it; another Tideway process is asked.
func (p *pubsub) GroupAdd(ctx context.Context, group, channel string) error {
	switch {
	case p.own(channel):
		return p.join(ctx, group, channel)
	case !isQueue(channel):
		return p.ask(ctx, channel, askJoin, group)
	case ofPython(channel):
		return fmt.Errorf("only the Python process that made the channel can add it: call group_add there (%w)", errors.ErrUnsupported)
	default:
		return errNoQueues
	}
}

// GroupDiscard implements driver.Groups.
func (p *pubsub) GroupDiscard(ctx context.Context, group, channel string) error {
	switch {
	case p.own(channel):
		if p.local.Leave(group, channel) && p.unsubscribe(ctx, group) != nil {
			p.unsubscribeLater(group)
		}
		return nil
	case !isQueue(channel):
		if err := p.ask(ctx, channel, askLeave, group); err != driver.ErrNoChannel {
			return err
		}
		return nil // its process has gone, and its memberships too
	default:
		return nil // it cannot be a member through this process
	}
}

// Close implements driver.Driver. Nothing is buffered: what was sent has been answered.
func (p *pubsub) Close(context.Context) error {
	p.end()
	p.running.Wait()
	for _, s := range p.shards {
		s.Close()
	}
	return nil
}
