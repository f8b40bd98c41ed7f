package redislayer

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/internal/payload"
)

// values are what both sides must agree on, one by one.
var values = map[string]any{
	"unicode": "ß € 😀 \u2028 \x00", "empty": "", "bytes": []byte{0, 0xff, 'a'}, "no bytes": []byte{},
	"zero": int64(0), "-1": int64(-1), "-32": int64(-32), "-33": int64(-33), "127": int64(127), "128": int64(128),
	"max int64": int64(math.MaxInt64), "min int64": int64(math.MinInt64), "max uint64": uint64(math.MaxUint64), "2^63": uint64(1 << 63),
	"float": 1.5, "whole": 2.0, "tiny": math.SmallestNonzeroFloat64, "huge": math.MaxFloat64, "inf": math.Inf(-1),
	"nil": nil, "true": true, "false": false, "list": []any{int64(1), []any{"a", nil}}, "empty list": []any{},
	"map": map[string]any{"k": map[string]any{"n": int64(1), "b": []byte{1}}}, "empty map": map[string]any{},
	"long": strings.Repeat("x", 70_000), "long bytes": bytes.Repeat([]byte{7}, 70_000),
}

const anything layers.Type[map[string]any] = "anything"

func (p *process) fields(channel string) map[string]any {
	p.Helper()
	m, err := p.Receive(p.Context(), channel)
	must(p, err)
	fields, err := m.Fields()
	must(p, err)
	return fields
}

// sameValues sends all values both ways to a channel of either side.
func sameValues(t *testing.T, p *process, q *peer, mine, theirs string) {
	t.Helper()
	must(t, p.Send(t.Context(), theirs, anything.With(values)))
	got := q.receive(theirs)
	delete(got, payload.TypeKey)
	compare(t, "Go to Python", got)
	q.sendData(mine, encoded(t, "anything", values))
	compare(t, "Python to Go", p.fields(mine))
}

func compare(t *testing.T, way string, got map[string]any) {
	t.Helper()
	for name, want := range values {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("case 42: %s: %s: got %.60v (%T), want %.60v (%T)", way, name, got[name], got[name], want, want)
		}
	}
	if len(got) != len(values) {
		t.Errorf("case 42: %s: %d fields, want %d", way, len(got), len(values))
	}
}

// Cases 40, 41 and 42: Core and RedisChannelLayer on the same Redis.
func TestPythonCore(t *testing.T) {
	for _, c := range []struct {
		name  string
		hosts int
		keys  []string
	}{{"plain", 1, nil}, {"plain, 3 hosts", 3, nil}, {"encrypted", 1, []string{"a key", "an old key"}}, {"encrypted, 3 hosts", 3, []string{"ключ"}}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, c.hosts)
			config := map[string]any{}
			if c.keys != nil {
				config["symmetric_encryption_keys"] = c.keys
			}
			p, q := b.process(func(o *Options) { o.Keys = c.keys }), b.peer(pythonCore, config)
			mine, theirs := p.channel(), q.channel()
			sameValues(t, p, q, mine, theirs)
			sameValues(t, p, q, "jobs.go", "jobs.py")
			for i := range 10 { // names that fall on other hosts
				other := p.channel()
				q.send(other, fmt.Sprint(i))
				p.want(other, fmt.Sprint(i))
			}
			groupsWithPython(t, p, q, mine, theirs)
			if c.hosts > 1 {
				return // a receiver in Python looks at one host until something comes there
			}
			p.join("mixed", "jobs.py")
			q.join("mixed", "jobs.go")
			p.groupSend("mixed", "a")
			q.groupSend("mixed", "b")
			p.want("jobs.go", "a", "b")
			first, second := q.receive("jobs.py"), q.receive("jobs.py")
			if first["text"] != "a" || second["text"] != "b" {
				t.Errorf("case 46: a queue in a group: %v, %v", first, second)
			}
		})
	}
}

// groupsWithPython runs a group whose members are of both sides, added by either.
func groupsWithPython(t *testing.T, p *process, q *peer, mine, theirs string) {
	t.Helper()
	p.join("room", mine)
	q.join("room", theirs)
	p.groupSend("room", "one")
	p.want(mine, "one")
	q.want(theirs, "one")
	q.groupSend("room", "two", "three")
	p.want(mine, "two", "three")
	q.want(theirs, "two", "three")
	q.leave("room", theirs)
	must(t, p.GroupDiscard(t.Context(), "room", mine))
	p.groupSend("room", "four")
	q.groupSend("room", "five")
	p.send(theirs, "marker")
	q.want(theirs, "marker")
	q.send(mine, "marker")
	p.want(mine, "marker")
}

// Each side adds and discards a channel of the other.
func TestPythonForeignMember(t *testing.T) {
	b := newBed(t, 3)
	p, q := b.process(nil), b.peer(pythonCore, nil)
	mine, theirs := p.channel(), q.channel()
	p.join("room", theirs)
	q.join("room", mine)
	q.groupSend("room", "one")
	p.groupSend("room", "two")
	p.want(mine, "one", "two")
	q.want(theirs, "one", "two")
	must(t, p.GroupDiscard(t.Context(), "room", theirs))
	q.leave("room", mine)
	p.groupSend("room", "three")
	q.groupSend("room", "four")
	p.send(theirs, "marker")
	q.want(theirs, "marker")
	q.send(mine, "marker")
	p.want(mine, "marker")
	p.join("room", mine)
	q.leave("room", mine) // one that Go added
	q.groupSend("room", "five")
	q.send(mine, "marker")
	p.want(mine, "marker")
}

// 1,000,000 bytes pass both ways.
func TestPythonLarge(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(func(o *Options) { o.Keys = []string{"k"} })
	q := b.peer(pythonCore, map[string]any{"symmetric_encryption_keys": []string{"k"}})
	mine, theirs := p.channel(), q.channel()
	big := strings.Repeat("ä", 500_000)
	p.send(theirs, big)
	q.want(theirs, big)
	q.send(mine, big)
	p.want(mine, big)
}

// Cases 58 and 63: either side is told when the other's key is full, as channels_redis counts.
func TestPythonFull(t *testing.T) {
	b := newBed(t, 1)
	p, q := b.process(func(o *Options) { o.Capacity = 3 }), b.peer(pythonCore, map[string]any{"capacity": 3})
	for _, channel := range []string{q.channel(), "jobs"} {
		p.send(channel, "a", "b", "c")
		if err := p.Send(t.Context(), channel, note.With(text{"d"})); !errors.Is(err, layers.ErrChannelFull) {
			t.Errorf("case 58: Go's fourth message to %s of Python: %v", channel, err)
		}
		if r := q.try(order{Op: "send", Args: []any{channel}, Message: encoded(t, "note", nil)}); r.Error != "ChannelFull" {
			t.Errorf("case 58: Python's fourth message to %s: %+v", channel, r)
		}
		q.want(channel, "a", "b", "c")
		p.send(channel, "e")
		q.want(channel, "e")
	}
	// Go holds each channel to its own capacity, and drops and counts what is above.
	mine := p.channel()
	for n := 0; n < 5; n++ {
		for q.try(order{Op: "send", Args: []any{mine}, Message: encoded(t, "note", map[string]any{"text": fmt.Sprint(n)})}).Error == "ChannelFull" {
			continue // the reader is about to take what is there
		}
	}
	p.dropped(layers.DropFull, 2)
	p.want(mine, "0", "1", "2")
}

// Cases 68 and 76.
func TestPythonExpiry(t *testing.T) {
	b := newBed(t, 1)
	p, q := b.process(func(o *Options) { o.Expiry = 2 * time.Second }), b.peer(pythonCore, map[string]any{"expiry": 2})
	theirs := q.channel()
	p.send(theirs, "old")
	p.send("jobs", "old")
	<-time.After(3500 * time.Millisecond) // Python counts whole seconds
	p.send(theirs, "new")
	q.want(theirs, "new")
	q.send("jobs", "new")
	p.want("jobs", "new")
}

// Case 17 with Python on the other side, and a key that nobody has.
func TestPythonRotation(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(func(o *Options) { o.Keys = []string{"new", "old"} })
	mine := p.channel()
	before := b.peer(pythonCore, map[string]any{"symmetric_encryption_keys": []string{"old"}})
	before.send(mine, "from the old key")
	p.want(mine, "from the old key")
	after := b.peer(pythonCore, map[string]any{"symmetric_encryption_keys": []string{"new"}})
	theirs := after.channel()
	p.send(theirs, "to the new key")
	after.want(theirs, "to the new key")
	stranger := b.peer(pythonCore, map[string]any{"symmetric_encryption_keys": []string{"wrong"}})
	stranger.send(mine, "a", "b", "c")
	b.peer(pythonCore, nil).send(mine, "plain")
	after.send(mine, "still there")
	p.want(mine, "still there")
	p.dropped(layers.DropInvalid, 4)
	if n := p.logs.FilterMessageSnippet("cannot be read").Len(); n != 1 {
		t.Errorf("case 24: %d lines for four messages with a wrong key, want 1", n)
	}
}

// Cases 36, 37, 42 and 50: PubSub and RedisPubSubChannelLayer on the same Redis.
func TestPythonPubSub(t *testing.T) {
	for _, hosts := range []int{1, 3} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			b := newBed(t, hosts)
			p, q := b.pubsub(nil), b.peer(pythonPubSub, nil)
			mine, theirs := p.channel(), q.channel()
			b.subscribed(theirs, 1)
			sameValues(t, p, q, mine, theirs)
			q.join("room", theirs)
			b.subscribed(b.prefix+"__group__room", 1)
			p.join("room", mine)
			p.groupSend("room", "one")
			q.want(theirs, "one")
			q.groupSend("room", "two")
			q.want(theirs, "two")
			p.want(mine, "one", "two")
			must(t, p.GroupDiscard(t.Context(), "room", mine))
			q.leave("room", theirs)
			p.groupSend("room", "three")
			q.groupSend("room", "four")
			p.send(theirs, "marker")
			q.want(theirs, "marker")
			q.send(mine, "marker")
			p.want(mine, "marker")
			if err := p.GroupAdd(t.Context(), "room", theirs); err == nil || !strings.Contains(err.Error(), "call group_add there") {
				t.Errorf("case 50: adding a channel of Python: %v", err)
			}
			if err := p.Send(t.Context(), "nobody"+theirs[len(theirs)-32:], note.With(text{"a"})); !errors.Is(err, layers.ErrNoChannel) {
				t.Errorf("case 37: a message to nobody: %v", err)
			}
		})
	}
}

// subscribed waits until so many hear a name: Python does not wait for the answer to its SUBSCRIBE.
func (b *bed) subscribed(name string, n int64) {
	b.Helper()
	host := b.client(shardOf(name, b.hosts))
	eventually(b, func() bool {
		counts, err := do(b, host, "PUBSUB", "NUMSUB", name).AsIntMap()
		must(b, err)
		return counts[name] == n
	}, "%s is subscribed", name)
}

// PubSub of channels_redis encrypts since 4.2.1; the tokens are those of Core without a time.
func TestPythonOpensTokens(t *testing.T) {
	b := newBed(t, 1)
	q := b.peer(pythonCore, map[string]any{"symmetric_encryption_keys": []string{"new", "old"}})
	f := &format{keys: newKeyring([]string{"old"})}
	sealed, err := f.pack(encoded(t, "note", map[string]any{"text": "a"}), nil, false, time.Now())
	must(t, err)
	do(t, b.redis, "ZADD", b.prefix+"jobs", decimal(seconds(time.Now())), "123456789012"+string(sealed))
	q.want("jobs", "a")
}
