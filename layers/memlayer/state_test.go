package memlayer_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// TestNothingIsKept holds that a queue leaves nothing behind. Cases 7, 31, 71, 72.
func TestNothingIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(&layers.Options{Expiry: time.Second})
		b := bed{t, bus.Layer()}
		kept := func(name string, want int) {
			t.Helper()
			if n := bus.QueueNames(); n != want {
				t.Errorf("%s: state of %d queues, want %d", name, n, want)
			}
		}
		b.send("queue", "1", "2")
		b.want("queue", "1")
		kept("case 7: one message left", 1)
		b.want("queue", "2")
		kept("case 7: all received", 0)

		for i := range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := b.Receive(ctx, fmt.Sprint("fresh.", i)); err == nil {
				t.Error("received something")
			}
			cancel()
		}
		kept("case 31: 50 receives cancelled", 0)

		b.send("one", "1")
		b.wait(500 * time.Millisecond)
		b.send("two", "1")
		kept("two queues", 2)
		b.wait(500 * time.Millisecond)
		b.send("three", "1")
		b.want("three", "1")
		kept("case 72: one has expired and another is used", 1)
		b.wait(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := b.Receive(ctx, "two"); err == nil {
			t.Error("case 71: received an expired message")
		}
		kept("case 71: nothing is left", 0)

		b.send("one", "1")
		b.must(b.Flush(t.Context()))
		kept("flush", 0)
		if n := b.Stats().Dropped[layers.DropExpired]; n != 2 {
			t.Errorf("L6: %d expired messages counted, want 2", n)
		}
	})
}

// TestIdleMemory measures what a channel that has joined a group costs in the layer.
func TestIdleMemory(t *testing.T) {
	for _, size := range []struct {
		group int   // members
		bound int64 // bytes
	}{{100, 400}, {1, 800}} {
		const n = 20_000
		l := memlayer.New(nil)
		before := heap()
		channels := make([]string, n)
		var in inbox
		for i := range channels {
			ch, err := l.Listen(t.Context(), &in)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.GroupAdd(t.Context(), fmt.Sprint("room.", i/size.group), ch); err != nil {
				t.Fatal(err)
			}
			channels[i] = ch
		}
		per := (heap() - before) / n
		t.Logf("%d bytes for a channel in a group of %d, its name included", per, size.group)
		if per > size.bound {
			t.Errorf("%d bytes for a channel in a group of %d, want at most %d", per, size.group, size.bound)
		}
		runtime.KeepAlive(channels)
		runtime.KeepAlive(l)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestGroupSendAllocations holds that the number of members costs no memory.
func TestGroupSendAllocations(t *testing.T) {
	l := memlayer.New(nil)
	allocations := func(members int) float64 {
		group := fmt.Sprint("g", members)
		for range members {
			ch, err := l.Listen(t.Context(), discard{})
			if err != nil {
				t.Fatal(err)
			}
			if err := l.GroupAdd(t.Context(), group, ch); err != nil {
				t.Fatal(err)
			}
		}
		m := note.With(text{"hello"})
		ctx := t.Context()
		return testing.AllocsPerRun(200, func() {
			if err := l.GroupSend(ctx, group, m); err != nil {
				t.Fatal(err)
			}
		})
	}
	one, many := allocations(1), allocations(1000)
	t.Logf("%v allocations for 1 member, %v for 1000", one, many)
	if many > one+1 || many > 4 { // the race detector empties the pool now and then
		t.Errorf("%v allocations for 1 member, %v for 1000: want none per member", one, many)
	}
}

type discard struct{}

func (discard) Deliver(layers.Message) error { return nil }
