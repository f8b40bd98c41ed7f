package redislayer

import (
	"testing"
	"time"
)

// Waits between tries grow up to a limit, and no two are the same.
func TestPause(t *testing.T) {
	for try, want := range map[int]time.Duration{1: 50 * time.Millisecond, 3: 200 * time.Millisecond, 6: 1600 * time.Millisecond, 100: 2 * time.Second} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := pause(try)
			if seen[d] = true; d < want/2 || d >= want*3/2 {
				t.Errorf("L15: before try %d a pause of %v, want about %v", try, d, want)
			}
		}
		if len(seen) < 50 {
			t.Errorf("L15: 100 pauses before try %d have %d lengths", try, len(seen))
		}
	}
}
