package redislayer

import (
	"math"
	"strconv"
	"sync"
	"time"
)

// clock gives the stamps of a layer's messages: Unix seconds that strictly increase, so that what one goroutine sends stays
// in order where Redis sorts by them.
type clock struct {
	mu   sync.Mutex
	last float64
}

// next is a stamp as Redis reads it.
func (c *clock) next() string {
	now := seconds(time.Now())
	c.mu.Lock()
	if now <= c.last {
		now = math.Nextafter(c.last, math.Inf(1))
	}
	c.last = now
	c.mu.Unlock()
	return decimal(now)
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// stamped is the time that a stamp tells, not after now: a clock that is ahead keeps no message alive.
func stamped(score float64, now time.Time) time.Time {
	if !(score >= 0) || score >= seconds(now) {
		return now
	}
	whole, part := math.Modf(score)
	return time.Unix(int64(whole), int64(part*1e9))
}
