package natslayer

import (
	"errors"
	"testing"

	"github.com/tideway-go/tideway/layers"
)

func TestTwoProcesses(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	mine, theirs := p.channel(), q.channel()
	p.join("room", mine)
	q.join("room", theirs)
	p.groupSend("room", "one")
	p.send(theirs, "two")
	p.send(mine, "three")
	p.groupSend("room", "four")
	q.want(theirs, "one", "two", "four")
	p.want(mine, "one", "three", "four")
	q.join("foreign", mine)
	q.groupSend("foreign", "five")
	p.want(mine, "five")
	p.must(q.GroupDiscard(t.Context(), "foreign", mine))
	q.groupSend("foreign", "six")
	p.empty(q, mine)
}

func TestHonestErrors(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(&Options{Options: layers.Options{Capacity: 1}})
	theirs := q.channel()
	p.send(theirs, "one")
	if err := p.Send(t.Context(), theirs, note.With(text{"two"})); !errors.Is(err, layers.ErrChannelFull) {
		t.Errorf("L5: a full channel of another process: %v", err)
	}
	q.want(theirs, "one")
	p.must(q.EndChannel(t.Context(), theirs))
	for _, gone := range []string{theirs, "specific.nobody!1", "other!1", "specific.!1", theirs[:len(theirs)-1], "specific.a.b!c.d"} {
		if err := p.Send(t.Context(), gone, note.With(text{"two"})); !errors.Is(err, layers.ErrNoChannel) {
			t.Errorf("L12: send to %s: %v", gone, err)
		}
		if err := p.GroupAdd(t.Context(), "room", gone); !errors.Is(err, layers.ErrNoChannel) {
			t.Errorf("add %s to a group: %v", gone, err)
		}
		if err := p.GroupDiscard(t.Context(), "room", gone); err != nil {
			t.Errorf("L9: discard %s from a group: %v", gone, err)
		}
	}
}
