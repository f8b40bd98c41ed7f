package redislayer

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/internal/payload"
)

// both are the formats that every way must bear.
var both = map[string]func(*Options){
	"msgpack":        nil,
	"JSON":           func(o *Options) { o.Serializer = JSON },
	"encrypted":      func(o *Options) { o.Keys = []string{"new", "old"} },
	"encrypted JSON": func(o *Options) { o.Keys, o.Serializer, o.RandomPrefix = []string{"k"}, JSON, 8 },
}

func TestTwoProcesses(t *testing.T) {
	for name, change := range both {
		for _, hosts := range []int{1, 3} {
			t.Run(fmt.Sprint(name, " on ", hosts), func(t *testing.T) {
				b := newBed(t, hosts)
				p, q := b.process(change), b.process(change)
				mine, theirs := p.channel(), q.channel()
				p.join("room", mine)
				q.join("room", theirs, "jobs")
				p.groupSend("room", "one")
				p.send(theirs, "two")
				p.send(mine, "three")
				q.want(theirs, "one", "two")
				p.want(mine, "one", "three")
				q.groupSend("room", "four")
				q.want(theirs, "four")
				p.want(mine, "four")
				p.want("jobs", "one", "four")
				q.join("foreign", mine)
				q.groupSend("foreign", "five")
				p.want(mine, "five")
				p.send("jobs", "six")
				q.want("jobs", "six")
			})
		}
	}
}

// entry is what a program that knows the format only from its description would write.
func entry(body string, names ...string) string {
	data, err := hex.DecodeString(body)
	if err != nil {
		panic(err)
	}
	if len(names) > 0 {
		data = payload.WithAddress(data, names, true)
	}
	return "123456789012" + string(data)
}

// pythonProcess is what the channels of a process of Python begin with, which listens on the first of three hosts.
const pythonProcess = "specific.cccccccccccccccccccccccccccccccc!"

const noteA = "82a474797065a46e6f7465a474657874a161" // {"type": "note", "text": "a"}

// put writes an entry as somebody else would.
func (b *bed) put(key, entry string, at time.Time) {
	b.Helper()
	do(b, b.redis, "ZADD", key, decimal(seconds(at)), entry)
}

// Cases 23, 24, 25, 28 and 29.
func TestForeignEntries(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	channel := p.channel()
	key := p.c.ownKey()
	now := time.Now()
	for i, bad := range []string{
		"short", entry("c1"), entry("8201a0a474797065a178"), entry("81a474797065a46e6f"), // cases 24 and 25
		entry(noteA), // case 29
		entry("81a474797065aa6c617965722e646f776e", channel), // a forged layer.down
		entry("80", channel),
	} {
		b.put(key, bad, now.Add(time.Duration(i)*time.Millisecond))
	}
	b.put(key, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"+entry(noteA, channel)[12:], now.Add(time.Second))
	p.want(channel, "a") // case 23
	p.dropped(layers.DropInvalid, 7)
	if n := p.logs.FilterMessageSnippet("cannot be read").Len(); n != 1 {
		t.Errorf("case 24: %d lines for five entries that cannot be read, want 1", n)
	}
	b.put(b.prefix+"jobs", "short", now)
	b.put(b.prefix+"jobs", entry(noteA), now.Add(time.Millisecond))
	p.want("jobs", "a")
	b.put(key, entry(noteA, "specific.nobody!1", channel, channel+"x"), now)
	p.want(channel, "a")
	if n := b.number("EXISTS", key+"$inflight", b.prefix+"jobs$inflight"); n != 0 {
		t.Error("case 26: there is a backup of what was in flight")
	}
}

// A key that holds something else harms only who uses it.
func TestWrongType(t *testing.T) {
	b := newBed(t, 1)
	p, q := b.process(nil), b.process(nil)
	channel := p.channel()
	do(t, b.redis, "RPUSH", b.prefix+"old", "a list, as channels_redis 2 wrote")
	if _, err := p.Receive(t.Context(), "old"); err == nil || !strings.Contains(err.Error(), "of another program") {
		t.Errorf("Receive from a queue whose key is a list: %v", err)
	}
	if err := p.Send(t.Context(), "old", note.With(text{"a"})); err == nil || errors.Is(err, layers.ErrUncertain) {
		t.Errorf("Send to a queue whose key is a list: %v, want an error that is certain", err)
	}
	q.send(channel, "a")
	p.want(channel, "a")
	p.join("room", "old", channel)
	theirs := q.channel()
	q.join("room", theirs)
	p.groupSend("room", "b")
	p.want(channel, "b")
	q.want(theirs, "b")
	p.dropped(layers.DropFailed, 1)
	if p.logs.FilterMessageSnippet("is lost").Len() != 0 {
		t.Error("a wrong type of key is no outage")
	}
}

// Case 76.
func TestExpiredOnReceive(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	channel := p.channel()
	b.put(p.c.ownKey(), entry(noteA, channel), time.Now().Add(-61*time.Second))
	p.dropped(layers.DropExpired, 1)
	b.put(b.prefix+"jobs", entry(noteA), time.Now().Add(-61*time.Second))
	p.send("jobs", "b") // removes the old one at once
	p.want("jobs", "b")
	b.put(b.prefix+"jobs", entry(noteA), time.Now().Add(-61*time.Second))
	b.put(b.prefix+"jobs", entry(noteA), time.Now().Add(time.Hour)) // the same member: the stamp is another
	p.want("jobs", "a")
}

// An expiry that is meant to be for ever keeps messages, instead of none.
func TestLongExpiry(t *testing.T) {
	b := newBed(t, 1)
	forEver := func(o *Options) { o.Expiry, o.GroupExpiry = math.MaxInt64, math.MaxInt64 }
	p, q := b.process(forEver), b.process(forEver)
	theirs := q.channel()
	q.join("room", theirs)
	p.send("jobs", "a")
	p.send(theirs, "b")
	p.groupSend("room", "c")
	q.want("jobs", "a")
	q.want(theirs, "b", "c")
}

// What is written is what channels_redis reads.
func TestEntriesOnTheWire(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	first, second := pythonProcess+"dddddddddddddddddddddddddddddddd", pythonProcess+"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
	p.send(first, "a")
	p.join("room", first, second, "jobs")
	p.groupSend("room", "a")
	p.send("jobs", "a")
	const named = "83a474797065a46e6f7465a474657874a161b05f5f617367695f6368616e6e656c5f5f"
	name := func(s string) string { return "d94a" + hex.EncodeToString([]byte(s)) }
	for key, want := range map[string][]string{
		b.prefix + pythonProcess: {named + name(first), named + "92" + name(first) + name(second)},
		b.prefix + "jobs":        {named + "91a46a6f6273", noteA},
	} {
		members, err := do(t, b.redis, "ZRANGE", key, "0", "-1", "WITHSCORES").AsZScores()
		must(t, err)
		if len(members) != len(want) {
			t.Fatalf("%s holds %d entries, want %d", key, len(members), len(want))
		}
		for i, m := range members {
			if got := hex.EncodeToString([]byte(m.Member[12:])); got != want[i] {
				t.Errorf("case 28: entry %d of %s: %s, want %s", i, key, got, want[i])
			}
			if age := seconds(time.Now()) - m.Score; age < 0 || age > 60 {
				t.Errorf("entry %d of %s is %v s old", i, key, age)
			}
		}
		if ttl := b.number("TTL", key); ttl < 1 || ttl > 60 {
			t.Errorf("%s lives for %d s", key, ttl)
		}
	}
	if ttl := b.number("TTL", b.prefix+":group:room"); ttl < 86000 || ttl > 86400 {
		t.Errorf("case 51: the group lives for %d s", ttl)
	}
}

// L5: the key of a Tideway process is no measure of a channel's capacity.
func TestBacklog(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(func(o *Options) { o.Capacity = 2 })
	const process = "specific.aaaaaaaaaaaaaaaa!" // of nobody
	p.send(process+"1", "a", "b", "c")
	if n := b.number("ZCARD", b.prefix+process); n != 3 {
		t.Errorf("L5: %d messages wait, want 3", n)
	}
}

// What has expired makes room, by either way to send, and what is stored expires.
func TestPurge(t *testing.T) {
	for name, send := range map[string]func(*process){
		"case 68: direct": func(p *process) { p.send(pythonProcess+"1", "new") },
		"case 69: group":  func(p *process) { p.join("room", pythonProcess+"1"); p.groupSend("room", "new") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 1)
			p := b.process(func(o *Options) { o.Capacity = 1 })
			key := b.prefix + pythonProcess
			b.put(key, entry(noteA, pythonProcess+"1"), time.Now().Add(-61*time.Second))
			send(p)
			if n := p.Stats().Dropped[layers.DropFull]; n != 0 || b.number("ZCARD", key) != 1 {
				t.Errorf("L6: beside an expired message: %d dropped, %d stored, want the new one alone", n, b.number("ZCARD", key))
			}
			if ttl := b.number("TTL", key); ttl < 1 || ttl > 60 {
				t.Errorf("the key lives for %d s, want up to 60", ttl)
			}
		})
	}
}

// Cases 58 and 63: the key of a Python process is bounded as channels_redis bounds it.
func TestFullPython(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(func(o *Options) { o.Capacity = 2 })
	p.send(pythonProcess+"1", "a")
	p.send(pythonProcess+"2", "b")
	if err := p.Send(t.Context(), pythonProcess+"3", note.With(text{"c"})); !errors.Is(err, layers.ErrChannelFull) {
		t.Errorf("case 63: a third message for a process: %v", err)
	}
	p.join("room", pythonProcess+"1", pythonProcess+"3")
	p.groupSend("room", "d")
	p.dropped(layers.DropFull, 2)
	if n := b.number("ZCARD", b.prefix+pythonProcess); n != 2 {
		t.Errorf("%d messages are stored, want 2", n)
	}
}

// Case 40: channels_redis puts a direct message where its hash of the full name points.
func TestMishashed(t *testing.T) {
	b := newBed(t, 3)
	p, q := b.process(nil), b.process(nil)
	for i := range 3 {
		channel := p.channel()
		host := b.client(i)
		do(t, host, "ZADD", p.c.ownKey(), decimal(seconds(time.Now())), entry(noteA, channel))
		p.want(channel, "a")
		q.send(channel, "b")
		p.want(channel, "b")
	}
	for i := range 20 {
		p.send(pythonProcess+fmt.Sprint(i), "a")
	}
	if n := b.number("ZCARD", b.prefix+pythonProcess); n != 20 {
		t.Errorf("case 40: %d of 20 messages are where a Python reader listens", n)
	}
	for i := range 3 {
		do(t, b.client(i), "ZADD", b.prefix+"jobs", decimal(seconds(time.Now())), entry(noteA))
		p.want("jobs", "a") // case 41
	}
}

// Case 35.
func TestFlush(t *testing.T) {
	b := newBed(t, 3)
	p, q := b.process(nil), b.process(nil)
	longer := &bed{TB: t, prefix: b.prefix + "2", hosts: 3, redis: b.redis}
	other := longer.process(nil)
	mine, theirs := p.channel(), q.channel()
	p.join("room", mine)
	q.join("room", theirs)
	p.send("jobs", "a")
	p.send(mine, "a")
	p.send(theirs, "a")
	other.join("room", "jobs")
	other.send("jobs", "a")
	p.want(mine, "a")
	q.want(theirs, "a")
	q.send(theirs, "b") // waits in a mailbox
	must(t, p.Flush(t.Context()))
	eventually(t, func() bool { return q.c.local.Members("room") == 0 }, "the other process is told")
	for i := range 3 {
		keys, err := do(t, b.client(i), "KEYS", b.prefix+"*").AsStrSlice()
		must(t, err)
		for _, key := range keys {
			if !strings.HasPrefix(key, longer.prefix) && key != b.prefix+":processes" && !strings.HasSuffix(key, "!") {
				t.Errorf("case 35: %s is left", key)
			}
		}
	}
	p.send(theirs, "c")
	q.want(theirs, "c")
	other.want("jobs", "a")
	other.groupSend("room", "b")
	other.want("jobs", "b")
}

func TestGlobPrefix(t *testing.T) {
	b := newBed(t, 1)
	b.prefix += "[a]*?"
	p := b.process(nil)
	do(t, b.redis, "SET", strings.TrimSuffix(b.prefix, "[a]*?")+"abc", "1")
	p.send("jobs", "a")
	must(t, p.Flush(t.Context()))
	if b.number("EXISTS", b.prefix+"jobs") != 0 || b.number("EXISTS", strings.TrimSuffix(b.prefix, "[a]*?")+"abc") != 1 {
		t.Error("case 35: a prefix is not a pattern")
	}
}

// L17: what JSON does not have is refused wherever the channel is, and nobody gets it.
func TestJSONRefuses(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 1)
			change := func(o *Options) { o.Serializer = JSON }
			p, q := open(b, change), open(b, change)
			mine, theirs := p.channel(), q.channel()
			p.join("room", mine)
			q.join("room", theirs)
			for what, v := range map[string]any{"bytes": []byte("a"), "NaN": math.NaN(), "an infinity": math.Inf(1)} {
				m := anything.With(map[string]any{"v": v})
				for to, err := range map[string]error{
					"a channel of this process":    p.Send(t.Context(), mine, m),
					"a channel of another process": p.Send(t.Context(), theirs, m),
					"a group":                      p.GroupSend(t.Context(), "room", m),
				} {
					if err == nil || errors.Is(err, layers.ErrUncertain) {
						t.Errorf("L17: %s to %s: %v, want an error that is certain", what, to, err)
					}
				}
			}
			p.groupSend("room", "marker")
			p.want(mine, "marker")
			q.want(theirs, "marker")
		})
	}
}
