package redislayer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

// Core makes a layer that shares channels and groups with channels_redis.core.RedisChannelLayer. When it returns, the
// layer is connected to all hosts, or there is an error.
//
// While a host does not answer, or says that it is not ready (it loads its file, runs a long script, or is a replica that has
// lost its master), Core tries again until ctx ends, for 10 s if it has no deadline. What a host refuses otherwise, for a wrong
// password say, is an error at once. Later, connections are made again by themselves, for ever, after waits of 25 ms to 3 s.
func Core(ctx context.Context, opts *Options) (*layers.Layer, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	o.forCore()
	layers.New(struct{ driver.Driver }{}, &o.Options) // panics on what cannot work, before a connection is made
	ctx, cancel := startLimit(ctx)
	defer cancel()
	shards, err := connectAll(ctx, &o, 5) // BZPOPMIN
	if err != nil {
		return nil, err
	}
	c := newCore(o, shards)
	l := layers.New(c, &o.Options)
	if err := c.run(ctx); err != nil {
		_ = l.Close(ctx) // it has sent nothing
		return nil, err
	}
	return l, nil
}

// core is the driver of one layer of Core: one process, as far as Redis can tell.
type core struct {
	opts   Options
	log    *zap.Logger
	keys   keyspace
	format format
	names  *driver.Namer
	clock  clock
	shards []*shard

	process string // what the names of its channels begin with, up to the "!"

	// What follows is there from Start on.
	host   driver.Host
	limits driver.Limits
	local  *driver.Local
	link   link
	expiry string // in whole seconds, for EXPIRE

	queues   queueTable
	held     heldTable
	unread   complaint
	nextSend rotation

	life    context.Context // ends when Close begins to stop the goroutines
	end     context.CancelFunc
	closing chan struct{} // closed a little before

	starting sync.Mutex // held while a goroutine is started beside closing
	running  sync.WaitGroup
}

var (
	_ driver.Driver  = (*core)(nil)
	_ driver.Starter = (*core)(nil)
	_ driver.Groups  = (*core)(nil)
	_ driver.Queues  = (*core)(nil)
	_ driver.Flusher = (*core)(nil)
)

// shard is one host of several.
type shard struct {
	index int
	name  string
	rueidis.Client

	lease lease
}

// connectAll connects to all hosts, whose version must be major or later.
func connectAll(ctx context.Context, o *Options, major int) ([]*shard, error) {
	hosts, err := parseHosts(o)
	if err != nil {
		return nil, err
	}
	var all []*shard
	for i := range hosts {
		hosts[i].major = major
		client, err := hosts[i].connect(ctx, o.Logger)
		if err != nil {
			for _, s := range all {
				s.Close()
			}
			return nil, err
		}
		all = append(all, &shard{index: i, name: hosts[i].name, Client: client})
	}
	return all, nil
}

func newCore(o Options, shards []*shard) *core {
	c := &core{
		opts:    o,
		log:     o.Logger,
		keys:    keyspace{o.Prefix},
		format:  format{prefix: o.RandomPrefix, serializer: o.Serializer},
		names:   driver.NewNamer(),
		shards:  shards,
		closing: make(chan struct{}),
	}
	if len(o.Keys) > 0 {
		c.format.keys = newKeyring(o.Keys)
	}
	c.process = "specific." + c.names.Process() + "!"
	c.queues.byName = make(map[string]*waitLine)
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Start implements driver.Starter.
func (c *core) Start(h driver.Host, l driver.Limits) {
	c.host, c.limits, c.local = h, l, driver.NewLocal(h)
	c.link = link{log: c.log, host: h, local: c.local}
	c.expiry = wholeSeconds(l.Expiry)
	c.format.ttl = l.Expiry + 10*time.Second // as channels_redis
}

// wholeSeconds rounds up: Redis forgets no key too soon.
func wholeSeconds(d time.Duration) string {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return fmt.Sprint(n)
}

// run announces the process and starts its goroutines.
func (c *core) run(ctx context.Context) error {
	for _, s := range c.shards {
		if err := insist(ctx, c.log, s.name, func() error { return c.announce(ctx, s) }); err != nil {
			return fmt.Errorf("redislayer: start on %s: %w", s.name, err)
		}
	}
	for _, s := range c.shards {
		c.running.Add(2)
		go c.read(s) // ended by Close, which waits
		go c.keep(s) // ended by Close, which waits
	}
	return nil
}

// own says that a channel is of this process.
func (c *core) own(channel string) bool { return strings.HasPrefix(channel, c.process) }

// ownKey is where others put messages for this process's channels.
func (c *core) ownKey() string { return c.keys.prefix + c.process }

func (c *core) shardOf(name string) *shard { return c.shards[shardOf(name, len(c.shards))] }

// Open implements driver.Driver. The reader of the process's key serves all channels.
func (c *core) Open(_ context.Context, in driver.Inbox) (string, error) {
	channel := c.names.Next()
	c.local.Open(channel, in)
	return channel, nil
}

// Shut implements driver.Driver. What cannot be told to Redis now is told later.
func (c *core) Shut(ctx context.Context, channel string) error {
	left, _ := c.local.Shut(channel)
	if len(left) == 0 {
		return nil
	}
	byShard := make(map[*shard][]membership)
	for _, l := range left {
		s := c.shardOf(l.Group)
		byShard[s] = append(byShard[s], membership{l.Group, channel})
	}
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for s, all := range byShard {
		if err := c.forget(limited, s, all); err != nil {
			s.lease.later(all)
		}
	}
	return nil
}

// answerTime bounds what is done later if it cannot be done now.
const answerTime = 2 * time.Second

// sendScript stores a message unless the key is full: KEYS key; ARGV entry, stamp, the stamp of the oldest that has not
// expired, capacity, expiry.
var sendScript = rueidis.NewLuaScript(`
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, '(' .. ARGV[3])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1`)

// Send implements driver.Driver.
func (c *core) Send(ctx context.Context, channel string, m *driver.Message) error {
	if c.own(channel) { // nobody else's way is shorter, so nothing of this process can overtake
		m, err := c.asElsewhere(channel, m)
		if err != nil {
			return err
		}
		return c.local.Deliver(channel, m)
	}
	if isQueue(channel) {
		return c.sendQueue(ctx, channel, m)
	}
	entry, err := c.format.pack(m.Data(), []string{channel}, false, time.Now())
	if err != nil {
		return err
	}
	// By the name that the reader listens on: channels_redis hashes the full one, which its own readers do not find.
	return c.store(ctx, c.shardOf(nonLocal(channel)), channel, entry, c.bound(channel))
}

// store runs sendScript.
func (c *core) store(ctx context.Context, s *shard, channel string, entry []byte, capacity int) error {
	stored, err := sendScript.Exec(ctx, s, []string{c.keys.message(channel)}, []string{
		rueidis.BinaryString(entry), c.clock.next(), c.oldest(), fmt.Sprint(capacity), c.expiry,
	}).AsInt64()
	switch {
	case err != nil:
		return s.uncertain(ctx, err)
	case stored == 0:
		return driver.ErrFull
	default:
		return nil
	}
}

// oldest is the stamp before which messages have expired.
func (c *core) oldest() string { return decimal(seconds(time.Now().Add(-c.limits.Expiry))) }

// backlog is how many messages may wait in Redis for a Tideway process, which holds each of its channels to the channel's
// own capacity: it takes what waits in bulk, so its key is no measure of any channel.
const backlog = 10_000

// bound is how many messages the key of a channel may hold.
func (c *core) bound(channel string) int {
	capacity := c.limits.Capacity(channel)
	if _, ok := processOf(channel); ok {
		return max(capacity, backlog)
	}
	return capacity
}

// failed words an error of a command.
func (s *shard) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%s: %w", s.name, err)
}

// uncertain is failed for a command that stores a message: unless Redis refused it, it may have.
func (s *shard) uncertain(ctx context.Context, err error) error {
	if _, refused := rueidis.IsRedisErr(err); ctx.Err() != nil || refused || neverSent(err) {
		return s.failed(ctx, err)
	}
	return fmt.Errorf("%w: %s: %w", driver.ErrUncertain, s.name, err)
}

// ended returns ctx's error if it has one: what went wrong then is of no interest.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// firstError is the first error of several commands.
func firstError(results []rueidis.RedisResult) error {
	for _, r := range results {
		if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
			return err
		}
	}
	return nil
}

var errUnreadable = errors.New("it names no channel")
