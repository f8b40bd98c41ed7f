package redislayer

import (
	"sync"
	"time"
)

// complaint limits the lines in the log about one kind of trouble.
type complaint struct {
	mu    sync.Mutex
	last  time.Time
	count int64
}

// due counts one case. It returns how many a line should speak of now, or 0 for no line.
func (c *complaint) due(now time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	if !c.last.IsZero() && now.Sub(c.last) < time.Minute {
		return 0
	}
	n := c.count
	c.last, c.count = now, 0
	return n
}
