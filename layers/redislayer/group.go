package redislayer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/tideway-go/tideway/layers/driver"
)

// GroupAdd implements driver.Groups. Redis knows all members, of any process; those of this one are in its table too,
// which says what to renew, and what to remove when a channel ends.
func (c *core) GroupAdd(ctx context.Context, group, channel string) error {
	if isQueue(channel) {
		return c.holdQueue(ctx, group, channel)
	}
	s := c.shardOf(group)
	b, key := s.B(), c.keys.group(group)
	err := firstError(s.DoMulti(ctx,
		b.Zadd().Key(key).ScoreMember().ScoreMember(seconds(time.Now()), channel).Build(),
		b.Expire().Key(key).Seconds(c.groupSeconds()).Build()))
	if err != nil {
		return s.failed(ctx, err)
	}
	if !c.own(channel) {
		return c.tellOwner(ctx, orderJoin, membership{group, channel})
	}
	if _, err := c.local.Join(group, channel); err != nil { // it has ended meanwhile
		gone := []membership{{group, channel}}
		if c.forget(ctx, s, gone) != nil {
			s.lease.later(gone)
		}
		return err
	}
	return nil
}

func (c *core) groupSeconds() int64 { return int64(c.opts.GroupExpiry / time.Second) }

// GroupDiscard implements driver.Groups.
func (c *core) GroupDiscard(ctx context.Context, group, channel string) error {
	if isQueue(channel) {
		return c.releaseQueue(ctx, group, channel)
	}
	s := c.shardOf(group)
	if err := c.forget(ctx, s, []membership{{group, channel}}); err != nil {
		return s.failed(ctx, err)
	}
	s.lease.discarded(membership{group, channel})
	if !c.own(channel) {
		return c.tellOwner(ctx, orderLeave, membership{group, channel})
	}
	c.local.Leave(group, channel)
	return nil
}

// tellOwner lets the process of another's channel know of a membership, which Redis knows already. A process of Python has no use
// for it.
func (c *core) tellOwner(ctx context.Context, typ string, m membership) error {
	process, ok := processOf(m.channel)
	if !ok {
		return nil
	}
	return c.order(ctx, process, typ, m)
}

// forget removes memberships from Redis.
func (c *core) forget(ctx context.Context, s *shard, all []membership) error {
	commands := make(rueidis.Commands, 0, len(all))
	for _, m := range all {
		commands = append(commands, s.B().Zrem().Key(c.keys.group(m.group)).Member(m.channel).Build())
	}
	return firstError(s.DoMulti(ctx, commands...))
}

// groupScript stores messages for several processes: KEYS their keys; ARGV stamp, the stamp of the oldest that has not
// expired, expiry, then for each key an entry and a capacity. It returns which keys were full and, as negative numbers,
// which hold something else than messages: those of the other members are served all the same.
var groupScript = rueidis.NewLuaScript(`
local left = {}
for i = 1, #KEYS do
  if type(redis.pcall('ZREMRANGEBYSCORE', KEYS[i], 0, '(' .. ARGV[2])) == 'table' then
    left[#left + 1] = -i
  elseif redis.call('ZCARD', KEYS[i]) < tonumber(ARGV[3 + 2 * i]) then
    redis.call('ZADD', KEYS[i], ARGV[1], ARGV[2 + 2 * i])
    redis.call('EXPIRE', KEYS[i], ARGV[3])
  else
    left[#left + 1] = i
  end
end
return left`)

// addressee is one key of a group's message, and the channels of it that are members.
type addressee struct {
	key      string
	channels []string
}

// GroupSend implements driver.Groups: one round trip for the members, and one for the messages, of which each process
// gets one. Members of this process get theirs without Redis, and last.
func (c *core) GroupSend(ctx context.Context, group string, m *driver.Message) error {
	members, err := c.members(ctx, group)
	if err != nil {
		return err
	}
	var own []string
	remote := make([][]addressee, len(c.shards))
	at := make(map[string]int) // of a key in its shard's list
	for _, channel := range members {
		if c.own(channel) {
			own = append(own, channel)
			continue
		}
		name := nonLocal(channel)
		i := shardOf(name, len(c.shards))
		j, ok := at[name]
		if !ok {
			j = len(remote[i])
			at[name] = j
			remote[i] = append(remote[i], addressee{key: c.keys.message(channel)})
		}
		remote[i][j].channels = append(remote[i][j].channels, channel)
	}
	here := m
	if len(own) > 0 {
		if here, err = c.asElsewhere(own[0], m); err != nil {
			return err
		}
	}
	err = c.scatter(ctx, group, m, remote)
	if err == nil || errors.Is(err, driver.ErrUncertain) { // what may have arrived is not sent again, so who can have it gets it
		c.local.DeliverTo(group, own, here)
	}
	return err
}

// scatter stores a message on all shards at once.
func (c *core) scatter(ctx context.Context, group string, m *driver.Message, remote [][]addressee) error {
	var (
		wg     sync.WaitGroup
		errs   = make([]error, len(remote))
		stamp  = c.clock.next()
		single = len(c.shards) == 1
	)
	for i, all := range remote {
		switch {
		case len(all) == 0:
		case single:
			errs[i] = c.storeGroup(ctx, c.shards[i], group, m, stamp, all)
		default:
			wg.Go(func() { errs[i] = c.storeGroup(ctx, c.shards[i], group, m, stamp, all) })
		}
	}
	wg.Wait()
	return combined(remote, errs)
}

// combined is what the errors of all hosts say together: one that is certain says nothing of the others.
func combined(remote [][]addressee, errs []error) error {
	var failed error
	arrived := false // or it may have
	for i, err := range errs {
		arrived = arrived || len(remote[i]) > 0 && (err == nil || errors.Is(err, driver.ErrUncertain))
		if failed == nil {
			failed = err
		}
	}
	if failed != nil && arrived && !errors.Is(failed, driver.ErrUncertain) {
		return fmt.Errorf("%w: other hosts may have it: %w", driver.ErrUncertain, failed)
	}
	return failed
}

// storeGroup runs groupScript on one shard.
func (c *core) storeGroup(ctx context.Context, s *shard, group string, m *driver.Message, stamp string, all []addressee) error {
	keys, args := make([]string, 0, len(all)), make([]string, 0, 3+2*len(all))
	args = append(args, stamp, c.oldest(), c.expiry)
	for _, a := range all {
		entry, err := c.format.pack(m.Data(), a.channels, true, time.Now())
		if err != nil {
			return err
		}
		keys = append(keys, a.key)
		args = append(args, rueidis.BinaryString(entry), fmt.Sprint(c.bound(a.channels[0])))
	}
	left, err := groupScript.Exec(ctx, s, keys, args).AsIntSlice()
	if err != nil && !rueidis.IsRedisNil(err) {
		return s.uncertain(ctx, err)
	}
	for _, i := range left {
		a, cause := all[max(i, -i)-1], driver.ErrFull
		if i < 0 {
			cause = fmt.Errorf("its key %q holds something of another program, not messages", a.key)
		}
		for _, channel := range a.channels {
			c.host.Dropped(channel, group, m, cause)
		}
	}
	return nil
}

// asElsewhere is the message as another process would get it: what a serializer refuses or changes must not depend on where
// the channel is.
func (c *core) asElsewhere(channel string, m *driver.Message) (*driver.Message, error) {
	if c.format.serializer == nil {
		return m, nil
	}
	data, err := c.format.again(m.Data())
	if err != nil {
		return nil, err
	}
	same, ok := c.host.Message(channel, data, time.Now())
	if !ok {
		return nil, errNotMade
	}
	return same, nil
}

var errNotMade = errors.New("Options.Serializer makes a message of it that cannot be read")
