package memlayer_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// Case 58.
func TestCapacity(t *testing.T) {
	test(t, &layers.Options{Capacity: 3}, func(b bed) {
		for _, ch := range []string{"queue", b.channel()} {
			b.send(ch, "1", "2", "3")
			b.full(ch)
			b.want(ch, "1")
			b.send(ch, "4")
			b.full(ch)
			b.want(ch, "2", "3", "4")
			b.empty(ch)
		}
		if s := b.Stats(); s.Refused != 4 {
			b.Errorf("stats %+v, want 4 refused", s)
		}
	})
}

// Cases 59, 66, and 64: the bound is per full name.
func TestCapacityByName(t *testing.T) {
	opts := &layers.Options{Capacity: 3, Capacities: []layers.Capacity{
		layers.Glob("one", 1), layers.Regexp(regexp.MustCompile(`specific\..*`), 2),
	}}
	test(t, opts, func(b bed) {
		b.send("one", "1")
		b.full("one")
		b.send("two", "1", "2", "3")
		b.full("two")
		first, second := b.channel(), b.channel()
		b.send(first, "1", "2")
		b.full(first)
		b.send(second, "1", "2") // case 63: a neighbour's messages take no room
		b.full(second)
	})
}

// Cases 61, 62.
func TestFullMember(t *testing.T) {
	var told []layers.Drop
	test(t, &layers.Options{Capacity: 3, OnDrop: func(d layers.Drop) { told = append(told, d) }}, func(b bed) {
		holds, empty := b.channel(), b.channel()
		b.join("g", holds, empty)
		b.send(holds, "own")
		b.groupSend("g", "1", "2", "3")
		b.want(holds, "own", "1", "2")
		b.want(empty, "1", "2", "3")
		b.empty(holds, empty)
		if len(told) != 1 || told[0].Channel != holds || told[0].Group != "g" || told[0].Reason != layers.DropFull {
			b.Errorf("L5, case 61: told %+v, want one drop of the full member", told)
		}
	})
}

// TestForeignFull holds that a full channel is told across processes too.
func TestForeignFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(&layers.Options{Capacity: 1})
		a, b := bed{t, bus.Layer()}, bed{t, bus.Layer()}
		ch := a.channel()
		a.join("g", ch)
		b.send(ch, "1")
		b.full(ch)
		b.groupSend("g", "2")
		if n := a.Stats().Dropped[layers.DropFull]; n != 1 {
			t.Errorf("L5: the owner counted %d", n)
		}
		a.want(ch, "1")
		a.empty(ch)
	})
}

// TestBytes holds the second bound of a mailbox, 2 MiB, and case 77: a megabyte passes.
func TestBytes(t *testing.T) {
	test(t, nil, func(b bed) {
		for _, ch := range []string{"queue", b.channel()} {
			mega := strings.Repeat("x", 1_000_000)
			b.send(ch, mega, mega)
			err := b.Layer.Send(b.Context(), ch, note.With(text{mega}))
			if !errors.Is(err, layers.ErrChannelFull) {
				b.Fatalf("L5: three megabytes: %v", err)
			}
			b.want(ch, mega, mega)
			b.empty(ch)
		}
	})
}

// Cases 68, 69.
func TestExpiry(t *testing.T) {
	for _, test68 := range []struct {
		gap  time.Duration
		want []string
	}{{2 * time.Second, []string{"2", "3"}}, {time.Second, []string{"1", "2", "3"}}} {
		test(t, &layers.Options{Expiry: 3 * time.Second}, func(b bed) {
			ch, member := b.channel(), b.channel()
			b.join("g", member, "joined")
			for i, s := range []string{"1", "2", "3"} {
				if i > 0 {
					b.wait(test68.gap)
				}
				b.send(ch, s)
				b.send("queue", s)
				b.groupSend("g", s)
			}
			for _, name := range []string{ch, "queue", member, "joined"} {
				b.want(name, test68.want...)
				b.empty(name)
			}
			if got, want := b.Stats().Dropped[layers.DropExpired], uint64(4*(3-len(test68.want))); got != want {
				b.Errorf("L6: %d expired messages counted, want %d", got, want)
			}
		})
	}
}

// Case 70.
func TestExpiredBesideGroup(t *testing.T) {
	test(t, &layers.Options{Expiry: 3 * time.Second}, func(b bed) {
		one, two := b.channel(), b.channel()
		b.join("g", one, two)
		b.send(one, "old")
		b.wait(2 * time.Second)
		b.groupSend("g", "m")
		b.wait(2 * time.Second)
		b.want(one, "m")
		b.want(two, "m")
		b.groupSend("g", "n")
		b.want(one, "n")
		b.want(two, "n")
	})
}

// Case 73.
func TestExpiredBetween(t *testing.T) {
	test(t, &layers.Options{Expiry: 100 * time.Millisecond}, func(b bed) {
		for _, ch := range []string{"queue", b.channel()} {
			b.send(ch, "1", "2", "3")
			b.want(ch, "1")
			b.wait(100 * time.Millisecond)
			b.send(ch, "4")
			b.want(ch, "4")
		}
	})
}

// TestExpiredMakeRoom holds that expired messages do not make a channel full.
func TestExpiredMakeRoom(t *testing.T) {
	test(t, &layers.Options{Expiry: time.Second, Capacity: 2}, func(b bed) {
		for _, ch := range []string{"queue", b.channel()} {
			b.send(ch, "1", "2")
			b.full(ch)
			b.wait(time.Second)
			b.send(ch, "3", "4")
			b.full(ch)
			b.want(ch, "3", "4")
		}
	})
}

// Case 71: an expired message wakes nobody.
func TestExpiredThenWait(t *testing.T) {
	test(t, &layers.Options{Expiry: 100 * time.Millisecond}, func(b bed) {
		for _, ch := range []string{"queue", b.channel()} {
			b.send(ch, "old")
			b.wait(100 * time.Millisecond)
			got := make(chan string, 1)
			go func() {
				m, err := b.Receive(b.Context(), ch)
				v, _ := note.Decode(m)
				got <- v.Text
				if err != nil {
					b.Error(err)
				}
			}()
			synctest.Wait()
			if len(got) > 0 {
				b.Fatalf("L6, case 71: got %q", <-got)
			}
			b.send(ch, "new")
			if s := <-got; s != "new" {
				b.Fatalf("L6, case 71: got %q", s)
			}
		}
	})
}

// TestDefaults holds the limits of zero options.
func TestDefaults(t *testing.T) {
	test(t, &layers.Options{}, func(b bed) {
		ch := b.channel()
		for range layers.DefaultCapacity {
			b.send(ch, "m")
		}
		b.full(ch)
		b.wait(layers.DefaultExpiry - 1)
		b.want(ch, "m")
		b.wait(1)
		b.empty(ch)
		if n := b.Stats().Dropped[layers.DropExpired]; n != layers.DefaultCapacity-1 {
			b.Errorf("L6: %d messages expired after a minute, want 99", n)
		}
		rest := layers.DefaultMaxMessageSize - note.With(text{strings.Repeat("x", 1<<20)}).Size() + 1<<20
		b.send("queue", strings.Repeat("x", rest))
		err := b.Layer.Send(b.Context(), "queue", note.With(text{strings.Repeat("x", rest+1)}))
		if !errors.Is(err, layers.ErrMessageTooLarge) {
			b.Errorf("L13: more than 2 MiB: %v", err)
		}
	})
}

// TestNothingStored holds that a send that fails leaves nothing behind.
func TestNothingStored(t *testing.T) {
	test(t, &layers.Options{MaxMessageSize: 100}, func(b bed) {
		long := note.With(text{strings.Repeat("x", 200)})
		if err := b.Layer.Send(b.Context(), "queue", long); !errors.Is(err, layers.ErrMessageTooLarge) {
			b.Errorf("L13, case 77: %v", err)
		}
		if err := b.Layer.Send(b.Context(), "a queue", note.With(text{})); !errors.Is(err, layers.ErrInvalidName) {
			b.Errorf("L1, case 4: %v", err)
		}
		b.empty("queue")
	})
}
