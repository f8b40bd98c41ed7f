package redislayer

import (
	"testing"
	"time"
)

// One line a minute tells of how many cases.
func TestComplaint(t *testing.T) {
	var c complaint
	now := time.Now()
	for i, want := range []int64{1, 0, 0, 3} {
		if got := c.due(now.Add(time.Duration(i) * 20 * time.Second)); got != want {
			t.Errorf("after %d s a line about %d, want %d", i*20, got, want)
		}
	}
}
