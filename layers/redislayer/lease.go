package redislayer

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// A process tells of itself every beatTime; one that has not for the lapse is dead, and leaves its groups.
const (
	beatTime = 2 * time.Second
	lapse    = 7 * time.Second
)

// membership is a channel in a group.
type membership struct{ group, channel string }

// lease is what a process has told one host of itself.
type lease struct {
	mu      sync.Mutex
	since   time.Time // since when the connection has been whole
	renewed time.Time // when all memberships were told last
	telling int       // how many are telling all memberships now
	gone    map[membership]struct{}
}

// maxGone bounds what is remembered to be removed later. What is more is forgotten by Redis after the group expiry.
const maxGone = 100_000

// later remembers memberships to be removed when the host is back.
func (l *lease) later(all []membership) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone == nil {
		l.gone = make(map[membership]struct{})
	}
	for _, m := range all {
		if len(l.gone) < maxGone {
			l.gone[m] = struct{}{}
		}
	}
}

// discarded notes a membership that ended while all are being told, which may tell it once more.
func (l *lease) discarded(m membership) {
	l.mu.Lock()
	telling := l.telling > 0
	l.mu.Unlock()
	if telling {
		l.later([]membership{m})
	}
}

// takeGone hands over what is to be removed.
func (l *lease) takeGone() []membership {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []membership
	for m := range l.gone {
		all = append(all, m)
	}
	l.gone = nil
	return all
}

// whole notes that the connection is there, broken that it is not.
func (l *lease) whole() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		l.since = time.Now()
	}
}

func (l *lease) broken() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = time.Time{}
}

// mayJudge says that this process would have heard of all that are alive.
func (l *lease) mayJudge() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.since.IsZero() && time.Since(l.since) > lapse
}

// beatScript notes that a process is alive: KEYS processes; ARGV process, lapse. It returns 1 if it was believed dead.
var beatScript = rueidis.NewLuaScript(`
local now = tonumber(redis.call('TIME')[1])
local beat = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 3600)
redis.call('EXPIRE', KEYS[1], 86400)
if beat and now - tonumber(beat) < tonumber(ARGV[2]) then return 0 end
return 1`)

// announce notes that this process is alive and, if it was believed dead, tells all its memberships again.
func (c *core) announce(ctx context.Context, s *shard) error {
	args := []string{c.names.Process(), decimal(lapse.Seconds())}
	lapsed, err := beatScript.Exec(ctx, s, []string{c.keys.processes()}, args).AsInt64()
	if err != nil {
		return err
	}
	s.lease.whole()
	late := s.lease.age() > c.opts.GroupExpiry
	switch {
	case lapsed == 1 || late:
		err = c.tell(ctx, s, false)
	case s.lease.age() > c.opts.GroupExpiry/4:
		err = c.tell(ctx, s, true)
	}
	if err != nil {
		return err
	}
	return c.forgetGone(ctx, s)
}

// age is how long ago all memberships were told.
func (l *lease) age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.renewed)
}

// tell writes all memberships of a host's groups. With renew it adds none that is not there: what was discarded or flushed
// meanwhile stays so.
func (c *core) tell(ctx context.Context, s *shard, renew bool) error {
	s.lease.tellingNow(1)
	defer s.lease.tellingNow(-1)
	begun := time.Now()
	byGroup := map[string][]string{}
	for channel, group := range c.local.Memberships() {
		if c.shardOf(group) == s {
			byGroup[group] = append(byGroup[group], channel)
		}
	}
	for group, channels := range byGroup {
		if err := c.tellGroup(ctx, s, group, channels, renew); err != nil {
			return err
		}
	}
	if err := c.writeHeld(ctx, s, c.held.of(func(m membership) bool { return c.shardOf(m.group) == s })); err != nil {
		return err
	}
	s.lease.mu.Lock()
	s.lease.renewed = begun
	s.lease.mu.Unlock()
	return nil
}

func (c *core) tellGroup(ctx context.Context, s *shard, group string, channels []string, renew bool) error {
	const chunk = 500
	key, now := c.keys.group(group), decimal(seconds(time.Now()))
	for len(channels) > 0 {
		n := min(len(channels), chunk)
		args := make([]string, 0, 1+2*n)
		if renew {
			args = append(args, "XX")
		}
		for _, channel := range channels[:n] {
			args = append(args, now, channel)
		}
		err := firstError(s.DoMulti(ctx,
			s.B().Arbitrary("ZADD").Keys(key).Args(args...).Build(),
			s.B().Expire().Key(key).Seconds(c.groupSeconds()).Build()))
		if err != nil {
			return err
		}
		channels = channels[n:]
	}
	return nil
}

func (l *lease) tellingNow(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.telling += n
}

// forgetGone removes what could not be removed before.
func (c *core) forgetGone(ctx context.Context, s *shard) error {
	gone := s.lease.takeGone()
	for len(gone) > 0 {
		n := min(len(gone), 500)
		if err := c.forget(ctx, s, gone[:n]); err != nil {
			s.lease.later(gone)
			return err
		}
		gone = gone[n:]
	}
	return nil
}

// keep tells one host of this process as long as it lives. It ends when Close begins; Close waits for it.
func (c *core) keep(s *shard) {
	defer c.running.Done()
	tick := time.NewTicker(min(beatTime, c.opts.GroupExpiry/4))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.closing:
			return
		}
		ctx, cancel := context.WithTimeout(c.life, writeTime)
		_ = c.announce(ctx, s) // the reader sees a lost connection, and announces the process anew
		cancel()
	}
}

// heldTable is the queues that this process holds in groups.
type heldTable struct {
	mu  sync.Mutex
	all map[membership]struct{}
}

func (t *heldTable) add(m membership) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = make(map[membership]struct{})
	}
	t.all[m] = struct{}{}
}

func (t *heldTable) remove(m membership) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, m)
}

func (t *heldTable) of(wanted func(membership) bool) []membership {
	t.mu.Lock()
	defer t.mu.Unlock()
	var some []membership
	for m := range t.all {
		if wanted(m) {
			some = append(some, m)
		}
	}
	return some
}
