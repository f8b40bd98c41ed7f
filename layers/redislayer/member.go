package redislayer

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/tideway-go/tideway/layers/driver"
)

// members lists the channels of a group, without those whose process is dead.
func (c *core) members(ctx context.Context, group string) ([]string, error) {
	s := c.shardOf(group)
	b, key := s.B(), c.keys.group(group)
	forgotten := strconv.FormatInt(time.Now().Unix()-c.groupSeconds(), 10)
	results := s.DoMulti(ctx,
		b.Zremrangebyscore().Key(key).Min("0").Max(forgotten).Build(),
		b.Zrange().Key(key).Min("0").Max("-1").Build(),
		b.Zrange().Key(c.keys.processes()).Min("0").Max("-1").Withscores().Build(),
		b.Time().Build(),
		b.Zrange().Key(c.keys.holders(group)).Min("0").Max("-1").Build(),
		b.Zcount().Key(key).Min("-inf").Max(decimal(seconds(time.Now().Add(-c.opts.GroupExpiry/2)))).Build())
	if err := firstError(results); err != nil {
		return nil, s.failed(ctx, err)
	}
	channels, err := results[1].AsStrSlice()
	if err != nil || len(channels) == 0 {
		return nil, err
	}
	alive, err := c.alive(s, results[2], results[3])
	if err != nil || alive == nil {
		return channels, err
	}
	holders, err := results[4].AsStrSlice()
	if err != nil {
		return nil, err
	}
	old, err := results[5].AsInt64() // members come in the order in which they joined or were renewed
	if err != nil {
		return nil, err
	}
	orphans := orphaned(channels[:min(int(old), len(channels))], alive)
	living, dead := sift(channels, holders, alive)
	if len(dead) > 0 {
		c.bury(ctx, s, group, dead)
	}
	if len(orphans) > 0 {
		c.adopt(ctx, s, group, orphans)
	}
	return living, nil
}

// adoptees bounds how many memberships one send looks after.
const adoptees = 100

// orphaned are the channels of living Tideway processes among members that are half as old as the expiry: their own process
// would have renewed those that it knows. Python made them, and told nobody.
func orphaned(old []string, alive map[string]bool) (orphans []string) {
	for _, channel := range old {
		if process, ours := processOf(channel); ours && alive[process] && len(orphans) < adoptees {
			orphans = append(orphans, channel)
		}
	}
	return orphans
}

// adopt renews memberships that nobody does, and tells their process, which renews them from now on and ends them with the
// channel. That it fails does not matter: somebody sends again.
func (c *core) adopt(ctx context.Context, s *shard, group string, orphans []string) {
	if c.tellGroup(ctx, s, group, orphans, true) != nil {
		return
	}
	for _, channel := range orphans {
		m := membership{group, channel}
		if c.own(channel) {
			c.joined(m)
		} else {
			_ = c.tellOwner(ctx, orderJoin, m)
		}
	}
}

// joined notes a membership that Redis has already, of a channel of this process.
func (c *core) joined(m membership) {
	if _, err := c.local.Join(m.group, m.channel); err == driver.ErrNoChannel { // it has ended
		c.shardOf(m.group).lease.later([]membership{m})
	}
}

// alive is which processes have told of themselves lately; nil if this one cannot judge, because it has not been connected
// for long: after an outage of Redis all look dead.
func (c *core) alive(s *shard, processes, clock rueidis.RedisResult) (map[string]bool, error) {
	if !s.lease.mayJudge() {
		return nil, nil
	}
	beats, err := processes.AsZScores()
	if err != nil {
		return nil, err
	}
	t, err := clock.AsStrSlice()
	if err != nil {
		return nil, err
	}
	now, err := strconv.ParseFloat(t[0], 64)
	if err != nil {
		return nil, err
	}
	alive := map[string]bool{}
	for _, beat := range beats {
		if now-beat.Score < lapse.Seconds() {
			alive[beat.Member] = true
		}
	}
	return alive, nil
}

// sift tells the members of living processes from those of dead ones. A queue is dead when processes hold it and all of them
// are; one that nobody holds was added by Python.
func sift(channels, holders []string, alive map[string]bool) (living, dead []string) {
	held := map[string]bool{} // by queue: whether a living process holds it
	for _, h := range holders {
		process, queue, _ := strings.Cut(h, " ")
		held[queue] = held[queue] || alive[process]
	}
	living = channels[:0]
	for _, channel := range channels {
		process, ours := processOf(channel)
		holding, known := held[channel]
		if ours && !alive[process] || known && !holding {
			dead = append(dead, channel)
			continue
		}
		living = append(living, channel)
	}
	return living, dead
}

// buryScript removes members whose process is dead, if it still is: KEYS group, holders, processes; ARGV lapse, channels.
var buryScript = rueidis.NewLuaScript(`
local now = tonumber(redis.call('TIME')[1])
local function dead(process)
  local beat = redis.call('ZSCORE', KEYS[3], process)
  return not beat or now - tonumber(beat) >= tonumber(ARGV[1])
end
local holders = redis.call('ZRANGE', KEYS[2], 0, -1)
for i = 2, #ARGV do
  local process = string.match(ARGV[i], '^specific%.(.*)!')
  local gone = process and dead(process)
  if not process then
    gone = true
    for _, h in ipairs(holders) do
      local p, queue = string.match(h, '^(%S+) (.*)$')
      if queue == ARGV[i] then
        if dead(p) then redis.call('ZREM', KEYS[2], h) else gone = false end
      end
    end
  end
  if gone then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return 0`)

// bury removes the dead for good. That it fails does not matter: somebody sends again.
func (c *core) bury(ctx context.Context, s *shard, group string, dead []string) {
	const chunk = 1000
	for len(dead) > 0 {
		n := min(len(dead), chunk)
		args := append([]string{decimal(lapse.Seconds())}, dead[:n]...)
		_ = buryScript.Exec(ctx, s, []string{c.keys.group(group), c.keys.holders(group), c.keys.processes()}, args).Error()
		dead = dead[n:]
	}
}

// holdQueue makes a queue a member, held by this process.
func (c *core) holdQueue(ctx context.Context, group, queue string) error {
	c.held.add(membership{group, queue})
	s := c.shardOf(group)
	if err := c.writeHeld(ctx, s, []membership{{group, queue}}); err != nil {
		c.held.remove(membership{group, queue})
		return s.failed(ctx, err)
	}
	return nil
}

// writeHeld tells Redis which queues this process holds.
func (c *core) writeHeld(ctx context.Context, s *shard, all []membership) error {
	var commands rueidis.Commands
	now := seconds(time.Now())
	for _, m := range all {
		for key, member := range map[string]string{c.keys.holders(m.group): c.holder(m.channel), c.keys.group(m.group): m.channel} {
			commands = append(commands,
				s.B().Zadd().Key(key).ScoreMember().ScoreMember(now, member).Build(),
				s.B().Expire().Key(key).Seconds(c.groupSeconds()).Build())
		}
	}
	if len(commands) == 0 {
		return nil
	}
	return firstError(s.DoMulti(ctx, commands...))
}

// holder is what the set of holders calls this process's hold of a queue.
func (c *core) holder(queue string) string { return c.names.Process() + " " + queue }

// releaseScript ends one hold of a queue, and the membership with the last: KEYS group, holders; ARGV holder, queue.
var releaseScript = rueidis.NewLuaScript(`
redis.call('ZREM', KEYS[2], ARGV[1])
for _, h in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if string.match(h, '^%S+ (.*)$') == ARGV[2] then return 0 end
end
redis.call('ZREM', KEYS[1], ARGV[2])
return 1`)

// releaseQueue ends this process's hold of a queue.
func (c *core) releaseQueue(ctx context.Context, group, queue string) error {
	s := c.shardOf(group)
	keys := []string{c.keys.group(group), c.keys.holders(group)}
	if err := releaseScript.Exec(ctx, s, keys, []string{c.holder(queue), queue}).Error(); err != nil {
		return s.failed(ctx, err)
	}
	c.held.remove(membership{group, queue})
	return nil
}
