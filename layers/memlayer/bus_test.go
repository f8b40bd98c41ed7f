package memlayer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// inbox keeps what it is given.
type inbox struct{ got []layers.Message }

func (i *inbox) Deliver(m layers.Message) error {
	i.got = append(i.got, m)
	return nil
}

func (i *inbox) types() (types []string) {
	for _, m := range i.got {
		types = append(types, m.Type())
	}
	return types
}

func TestDirectAndGroupAcrossLayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		a, b, c := bed{t, bus.Layer()}, bed{t, bus.Layer()}, bed{t, bus.Layer()}
		one, two := a.channel(), b.channel()
		c.send(one, "direct")
		a.want(one, "direct")
		a.join("g", one)
		b.join("g", two)
		c.groupSend("g", "all")
		a.want(one, "all")
		b.want(two, "all")
		// Another bus is another deployment.
		stranger := bed{t, memlayer.New(nil)}
		stranger.groupSend("g", "not for them")
		if err := stranger.Layer.Send(t.Context(), one, note.With(text{})); !errors.Is(err, layers.ErrNoChannel) {
			t.Errorf("L12: a channel of another bus: %v", err)
		}
		a.empty(one)
		b.empty(two)
	})
}

// TestFanOut holds that the counters of all processes give the exact number of members that a group's message reached, whatever
// they are, and that nothing else is counted with it.
func TestFanOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(&layers.Options{Capacity: 2, Durables: []layers.Durable{{Queues: "durable"}}})
		a, b := bed{t, bus.Layer()}, bed{t, bus.Layer()}
		one, two, full := a.channel(), b.channel(), b.channel()
		a.join("g", one, "queue", "durable")
		b.join("g", two, full)
		b.send(full, "1", "2")
		a.send(one, "direct")
		a.send("queue", "direct")
		a.send("durable", "direct")
		a.groupSend("g", "to one, two and the queues")
		b.groupSend("nobody", "m")
		sent, delivered, ofGroups := uint64(0), uint64(0), uint64(0)
		for _, l := range []bed{a, b} {
			s := l.Stats()
			sent, delivered, ofGroups = sent+s.GroupSent, delivered+s.Delivered, ofGroups+s.GroupDelivered
		}
		if sent != 2 || ofGroups != 4 || delivered != 5+4 {
			t.Errorf("of %d group messages %d were taken by members, of all messages %d; want 2, 4, 9", sent, ofGroups, delivered)
		}
		if s := b.Stats(); s.GroupDelivered != 1 || s.Delivered != 3 {
			t.Errorf("in the process of one member: %+v", s)
		}
	})
}

// TestQueueAcrossLayers holds that any process receives what any sends, once.
func TestQueueAcrossLayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		a, b, c := bed{t, bus.Layer()}, bed{t, bus.Layer()}, bed{t, bus.Layer()}
		a.send("queue", "1", "2")
		b.want("queue", "1")
		c.want("queue", "2")
		a.empty("queue")

		got := make(chan string, 100)
		for _, l := range []bed{a, b, c} {
			go func() {
				for {
					m, err := l.Receive(t.Context(), "shared")
					if err != nil {
						return
					}
					v, _ := note.Decode(m)
					got <- v.Text
				}
			}()
		}
		var want, all []string
		for i := range 50 {
			want = append(want, fmt.Sprint(i))
			a.send("shared", fmt.Sprint(i))
		}
		for range want {
			all = append(all, <-got)
		}
		slices.Sort(all)
		slices.Sort(want)
		if !slices.Equal(all, want) || len(got) > 0 {
			t.Errorf("L4, L11: got %v", all)
		}
		for _, l := range []bed{a, b, c} {
			l.must(l.Close(t.Context()))
		}
	})
}

// TestOncePerProcess holds that what is derived from a message is shared within a process, not between processes.
func TestOncePerProcess(t *testing.T) {
	bus := memlayer.NewBus(nil)
	a, b := bed{t, bus.Layer()}, bed{t, bus.Layer()}
	boxes := []*inbox{{}, {}, {}, {}}
	for i, box := range boxes {
		l := []bed{a, b}[i/2]
		ch, err := l.Listen(t.Context(), box)
		l.must(err)
		l.join("g", ch)
	}
	a.groupSend("g", "m")
	type key struct{}
	made := 0
	for _, box := range boxes {
		if _, err := box.got[0].Once(key{}, func() (any, error) { made++; return nil, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if made != 2 {
		t.Errorf("made %d times for two processes with two members each", made)
	}
}

// Case 34.
func TestCutAndMend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		a, b := bed{t, bus.Layer()}, bed{t, bus.Layer()}
		var one, two, foreign inbox
		var names []string
		for _, x := range []struct {
			l   bed
			box *inbox
		}{{a, &one}, {a, &two}, {b, &foreign}} {
			ch, err := x.l.Listen(t.Context(), x.box)
			x.l.must(err)
			x.l.join("g", ch)
			names = append(names, ch)
		}
		cause := errors.New("the plug was pulled")
		mailbox := a.channel()
		bus.Cut(a.Layer, cause)
		bus.Cut(a.Layer, errors.New("again"))
		_, receive := a.Receive(t.Context(), "queue")
		for op, err := range map[string]error{
			"Send": a.Layer.Send(t.Context(), names[2], note.With(text{})), "Send to its own": a.Layer.Send(t.Context(), names[0], note.With(text{})),
			"GroupSend": a.GroupSend(t.Context(), "g", note.With(text{})), "GroupAdd": a.GroupAdd(t.Context(), "h", names[0]),
			"Flush": a.Flush(t.Context()), "Receive": receive, "GroupDiscard": a.GroupDiscard(t.Context(), "g", names[2]),
		} {
			if !errors.Is(err, cause) || !strings.Contains(err.Error(), "the plug was pulled") {
				t.Errorf("L15: %s while cut off: %v", op, err)
			}
		}
		for op, err := range map[string]error{
			"Send": b.Layer.Send(t.Context(), names[0], note.With(text{})), "GroupAdd": b.GroupAdd(t.Context(), "h", names[0]),
			"GroupDiscard": b.GroupDiscard(t.Context(), "g", names[0]),
		} {
			if !errors.Is(err, layers.ErrUncertain) {
				t.Errorf("L14: %s to one that is cut off: %v", op, err)
			}
		}
		b.groupSend("g", "missed by a")
		a.leave("g", names[1]) // what needs no bus works
		bus.Mend(a.Layer)
		bus.Mend(a.Layer)
		b.groupSend("g", "after")

		for i, want := range [][]string{{"layer.down", "layer.up", "test.note"}, {"layer.down", "layer.up"}, {"test.note", "test.note"}} {
			if got := []*inbox{&one, &two, &foreign}[i].types(); !slices.Equal(got, want) {
				t.Errorf("L15, case 34: channel %d got %v, want %v", i, got, want)
			}
		}
		for i, typ := range []layers.Type[layers.Outage]{layers.Down, layers.Up} {
			o, err := typ.Decode(one.got[i])
			if err != nil || o.Cause != "the plug was pulled" || o.Since.IsZero() || !one.got[i].Local() {
				t.Errorf("L15: %s carries %+v, %v", typ, o, err)
			}
		}
		if one.got[2].Local() {
			t.Error("a message is local")
		}
		a.empty(mailbox)
	})
}

func TestBusMistakes(t *testing.T) {
	defer func() {
		if s, _ := recover().(string); !strings.Contains(s, "not of this bus") {
			t.Errorf("panic %q", s)
		}
	}()
	memlayer.NewBus(nil).Cut(memlayer.New(nil), nil)
}
