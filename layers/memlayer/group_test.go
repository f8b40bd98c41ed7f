package memlayer_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// Case 43.
func TestDiscarded(t *testing.T) {
	test(t, nil, func(b bed) {
		one, two, three := b.channel(), b.channel(), b.channel()
		b.join("g", one, two, three)
		b.leave("g", two)
		b.groupSend("g", "m")
		b.want(one, "m")
		b.want(three, "m")
		b.empty(one, two, three)
	})
}

// Cases 44, 45.
func TestEachMemberOnce(t *testing.T) {
	for _, n := range []int{1, 3, 10, 100} {
		test(t, nil, func(b bed) {
			var members []string
			for range n {
				members = append(members, b.channel())
			}
			b.join("g", members...)
			b.join("g", members...) // case 48: adding twice is adding once
			b.groupSend("g", "m")
			for _, ch := range members {
				b.want(ch, "m")
			}
			b.empty(members...)
		})
	}
}

// Case 46.
func TestQueueAsMember(t *testing.T) {
	test(t, &layers.Options{Capacity: 3}, func(b bed) {
		b.join("g", "queue")
		b.join("g", "queue")
		b.groupSend("g", "1", "2", "3", "4", "5")
		if n := b.Stats().Dropped[layers.DropFull]; n != 2 {
			b.Errorf("L5: %d counted as dropped, want 2", n)
		}
		b.want("queue", "1", "2", "3")
		b.leave("g", "queue")
		b.groupSend("g", "6")
		b.empty("queue")
	})
}

// Cases 47, 48, 49.
func TestStrangers(t *testing.T) {
	test(t, nil, func(b bed) {
		ch := b.channel()
		b.leave("g", ch, "queue", "nobody!x")
		b.groupSend("g", "m")
		b.join("g", ch)
		b.leave("g", ch)
		b.leave("g", ch)
		b.groupSend("g", "m")
		b.empty(ch, "queue")
		b.must(b.EndChannel(b.Context(), "unknown!x"))
		if err := b.GroupAdd(b.Context(), "g", "unknown!x"); !errors.Is(err, layers.ErrNoChannel) {
			b.Errorf("GroupAdd of a channel that does not exist: %v", err)
		} else if want := `layers: add "unknown!x" to group "g": no such channel`; err.Error() != want {
			b.Errorf("the error says %q, want %q", err, want)
		}
	})
}

// Case 52.
func TestTwoGroups(t *testing.T) {
	test(t, nil, func(b bed) {
		ch := b.channel()
		b.join("g", ch)
		b.join("h", ch)
		b.groupSend("g", "g")
		b.groupSend("h", "h")
		b.want(ch, "g", "h")
		b.leave("g", ch)
		b.groupSend("g", "g")
		b.groupSend("h", "h")
		b.want(ch, "h")
		b.empty(ch)
	})
}

// Cases 53, 54.
func TestEndedMember(t *testing.T) {
	test(t, nil, func(b bed) {
		ch, stays := b.channel(), b.channel()
		b.join("g", ch, stays)
		b.join("h", ch)
		ended := make(chan error)
		go func() {
			_, err := b.Receive(b.Context(), ch)
			ended <- err
		}()
		synctest.Wait()
		b.must(b.EndChannel(b.Context(), ch))
		if err := <-ended; !errors.Is(err, layers.ErrNoChannel) {
			b.Errorf("a waiting Receive of an ended channel: %v", err)
		}
		b.groupSend("g", "m")
		b.groupSend("h", "m")
		b.want(stays, "m")
		if err := b.Layer.Send(b.Context(), ch, note.With(text{})); !errors.Is(err, layers.ErrNoChannel) {
			b.Errorf("L12: %v", err)
		}
		if s := b.Stats(); s.Delivered != 1 || len(s.Dropped) != 0 {
			b.Errorf("L10: an ended member is no loss: %+v", s)
		}
	})
}

// Cases 55, 74, 75: a live member stays, however long, whatever it did not read.
func TestLiveMemberStays(t *testing.T) {
	test(t, &layers.Options{Expiry: time.Second}, func(b bed) {
		ch := b.channel()
		b.join("g", ch)
		b.groupSend("g", "unread")
		b.wait(1000 * time.Hour)
		b.groupSend("g", "m")
		b.want(ch, "m")
	})
}

// Case 56.
func TestFirstMessageAfterJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		a, b := bed{t, bus.Layer()}, bed{t, bus.Layer()}
		for i := range 100 {
			ch := a.channel()
			b.join("g", ch) // by another process
			b.groupSend("g", fmt.Sprint(i))
			a.want(ch, fmt.Sprint(i))
			b.leave("g", ch)
			b.groupSend("g", "not for it")
			a.empty(ch)
		}
	})
}

// Case 57.
func TestOrderAcrossLayers(t *testing.T) {
	bus := memlayer.NewBus(&layers.Options{Capacity: 20_000})
	a, b := bus.Layer(), bus.Layer()
	bed := bed{t, a}
	ch := bed.channel()
	bed.join("g", ch)
	sender := bed.on(b)
	var want []string
	for i := range 10_000 {
		if i%2 == 0 {
			sender.groupSend("g", fmt.Sprint(i))
		} else {
			sender.send(ch, fmt.Sprint(i))
		}
		want = append(want, fmt.Sprint(i))
	}
	var got []string
	for range want {
		m, err := a.Receive(t.Context(), ch)
		bed.must(err)
		v, _ := note.Decode(m)
		got = append(got, v.Text)
	}
	if !slices.Equal(got, want) {
		t.Fatal("L3, L4, case 57: not all, not once, or not in order")
	}
}

// TestStorm joins, leaves, sends and ends from many goroutines; every member that stays gets the last message.
func TestStorm(t *testing.T) {
	bus := memlayer.NewBus(nil)
	stays := bed{t, bus.Layer()}
	ch := stays.channel()
	stays.join("g", ch)
	var wg sync.WaitGroup
	for range 4 {
		l := bed{t, bus.Layer()}
		wg.Go(func() {
			for range 200 {
				ch := l.channel()
				l.join("g", ch, "queue")
				l.groupSend("g", "m")
				l.leave("g", ch, "queue")
				if err := l.EndChannel(t.Context(), ch); err != nil {
					t.Error(err)
				}
			}
			if err := l.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := stays.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stays.join("g", ch)
	stays.groupSend("g", "last")
	stays.want(ch, "last")
}
