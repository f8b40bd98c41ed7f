package embedded

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A line that comes again and again is written once in a while, with a count of the others.
func TestLinesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, lines := observer.New(zap.InfoLevel)
		l := newServerLog(zap.New(core))
		for i := range 1000 {
			l.Errorf("127.0.0.1:%d - rid:%d - parser error", 4000+i, i)
		}
		l.Warnf("something else")
		if lines.Len() != 2 {
			t.Fatalf("%d lines of 1001, want one of each kind", lines.Len())
		}
		<-time.After(quietTime) // of the bubble
		l.Errorf("127.0.0.1:%d - rid:%d - parser error", 1, 1)
		last := lines.All()[lines.Len()-1]
		if n := last.ContextMap()["left_out"]; n != int64(999) {
			t.Errorf("left out %v, want 999", n)
		}
		letters := func(n int) string {
			return string(rune('a'+n%26)) + string(rune('a'+n/26%26)) + string(rune('a'+n/676))
		}
		for i := range 10 * maxEpisodes {
			l.Errorf("kind %s", letters(i))
		}
		if n := len(l.said); n > maxEpisodes+1 {
			t.Errorf("%d kinds of lines are remembered, want at most %d", n, maxEpisodes+1)
		}
		l.ending.Store(true)
		before := lines.Len()
		l.Errorf("a new one")
		if lines.Len() != before {
			t.Error("a server that is told to end complains")
		}
	})
}
