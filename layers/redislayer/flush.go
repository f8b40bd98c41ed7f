package redislayer

import (
	"context"
	"regexp"
	"strings"
)

// Flush implements driver.Flusher: it removes all messages and groups of the prefix from all hosts, and tells the Tideway
// processes that are alive to drop theirs. Keys of a longer prefix stay, as far as groups or processes show that there is one.
func (c *core) Flush(ctx context.Context) error {
	c.flushed()
	for _, s := range c.shards {
		if err := c.flushShard(ctx, s); err != nil {
			return s.failed(ctx, err)
		}
	}
	return c.orderFlush(ctx)
}

// flushed drops what this process holds.
func (c *core) flushed() {
	c.local.Flush()
	c.held.clear()
}

func (t *heldTable) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = nil
}

func (c *core) flushShard(ctx context.Context, s *shard) error {
	all, err := scan(ctx, s, c.keys.prefix)
	if err != nil {
		return err
	}
	const chunk = 1000
	doomed := c.keys.doomed(all)
	for len(doomed) > 0 {
		n := min(len(doomed), chunk)
		if err := s.Do(ctx, s.B().Unlink().Key(doomed[:n]...).Build()).Error(); err != nil {
			return err
		}
		doomed = doomed[n:]
	}
	return nil
}

// scan lists the keys that begin with a prefix.
func scan(ctx context.Context, s *shard, prefix string) ([]string, error) {
	var all []string
	pattern := globSpecial.ReplaceAllString(prefix, `\$0`) + "*"
	for cursor := uint64(0); ; {
		e, err := s.Do(ctx, s.B().Scan().Cursor(cursor).Match(pattern).Count(1000).Build()).AsScanEntry()
		if err != nil {
			return nil, err
		}
		all = append(all, e.Elements...)
		if cursor = e.Cursor; cursor == 0 {
			return all, nil
		}
	}
}

var globSpecial = regexp.MustCompile(`[*?\[\]\\^-]`)

// doomed are those keys that belong to this prefix and not to a longer one. Who is alive stays known.
func (k keyspace) doomed(all []string) []string {
	var longer, doomed []string
	for _, key := range all {
		for _, part := range []string{":group:", ":holders:", ":processes"} {
			if i := strings.Index(key, part); i > len(k.prefix) {
				longer = append(longer, key[:i])
			}
		}
	}
	for _, key := range all {
		if key == k.processes() || hasAnyPrefix(key, longer) {
			continue
		}
		doomed = append(doomed, key)
	}
	return doomed
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// orderFlush tells the other processes.
func (c *core) orderFlush(ctx context.Context) error {
	s := c.shards[0]
	processes, err := s.Do(ctx, s.B().Zrange().Key(c.keys.processes()).Min("0").Max("-1").Build()).AsStrSlice()
	if err != nil {
		return s.failed(ctx, err)
	}
	for _, process := range processes {
		if process == c.names.Process() {
			continue
		}
		if err := c.order(ctx, process, orderFlush, membership{}); err != nil {
			return err
		}
	}
	return nil
}
