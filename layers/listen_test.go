package layers_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

func TestListen(t *testing.T) {
	ctx := t.Context()
	var told drops
	l := memlayer.New(&layers.Options{OnDrop: told.add})
	good, full, ended, broken, odd := &box{}, &box{err: layers.ErrChannelFull}, &box{err: layers.ErrNoChannel}, &box{panics: true}, &box{err: errors.New("odd")}
	names := map[*box]string{}
	for _, b := range []*box{good, full, ended, broken, odd} {
		ch, err := l.Listen(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		names[b] = ch
		if err := l.GroupAdd(ctx, "g", ch); err != nil {
			t.Fatal(err)
		}
	}
	// Case 61.
	if err := l.GroupSend(ctx, "g", note.With(text{"a"})); err != nil {
		t.Fatalf("L5, case 61: a group send never fails for its members: %v", err)
	}
	if !slices.Equal(good.got, []string{"a"}) {
		t.Fatalf("case 61: got %v", good.got)
	}
	reasons := map[string]layers.Drop{}
	for _, d := range told.all {
		reasons[d.Channel] = d
	}
	for b, want := range map[*box]layers.DropReason{full: layers.DropFull, broken: layers.DropPanic, odd: layers.DropFailed} {
		if d := reasons[names[b]]; d.Reason != want || d.Group != "g" || d.Type != "test.note" {
			t.Errorf("told %+v, want reason %s", d, want)
		}
	}
	if len(told.all) != 3 || l.Stats().Dropped[layers.DropFull] != 1 || l.Stats().Delivered != 1 || l.Stats().GroupDelivered != 1 {
		t.Errorf("%d drops told, stats %+v", len(told.all), l.Stats())
	}
	if err := reasons[names[broken]].Err; err == nil || !strings.Contains(err.Error(), "broken inbox") {
		t.Errorf("a panic is told with its value: %v", err)
	}

	for b, want := range map[*box]error{full: layers.ErrChannelFull, ended: layers.ErrNoChannel, odd: odd.err} {
		if err := l.Send(ctx, names[b], note.With(text{"b"})); !errors.Is(err, want) {
			t.Errorf("direct send: %v, want %v", err, want)
		}
	}
	if err := l.Send(ctx, names[broken], note.With(text{"b"})); err == nil || !strings.Contains(err.Error(), "broken inbox") {
		t.Errorf("direct send to an inbox that panics: %v", err)
	}

	if _, err := l.Receive(ctx, names[good]); err == nil || !strings.Contains(err.Error(), "pushed to an Inbox by Listen") {
		t.Errorf("case 82: Receive from a channel that Listen serves: %v", err)
	}
	if _, err := l.Listen(ctx, nil); err == nil {
		t.Error("Listen(nil)")
	}
	if err := l.Flush(ctx); err != nil || good.flushed != 1 {
		t.Errorf("case 35: Flush reaches inboxes: %v, %d", err, good.flushed)
	}
	if err := l.EndChannel(ctx, names[good]); err != nil {
		t.Fatal(err)
	}
	if err := l.Send(ctx, names[good], note.With(text{"c"})); !errors.Is(err, layers.ErrNoChannel) {
		t.Errorf("L12: after EndChannel: %v", err)
	}
	l.Dropped(layers.Drop{Reason: layers.DropUnlisted})
	if l.Stats().Dropped[layers.DropUnlisted] != 1 {
		t.Error("Dropped counts for consumers")
	}
}

// Case 57.
func TestPushedInOrder(t *testing.T) {
	ctx := t.Context()
	l := memlayer.New(nil)
	b := &box{}
	ch, err := l.Listen(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.GroupAdd(ctx, "g", ch); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 10_000 {
		m := note.With(text{fmt.Sprint(i)})
		if i%3 == 0 {
			err = l.Send(ctx, ch, m)
		} else {
			err = l.GroupSend(ctx, "g", m)
		}
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprint(i))
	}
	if !slices.Equal(b.got, want) {
		t.Fatalf("L3, L4, case 57: %d messages arrived, not in order, or not once", len(b.got))
	}
}

func TestExpiredInInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		l := memlayer.New(&layers.Options{Expiry: time.Second})
		var held []layers.Message
		ch, err := l.Listen(ctx, keep{&held})
		if err != nil {
			t.Fatal(err)
		}
		m := note.With(text{"a"})
		for range 2 { // the same Message, sent twice
			if err := l.Send(ctx, ch, m); err != nil {
				t.Fatal(err)
			}
			<-time.After(600 * time.Millisecond)
		}
		if !held[0].Expired(time.Now()) || held[1].Expired(time.Now()) || m.Expired(time.Now()) {
			t.Error("L6: a message expires a second after it arrived, each time it is sent")
		}
	})
}

type keep struct{ held *[]layers.Message }

func (k keep) Deliver(m layers.Message) error {
	*k.held = append(*k.held, m)
	return nil
}
