package redislayer

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers/driver"
)

const (
	blockTime = 10 * time.Second // how long one pop waits in Redis
	blockMore = 5 * time.Second  // how much later than that the answer may come; then the connection is dead
	bulk      = 256              // how many messages are taken at once of what waits for this process
	bulks     = 64               // how often, before queues have their turn
	wakeScore = -1               // of an entry that only ends a pop: no stamp is negative, so nothing is before it
)

// popped is one entry that was taken from Redis.
type popped struct {
	key   string
	entry string
	score float64
}

// read takes what others put for this process on one host: the messages of its channels, and of the queues that somebody
// here waits for. On every host, since channels_redis puts direct messages on the wrong one. It ends when Close begins; Close waits
// for it.
func (c *core) read(s *shard) {
	defer c.running.Done()
	for try := 1; ; try++ {
		begun := time.Now()
		err := c.session(s)
		if c.isClosing() {
			return
		}
		s.lease.broken()
		c.link.down(s.index, s.name, err)
		if time.Since(begun) > blockTime {
			try = 1
		}
		if !wait(c.closing, c.log, s.name, try, err) {
			return
		}
	}
}

func (c *core) isClosing() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// session reads over one connection until it is lost. It returns nil when Close has begun.
func (c *core) session(s *shard) error {
	conn, release := s.Dedicate()
	if err := c.greet(s, conn); err != nil {
		conn.Close()
		return err
	}
	c.link.up(s.index, s.name)
	for turn := 0; ; turn++ {
		keys, ok := c.queues.listen(s.index, c, turn)
		if !ok {
			release()
			return nil
		}
		p, err := c.pop(conn, keys)
		if e, ok := rueidis.IsRedisErr(err); ok && strings.HasPrefix(e.Error(), "WRONGTYPE") {
			err = c.refuse(c.life, s, keys)
		}
		if err == nil && p != nil {
			c.take(s, p)
			if p.key == c.ownKey() {
				err = c.drain(s, conn)
			}
		}
		if err != nil {
			conn.Close()
			return err
		}
	}
}

// greet sees that a new connection works, and that Redis knows of this process.
func (c *core) greet(s *shard, conn rueidis.DedicatedClient) error {
	ctx, cancel := context.WithCancel(c.life)
	defer cancel()
	defer time.AfterFunc(writeTime, cancel).Stop()
	if err := conn.Do(ctx, conn.B().Ping().Build()).Error(); err != nil {
		return err
	}
	return c.announce(ctx, s)
}

// pop waits for an entry of one of the keys; nil if none came.
func (c *core) pop(conn rueidis.DedicatedClient, keys []string) (*popped, error) {
	ctx, cancel := context.WithCancel(c.life) // and no deadline: the client would not see that life ends
	defer cancel()
	defer time.AfterFunc(blockTime+blockMore, cancel).Stop()
	answer, err := conn.Do(ctx, conn.B().Bzpopmin().Key(keys...).Timeout(blockTime.Seconds()).Build()).ToArray()
	switch {
	case rueidis.IsRedisNil(err):
		return nil, nil
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("no answer for %v", blockTime+blockMore)
	case err != nil:
		return nil, err
	case len(answer) != 3:
		return nil, fmt.Errorf("BZPOPMIN returned %d values, want 3", len(answer))
	}
	p := &popped{}
	if p.key, err = answer[0].ToString(); err == nil {
		p.entry, err = answer[1].ToString()
	}
	if err == nil {
		p.score, err = answer[2].AsFloat64()
	}
	return p, err
}

// drain takes what else waits for this process, in bulk. It looks after the queues now and then.
func (c *core) drain(s *shard, conn rueidis.DedicatedClient) error {
	ctx, cancel := context.WithCancel(c.life)
	defer cancel()
	defer time.AfterFunc(writeTime, cancel).Stop()
	key := c.ownKey()
	for range bulks {
		all, err := conn.Do(ctx, conn.B().Zpopmin().Key(key).Count(bulk).Build()).AsZScores()
		for _, e := range all {
			c.take(s, &popped{key, e.Member, e.Score})
		}
		if err != nil || len(all) < bulk {
			return err
		}
	}
	return nil
}

// take hands out one entry.
func (c *core) take(s *shard, p *popped) {
	switch {
	case p.score == wakeScore && p.key == c.ownKey():
	case p.key == c.ownKey():
		c.takeLocal(p)
	default:
		c.takeQueue(s, p)
	}
}

// takeLocal hands out a message for channels of this process.
func (c *core) takeLocal(p *popped) {
	now := time.Now()
	data, to, err := c.format.unpack([]byte(p.entry), now)
	if err == nil && len(to.Names) == 0 {
		if c.obey(data) {
			return
		}
		err = errUnreadable // case 29
	}
	if err != nil {
		c.complain(p.key, err)
		return
	}
	m, ok := c.host.Message(to.Names[0], data, stamped(p.score, now))
	if !ok {
		return
	}
	if m.Expired(now) {
		for _, channel := range to.Names {
			c.host.Dropped(channel, "", m, driver.ErrExpired)
		}
		return
	}
	if to.List {
		c.local.DeliverTo("", to.Names, m)
		return
	}
	if err := c.local.Deliver(to.Names[0], m); err != nil && err != driver.ErrNoChannel {
		c.host.Dropped(to.Names[0], "", m, err)
	}
}

// decode reads a message of a queue; nil if it cannot be read, or has expired.
func (c *core) decode(queue string, p *popped) *driver.Message {
	now := time.Now()
	data, _, err := c.format.unpack([]byte(p.entry), now)
	if err != nil {
		c.complain(queue, err)
		return nil
	}
	m, ok := c.host.Message(queue, data, stamped(p.score, now))
	if !ok {
		return nil
	}
	if m.Expired(now) {
		c.host.Dropped(queue, "", m, driver.ErrExpired)
		return nil
	}
	return m
}

// complain counts an entry that cannot be read, and logs one line a minute.
func (c *core) complain(where string, err error) {
	c.host.Message(where, nil, time.Time{}) // which counts it as invalid
	if n := c.unread.due(time.Now()); n > 0 {
		c.log.Warn("redislayer: a message cannot be read and is dropped: do all processes have the same Keys, Serializer and RandomPrefix?",
			zap.String("from", where), zap.Int64("messages", n), zap.Error(err))
	}
}
