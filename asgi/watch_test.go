package asgi_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// TestWatch starts things at known times and demands that just those which last are called, once each.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var watch asgi.Watch
		var mu sync.Mutex
		var called []string
		late := func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Sorted(slices.Values(called))
		}
		thing := func(name string) *asgi.Watched {
			return &asgi.Watched{Late: func() {
				mu.Lock()
				defer mu.Unlock()
				called = append(called, name)
			}}
		}
		begun := time.Now()
		quick, slow, twice := thing("quick"), thing("slow"), thing("twice")
		watch.Start(quick)
		watch.Start(slow)
		watch.Start(twice)
		watch.Stop(quick)
		watch.Stop(quick) // once more is no mistake
		watch.Stop(twice)
		<-time.After(200 * time.Microsecond)
		watch.Start(twice)
		for len(late()) < 2 {
			<-time.After(100 * time.Microsecond)
			synctest.Wait()
			if took := time.Since(begun); took > 2*time.Millisecond {
				t.Fatalf("after %v only %v were called", took, late())
			}
		}
		if !slices.Equal(late(), []string{"slow", "twice"}) {
			t.Fatalf("called: %v, want slow and twice", late())
		}
		watch.Stop(slow)
		watch.Stop(twice)
		<-time.After(time.Second)
		if len(late()) != 2 {
			t.Fatalf("called: %v, want each once", late())
		}
		if watch.Ticks() == 0 {
			t.Fatal("no tick was counted")
		}
		watch.Start(quick) // a Watch that has come to rest begins again
		<-time.After(10 * time.Millisecond)
		synctest.Wait()
		if len(late()) != 3 {
			t.Fatalf("called: %v, want quick, too", late())
		}
	})
}

// TestWatchFromLate demands that Late may start and stop what is watched, itself too: it is called once for each Start.
func TestWatchFromLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var watch asgi.Watch
		quick := &asgi.Watched{Late: func() { t.Error("what was stopped is late") }}
		calls, starts := make(chan time.Time, 10), 1
		var again *asgi.Watched
		again = &asgi.Watched{Late: func() {
			watch.Stop(again)
			watch.Start(quick)
			watch.Stop(quick)
			if starts < 5 {
				starts++
				watch.Start(again)
			}
			calls <- time.Now()
		}}
		last := time.Now()
		watch.Start(again)
		for range 5 {
			now := <-calls
			if took := now.Sub(last); took < time.Millisecond/2 || took > time.Millisecond {
				t.Errorf("late after %v, want half a millisecond to one", took)
			}
			last = now
		}
		<-time.After(time.Second)
		if len(calls) > 0 {
			t.Errorf("%d calls more than starts", len(calls))
		}
	})
}

// TestWatchCost demands that what is quick is watched without memory.
func TestWatchCost(t *testing.T) {
	var watch asgi.Watch
	w, other := asgi.Watched{Late: func() {}}, asgi.Watched{Late: func() {}}
	watch.Start(&other)
	defer watch.Stop(&other)
	if n := testing.AllocsPerRun(1000, func() { watch.Start(&w); watch.Stop(&w) }); n > 0.1 {
		t.Errorf("Start and Stop take %v allocations, want none", n)
	}
}

func BenchmarkWatch(b *testing.B) {
	var watch asgi.Watch
	w := asgi.Watched{Late: func() {}}
	b.ReportAllocs()
	for b.Loop() {
		watch.Start(&w)
		watch.Stop(&w)
	}
}
