package redislayer

import (
	"context"
	"errors"
	"time"
)

// closeTime bounds Close when its ctx has no deadline.
const closeTime = 5 * time.Second

// Close implements driver.Driver. Nothing is buffered: what was sent has been answered. Without an answer of Redis the
// memberships stay there, and die with the process's lease.
func (c *core) Close(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, closeTime)
		defer cancel()
	}
	c.starting.Lock()
	close(c.closing)
	c.starting.Unlock()
	done := make(chan struct{})
	go func() { // ends with the readers and keepers, whom the end of life ends at the latest; waited for below
		c.running.Wait()
		close(done)
	}()
	answers := c.wakeAll(ctx) == nil // so that no reader is cut in the midst of a pop, which might lose a message of a queue
	if answers {
		select {
		case <-done:
		case <-ctx.Done():
		case <-time.After(answerTime):
		}
	}
	c.end()
	<-done
	if answers {
		c.leaveAll(ctx)
	}
	for _, s := range c.shards {
		s.Close()
	}
	return nil
}

func (c *core) wakeAll(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var errs []error
	for _, s := range c.shards {
		errs = append(errs, c.wake(limited, s))
	}
	return errors.Join(errs...)
}

// leaveAll removes this process and its memberships from Redis.
func (c *core) leaveAll(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	byShard := make(map[*shard][]membership)
	for channel, group := range c.local.Memberships() {
		s := c.shardOf(group)
		byShard[s] = append(byShard[s], membership{group, channel})
	}
	for s, all := range byShard {
		for len(all) > 0 && limited.Err() == nil {
			n := min(len(all), 500)
			_ = c.forget(limited, s, all[:n])
			all = all[n:]
		}
	}
	for _, m := range c.held.of(func(membership) bool { return true }) {
		_ = c.releaseQueue(limited, m.group, m.channel)
	}
	for _, s := range c.shards {
		_ = firstError(s.DoMulti(limited,
			s.B().Zrem().Key(c.keys.processes()).Member(c.names.Process()).Build(),
			s.B().Unlink().Key(c.ownKey()).Build()))
	}
}
