package redislayer

import (
	"math"
	"strconv"
	"testing"
	"time"
)

// Stamps increase also when the clock stands or goes back.
func TestClock(t *testing.T) {
	c := clock{last: seconds(time.Now().Add(time.Hour))}
	for last, i := c.last, 0; i < 1000; i++ {
		next, err := strconv.ParseFloat(c.next(), 64)
		must(t, err)
		if next <= last {
			t.Fatalf("L3: after the stamp %f comes %f", last, next)
		}
		last = next
	}
}

// A clock that is ahead keeps no message for longer, and no stamp makes a time that is none.
func TestStamped(t *testing.T) {
	now := time.Now()
	for _, score := range []float64{seconds(now) + 3600, math.Inf(1), math.Inf(-1), math.NaN(), -1} {
		if got := stamped(score, now); !got.Equal(now) {
			t.Errorf("L6: the stamp %v is %v, want now", score, got)
		}
	}
	if got := now.Sub(stamped(seconds(now)-30, now)); got < 30*time.Second-time.Millisecond || got > 30*time.Second+time.Millisecond {
		t.Errorf("L6: a stamp of 30 s ago is %v ago", got)
	}
}
