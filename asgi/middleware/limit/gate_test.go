package limit

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func enter(t *testing.T, g *gate, key string, want bool) {
	t.Helper()
	if no := g.enter(key); (no == nil) != want {
		t.Errorf("%s: refused %v, want a place: %v", key, no, want)
	}
}

// Keys are forgotten once there is nothing to remember of them, and never more than Keys are kept beside those with connections.
func TestGateForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate((&Options{ConnectsPerKey: Rate{PerSecond: 1, Burst: 1}, Keys: 3}).resolve())
		for i := range 10 {
			enter(t, g, strconv.Itoa(i), true)
			g.leave(strconv.Itoa(i))
		}
		if len(g.keys) != 3 || g.idle.Len() != 3 {
			t.Errorf("%d keys, %d of them idle; want 3", len(g.keys), g.idle.Len())
		}
		enter(t, g, "9", false) // still known
		enter(t, g, "0", true)  // forgotten
		<-time.After(time.Minute)
		g.leave("0")
		if len(g.keys) != 0 || g.idle.Len() != 0 {
			t.Errorf("%d keys, %d of them idle; want none: all their buckets are full", len(g.keys), g.idle.Len())
		}
	})
}

// Those that connect again and again in vain are the last to be forgotten.
func TestGateRemembersWhoInsists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate((&Options{ConnectsPerKey: Rate{PerSecond: 0.001, Burst: 1}, Keys: 2}).resolve())
		enter(t, g, "bad", true)
		g.leave("bad")
		for i := range 5 {
			enter(t, g, strconv.Itoa(i), true)
			g.leave(strconv.Itoa(i))
			enter(t, g, "bad", false)
		}
	})
}

// Keys with connections are kept beyond Keys, and without a rate nothing else is.
func TestGateKeepsTheConnected(t *testing.T) {
	g := newGate((&Options{ConnectionsPerKey: 1, Keys: 1}).resolve())
	for i := range 5 {
		enter(t, g, strconv.Itoa(i), true)
	}
	enter(t, g, "0", false)
	two := newGate((&Options{ConnectionsPerKey: 2, Keys: 1}).resolve())
	enter(t, two, "a", true)
	enter(t, two, "a", true)
	two.leave("a")
	enter(t, two, "a", true)
	enter(t, two, "a", false) // the one that stayed still counts
	if len(g.keys) != 5 || g.idle.Len() != 0 {
		t.Errorf("%d keys, %d idle", len(g.keys), g.idle.Len())
	}
	for i := range 5 {
		g.leave(strconv.Itoa(i))
	}
	if len(g.keys) != 0 || g.open != 0 {
		t.Errorf("%d keys, %d open", len(g.keys), g.open)
	}
	g = newGate((&Options{Connections: 1}).resolve())
	enter(t, g, "a", true)
	enter(t, g, "b", false)
	if len(g.keys) != 0 {
		t.Errorf("without a limit per key %d keys are kept", len(g.keys))
	}
}

// Many at once never exceed the limits, and all places come back.
func TestGateAtOnce(t *testing.T) {
	g := newGate((&Options{Connections: 5, ConnectionsPerKey: 2}).resolve())
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			key := strconv.Itoa(i % 3)
			for range 200 {
				if g.enter(key) != nil {
					continue
				}
				g.mu.Lock()
				if g.open > 5 || g.keys[key].open > 2 {
					t.Errorf("%d open, %d of %s", g.open, g.keys[key].open, key)
				}
				g.mu.Unlock()
				g.leave(key)
			}
		})
	}
	wg.Wait()
	if g.open != 0 || len(g.keys) != 0 {
		t.Errorf("%d open, %d keys", g.open, len(g.keys))
	}
}
