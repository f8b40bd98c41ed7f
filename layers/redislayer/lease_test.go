package redislayer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
)

// members of a group as Redis has them.
func (b *bed) members(group string) []string {
	b.Helper()
	all, err := do(b, b.redis, "ZRANGE", b.prefix+":group:"+group, "0", "-1").AsStrSlice()
	must(b, err)
	return all
}

// age makes a process look as if it had been silent, and the others as if they had been there for long.
func (b *bed) age(dead *process, others ...*process) {
	b.Helper()
	do(b, b.redis, "ZADD", b.prefix+":processes", "1", dead.c.names.Process())
	for _, p := range others {
		p.c.shards[0].lease.mu.Lock()
		p.c.shards[0].lease.since = time.Now().Add(-time.Hour)
		p.c.shards[0].lease.mu.Unlock()
	}
}

// Case 54.
func TestDeadAreRemoved(t *testing.T) {
	b := newBed(t, 1)
	p, q := b.process(nil), b.process(nil)
	mine, theirs := p.channel(), q.channel()
	p.join("room", mine, "jobs")
	q.join("room", theirs, "jobs", "theirs")
	b.number("ZADD", b.prefix+":group:room", decimal(seconds(time.Now())), "python.queue")
	q.cable.Cut() // it dies
	b.age(q, p)
	p.groupSend("room", "a")
	p.want(mine, "a")
	if got, want := b.members("room"), []string{mine, "jobs", "python.queue"}; len(got) != 3 || !slices.Contains(got, want[0]) || !slices.Contains(got, want[1]) || !slices.Contains(got, want[2]) {
		t.Errorf("L10: after a process died the group has %v, want %v", got, want)
	}
	if b.number("EXISTS", b.prefix+"theirs", q.c.ownKey()) != 0 {
		t.Error("L10: something is stored for the dead")
	}
	q.cable.Mend() // it was not dead after all
	eventually(t, func() bool { return len(b.members("room")) == 5 }, "L10: who comes back is a member again")
	p.groupSend("room", "b")
	q.want(theirs, "b")
}

// After an outage of Redis all look dead to whoever is back first.
func TestNobodyJudgesTooSoon(t *testing.T) {
	b := newBed(t, 1)
	p, q := b.process(nil), b.process(nil)
	theirs := q.channel()
	q.join("room", theirs)
	b.age(q)
	p.groupSend("room", "a")
	q.want(theirs, "a")
}

// Case 55.
func TestRenewal(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(func(o *Options) { o.GroupExpiry = 2 * time.Second })
	mine, left := p.channel(), p.channel()
	p.join("room", mine, left, "jobs")
	do(t, b.redis, "ZREM", b.prefix+":group:room", left) // as Python's group_discard does
	before, err := do(t, b.redis, "ZSCORE", b.prefix+":group:room", mine).AsFloat64()
	must(t, err)
	eventually(t, func() bool {
		now, err := do(t, b.redis, "ZSCORE", b.prefix+":group:room", mine).AsFloat64()
		return err == nil && now > before+2
	}, "case 55: a live member is renewed")
	if got := b.members("room"); !slices.Equal(got, []string{"jobs", mine}) && !slices.Equal(got, []string{mine, "jobs"}) {
		t.Errorf("the group has %v: a renewal brings nobody back", got)
	}
}

// A membership that another process made is renewed by the channel's own, and ends with the channel.
func TestForeignMembership(t *testing.T) {
	b := newBed(t, 1)
	p, q := b.process(nil), b.process(nil)
	theirs, ended := q.channel(), q.channel()
	p.join("room", theirs, ended)
	members := func(n int) func() bool { return func() bool { return q.c.local.Members("room") == n } }
	eventually(t, members(2), "the owner knows of both members")
	must(t, q.EndChannel(t.Context(), ended))
	if got := b.members("room"); !slices.Equal(got, []string{theirs}) {
		t.Errorf("L10: after the end of one member the group has %v", got)
	}
	must(t, p.GroupDiscard(t.Context(), "room", theirs))
	eventually(t, members(0), "the owner knows that the other was discarded")
	p.join("room", ended) // which has ended
	eventually(t, func() bool { return len(b.members("room")) == 0 }, "L10: a channel that has ended does not stay a member")
}

// A membership that Python makes is known to Redis alone. Whoever of Tideway sends to the group in the second half of its time
// renews it, and the channel's own process goes on with that, and ends it with the channel.
func TestMembershipByPython(t *testing.T) {
	b := newBed(t, 1)
	const expiry = 20 * time.Second
	change := func(o *Options) { o.GroupExpiry = expiry }
	p, q := b.process(change), b.process(change)
	b.age(b.process(change), p, q) // who are there for long
	mine, theirs, ended := p.channel(), q.channel(), q.channel()
	must(t, q.EndChannel(t.Context(), ended))
	key := b.prefix + ":group:room"
	young, old := seconds(time.Now().Add(-expiry/4)), seconds(time.Now().Add(-3*expiry/4))
	for channel, score := range map[string]float64{mine: old, theirs: old, ended: old, "python": old, p.channel(): young} {
		b.number("ZADD", key, decimal(score), channel)
	}
	p.groupSend("room", "a")
	p.want(mine, "a")
	q.want(theirs, "a")
	score := func(channel string) float64 {
		f, err := do(t, b.redis, "ZSCORE", key, channel).AsFloat64()
		must(t, err)
		return f
	}
	for channel, renewed := range map[string]bool{mine: true, theirs: true, "python": false} {
		if got := score(channel); renewed != (got > young) {
			t.Errorf("case 55: %s joined at %f, want it renewed: %t", channel, got, renewed)
		}
	}
	eventually(t, func() bool { return q.c.local.Members("room") == 1 && p.c.local.Members("room") == 1 },
		"L10: the owners know of the memberships; one young enough is left alone")
	eventually(t, func() bool { return !slices.Contains(b.members("room"), ended) }, "L10: a channel that has ended leaves the group")
	must(t, q.EndChannel(t.Context(), theirs))
	if slices.Contains(b.members("room"), theirs) {
		t.Error("L10: the membership does not end with its channel")
	}
}

// What cannot be removed during an outage is removed after it.
func TestEndedDuringOutage(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	ended, stays := p.channel(), p.channel()
	p.join("room", ended, stays)
	p.cable.Cut()
	must(t, p.EndChannel(t.Context(), ended))
	if err := p.GroupAdd(t.Context(), "hall", stays); err == nil {
		t.Error("a join without a connection is no error")
	}
	if err := p.GroupDiscard(t.Context(), "room", stays); err == nil {
		t.Error("a leave without a connection is no error")
	}
	p.cable.Mend()
	eventually(t, func() bool { return slices.Equal(b.members("room"), []string{stays}) }, "L10: a channel that ended during an outage leaves its groups")
	eventually(t, func() bool { _, out := p.Outage(); return !out }, "L15: the layer is back")
	p.groupSend("room", "a")
	p.want(stays, "a")
}

// What could not be removed is removed later.
func TestGoneIsRemembered(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	s := p.c.shards[0]
	p.cable.Cut()
	eventually(t, func() bool { _, out := p.Outage(); return out }, "the outage is noticed")
	m := membership{"room", "specific.x!1"}
	s.lease.later([]membership{m})
	if err := p.c.forgetGone(t.Context(), s); err == nil {
		t.Error("forgetting without a connection is no error")
	}
	if got := s.lease.takeGone(); !slices.Equal(got, []membership{m}) {
		t.Errorf("L10: %v are to be removed later, want %v", got, m)
	}
}

// A membership that ends while all are being told may be told once more, so it is removed again when that is done. One that ends at any
// other time is removed once.
func TestDiscardedWhileTelling(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	s, m := p.c.shards[0], membership{"room", p.channel()}
	p.join(m.group, m.channel)
	must(t, p.GroupDiscard(t.Context(), m.group, m.channel))
	if got := s.lease.takeGone(); len(got) > 0 {
		t.Errorf("%v are to be removed once more", got)
	}
	s.lease.tellingNow(1)
	eventually(t, func() bool { // the keeper may come between
		must(t, p.GroupDiscard(t.Context(), m.group, m.channel))
		return slices.Equal(s.lease.takeGone(), []membership{m})
	}, "L10: a membership that ended while all are told is removed again")
	s.lease.tellingNow(-1)
}

// Case 31.
func TestNothingIsLeft(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	for i := range 10_000 {
		channel, err := p.Listen(t.Context(), nothing{})
		must(t, err)
		must(t, p.GroupAdd(t.Context(), fmt.Sprint("room", i%7), channel))
		must(t, p.EndChannel(t.Context(), channel))
	}
	for range 50 {
		p.send("jobs", "a")
		p.want("jobs", "a")
	}
	keys, err := do(t, b.redis, "KEYS", b.prefix+"*").AsStrSlice()
	must(t, err)
	for _, key := range keys {
		if key != b.prefix+":processes" && key != p.c.ownKey() {
			t.Errorf("L16, case 31: %s is left in Redis", key)
		}
	}
	if p.c.queues.busy("jobs") || len(p.c.shards[0].lease.takeGone()) > 0 {
		t.Error("L16, case 31: something is left in the process")
	}
	for channel := range p.c.local.Memberships() {
		t.Errorf("L16: %s is left in a group", channel)
	}
	must(t, p.Close(t.Context()))
	if n := b.number("ZCARD", b.prefix+":processes"); n != 0 {
		t.Error("L10: a process that has closed is still known")
	}
}

type nothing struct{}

func (nothing) Deliver(layers.Message) error { return nil }

// A group of 10,000 members in 10 processes is 10 messages, and two round trips: one pipeline for the members, one script for
// the messages.
func TestLargeGroup(t *testing.T) {
	port := startRedis(t, plain)
	url := "redis://127.0.0.1:" + port
	admin := client(t, url)
	l, err := Core(t.Context(), &Options{Hosts: []string{url}, Prefix: "large", Logger: zap.NewNop()})
	must(t, err)
	p := &process{TB: t, Layer: l}
	key := func(process int) string { return fmt.Sprintf("largespecific.%032d!", process) }
	for process := range 10 {
		args := []string{"ZADD", "large:group:room"}
		for i := range 1000 {
			args = append(args, decimal(seconds(time.Now())), fmt.Sprintf("specific.%032d!%d", process, i))
		}
		do(t, admin, args...)
	}
	p.groupSend("room", "the script is known to Redis from here on")
	seen := monitor(t, port)
	p.groupSend("room", "a")
	used := seen()
	for command, want := range map[string]string{"zrange": "large:group:room", "evalsha": key(0)} {
		n := 0
		for _, line := range used[command] {
			if strings.Contains(line, want) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("there are %d %s of %s, want 1", n, command, want)
		}
	}
	for process := range 10 {
		n, err := do(t, admin, "ZCARD", key(process)).AsInt64()
		must(t, err)
		if n != 2 {
			t.Errorf("process %d has %d messages of 2", process, n)
		}
	}
	must(t, p.Close(t.Context()))
}
