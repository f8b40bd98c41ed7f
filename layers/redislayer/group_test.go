package redislayer

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

// A channel that has ended becomes no member.
func TestJoinAfterTheEnd(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	ended := p.channel()
	must(t, p.EndChannel(t.Context(), ended))
	if err := p.GroupAdd(t.Context(), "room", ended); !errors.Is(err, layers.ErrNoChannel) {
		t.Errorf("L10: a channel that has ended is added: %v, want ErrNoChannel", err)
	}
	if got := b.members("room"); len(got) != 0 {
		t.Errorf("L10: after a channel that has ended was added the group has %v", got)
	}
}

// A member of a Python process, which nobody renews, is none after the group's expiry: L10 as Redis can keep it.
func TestForgottenMember(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	key := b.prefix + ":group:room"
	for i, age := range []time.Duration{25 * time.Hour, 23 * time.Hour} {
		b.number("ZADD", key, decimal(seconds(time.Now().Add(-age))), fmt.Sprint(pythonProcess, i))
	}
	p.groupSend("room", "a")
	if got := b.members("room"); !slices.Equal(got, []string{pythonProcess + "1"}) {
		t.Errorf("L10: the group has %q after a day, want the younger one", got)
	}
}

// A group send whose error is certain has reached nobody.
func TestCombined(t *testing.T) {
	some, maybe, never := []addressee{{}}, fmt.Errorf("%w: lost", driver.ErrUncertain), errors.New("refused")
	for _, c := range []struct {
		name    string
		members [][]addressee
		errs    []error
		want    error
	}{
		{"all have it", [][]addressee{some, nil, some}, []error{nil, nil, nil}, nil},
		{"nobody has it", [][]addressee{some, nil, some}, []error{never, nil, never}, never},
		{"the last has it", [][]addressee{some, nil, some}, []error{never, nil, nil}, driver.ErrUncertain},
		{"the first has it", [][]addressee{some, nil, some}, []error{nil, nil, never}, driver.ErrUncertain},
		{"the last may have it", [][]addressee{some, nil, some}, []error{never, nil, maybe}, driver.ErrUncertain},
		{"the only one may have it", [][]addressee{some}, []error{maybe}, maybe},
	} {
		got := combined(c.members, c.errs)
		if !errors.Is(got, c.want) || errors.Is(got, driver.ErrUncertain) != errors.Is(c.want, driver.ErrUncertain) {
			t.Errorf("L4: %s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Case 22: a group's message is where the process of each member listens, by the name that its members share.
func TestGroupOnThreeHosts(t *testing.T) {
	b := newBed(t, 3)
	p := b.process(nil)
	for process := range 9 {
		name := fmt.Sprintf("specific.%032d!", process)
		for i := range 3 {
			p.join("room", name+fmt.Sprint(i))
		}
	}
	p.groupSend("room", "a")
	for process := range 9 {
		name := fmt.Sprintf("specific.%032d!", process)
		host := b.client(shardOf(name, 3))
		if n, err := do(t, host, "ZCARD", b.prefix+name).AsInt64(); err != nil || n != 1 {
			t.Errorf("case 22: %s has %d messages on the host where it listens, %v, want 1", name, n, err)
		}
	}
}

// What members of groups took is counted apart, wherever the message came from, so that the fan-out can be told.
func TestFanOut(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 1)
			p, q := open(b, nil), open(b, nil)
			own, theirs, other := p.channel(), q.channel(), q.channel()
			p.join("room", own)
			q.join("room", theirs, other)
			q.join("alone", theirs)
			p.groupSend("room", "a")
			p.groupSend("alone", "b")
			p.send(theirs, "c")
			p.want(own, "a")
			q.want(theirs, "a", "b", "c")
			q.want(other, "a")
			if s := p.Stats(); s.GroupDelivered != 1 || s.Delivered != 1 {
				t.Errorf("the sender's: %d of groups of %d, want 1 of 1", s.GroupDelivered, s.Delivered)
			}
			if s := q.Stats(); s.GroupDelivered != 3 || s.Delivered != 4 {
				t.Errorf("the other process's: %d of groups of %d, want 3 of 4", s.GroupDelivered, s.Delivered)
			}
		})
	}
}
