package redislayer

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/internal/payload"
)

// A deployment is what the Go and the Python processes of a test have in common.
type deployment struct {
	layer string // Core or PubSub
	hosts int
	keys  []string
	json  bool
}

// deployments are both layers on one host and on three, plain and encrypted, and some of them with JSON.
func deployments() (all []deployment) {
	keys := []string{"ключ", "an old key"}
	for _, layer := range []string{"Core", "PubSub"} {
		all = append(all,
			deployment{layer, 1, nil, false}, deployment{layer, 3, nil, false},
			deployment{layer, 1, keys, false}, deployment{layer, 3, keys, false},
			deployment{layer, 1, nil, true}, deployment{layer, 3, keys, true})
	}
	return all
}

// simple are both layers on one host, plain and encrypted.
func simple() (all []deployment) {
	for _, d := range deployments() {
		if d.hosts == 1 && !d.json {
			all = append(all, d)
		}
	}
	return all
}

func (d deployment) String() string {
	name := fmt.Sprintf("%s, hosts=%d", d.layer, d.hosts)
	if d.keys != nil {
		name += ", encrypted"
	}
	if d.json {
		name += ", JSON"
	}
	return name
}

// process is the side of Go.
func (d deployment) process(b *bed, change func(*Options)) *process {
	b.Helper()
	return kinds[d.layer](b, func(o *Options) {
		o.Keys = d.keys
		if d.json {
			o.Serializer = JSON
		}
		if change != nil {
			change(o)
		}
	})
}

// peer is the side of Python: channels_redis as Debian has it, or, for what it cannot do, testdata/later.py.
func (d deployment) peer(b *bed, config map[string]any) *peer {
	b.Helper()
	config = maps.Clone(config)
	if config == nil {
		config = map[string]any{}
	}
	if d.keys != nil {
		config["symmetric_encryption_keys"] = d.keys
	}
	if d.json {
		config["serializer_format"] = "json"
	}
	switch {
	case d.layer == "PubSub" && (d.keys != nil || d.json):
		return b.peer("later.PubSubLayer", config)
	case d.layer == "PubSub":
		return b.peer(pythonPubSub, config)
	case d.json:
		return b.peer("later.CoreLayer", config)
	default:
		return b.peer(pythonCore, config)
	}
}

// Cases 36, 37, 40, 41, 42 and 50: Go and Python on the same Redis, both ways.
func TestPython(t *testing.T) {
	for _, d := range deployments() {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			b := newBed(t, d.hosts)
			w := &pair{TB: t, d: d, b: b, p: d.process(b, nil), q: d.peer(b, nil)}
			w.mine, w.theirs = w.p.channel(), w.q.channel()
			if d.layer == "PubSub" {
				b.subscribed(w.theirs, 1)
			}
			w.values(w.mine, w.theirs)
			w.directs()
			w.groups()
			w.foreignMember()
			w.queues()
			w.large()
		})
	}
}

// A pair is a process of either side, with a channel of its own.
type pair struct {
	testing.TB
	d            deployment
	b            *bed
	p            *process
	q            *peer
	mine, theirs string
}

// values are what both sides must agree on, one by one.
var values = map[string]any{
	"unicode": "ß € 😀 \u2028 \x00", "empty": "",
	"zero": int64(0), "-1": int64(-1), "-32": int64(-32), "-33": int64(-33), "127": int64(127), "128": int64(128),
	"max int64": int64(math.MaxInt64), "min int64": int64(math.MinInt64), "max uint64": uint64(math.MaxUint64), "2^63": uint64(1 << 63),
	"float": 1.5, "whole": 2.0, "tiny": math.SmallestNonzeroFloat64, "huge": math.MaxFloat64,
	"nil": nil, "true": true, "false": false, "list": []any{int64(1), []any{"a", nil}}, "empty list": []any{},
	"map": map[string]any{"k": map[string]any{"n": int64(1)}}, "empty map": map[string]any{}, "long": strings.Repeat("x", 70_000),
}

// valuesOfMsgpack are those that JSON does not have.
var valuesOfMsgpack = map[string]any{
	"bytes": []byte{0, 0xff, 'a'}, "no bytes": []byte{}, "bytes in a map": map[string]any{"b": []byte{1}},
	"long bytes": bytes.Repeat([]byte{7}, 70_000), "inf": math.Inf(-1),
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

// values sends all values both ways, to a channel of either side.
func (w *pair) values(mine, theirs string) {
	w.Helper()
	all := maps.Clone(values)
	if !w.d.json {
		maps.Copy(all, valuesOfMsgpack)
	}
	must(w, w.p.Send(w.Context(), theirs, anything.With(all)))
	got := w.q.receive(theirs)
	delete(got, payload.TypeKey)
	compare(w, "Go to Python", got, all)
	w.q.sendData(mine, encoded(w, "anything", all))
	compare(w, "Python to Go", w.p.fields(mine), all)
}

func compare(tb testing.TB, way string, got, all map[string]any) {
	tb.Helper()
	for name, want := range all {
		if !reflect.DeepEqual(got[name], want) {
			tb.Errorf("case 42: %s: %s: got %.60v (%T), want %.60v (%T)", way, name, got[name], got[name], want, want)
		}
	}
	if len(got) != len(all) {
		tb.Errorf("case 42: %s: %d fields, want %d", way, len(got), len(all))
	}
}

// directs sends to other channels, whose names fall on other hosts.
func (w *pair) directs() {
	w.Helper()
	for i := range 10 {
		mine, theirs := w.p.channel(), w.q.channel()
		if w.d.layer == "PubSub" {
			w.b.subscribed(theirs, 1)
		}
		w.q.send(mine, fmt.Sprint(i))
		w.p.want(mine, fmt.Sprint(i))
		w.p.send(theirs, fmt.Sprint(i))
		w.q.want(theirs, fmt.Sprint(i))
	}
}

// nothingMore shows that no more than a marker comes to either channel.
func (w *pair) nothingMore() {
	w.Helper()
	w.p.send(w.theirs, "marker")
	w.q.want(w.theirs, "marker")
	w.q.send(w.mine, "marker")
	w.p.want(w.mine, "marker")
}

// groups runs a group whose members are of both sides, added and discarded by their own.
func (w *pair) groups() {
	w.Helper()
	w.q.join("room", w.theirs)
	if w.d.layer == "PubSub" {
		w.b.subscribed(w.b.prefix+"__group__room", 1)
	}
	w.p.join("room", w.mine)
	w.p.groupSend("room", "one")
	w.q.want(w.theirs, "one")
	w.p.want(w.mine, "one")
	w.q.groupSend("room", "two", "three")
	w.p.want(w.mine, "two", "three")
	w.q.want(w.theirs, "two", "three")
	w.q.leave("room", w.theirs)
	must(w, w.p.GroupDiscard(w.Context(), "room", w.mine))
	w.p.groupSend("room", "four")
	w.q.groupSend("room", "five")
	w.nothingMore()
}

// foreignMember lets each side add and discard the channel of the other. PubSub has no such thing, and says so.
func (w *pair) foreignMember() {
	w.Helper()
	if w.d.layer == "PubSub" {
		if err := w.p.GroupAdd(w.Context(), "hall", w.theirs); err == nil || !strings.Contains(err.Error(), "call group_add there") {
			w.Errorf("case 50: adding a channel of Python: %v", err)
		}
		if r := w.q.try(order{Op: "group_add", Args: []any{"hall", w.mine}}); r.Error != "RuntimeError" {
			w.Errorf("case 50: Python adds a channel of Go: %+v", r)
		}
		return
	}
	w.p.join("hall", w.theirs)
	w.q.join("hall", w.mine)
	w.q.groupSend("hall", "one") // two senders have no common order, so each is waited for
	w.p.want(w.mine, "one")
	w.q.want(w.theirs, "one")
	w.p.groupSend("hall", "two")
	w.p.want(w.mine, "two")
	w.q.want(w.theirs, "two")
	must(w, w.p.GroupDiscard(w.Context(), "hall", w.theirs))
	w.q.leave("hall", w.mine)
	w.p.groupSend("hall", "three")
	w.q.groupSend("hall", "four")
	w.nothingMore()
	w.p.join("hall", w.mine)
	w.q.leave("hall", w.mine) // one that Go added
	w.q.groupSend("hall", "five")
	w.nothingMore()
}

// queues sends all values through normal channels, and has them as members. PubSub has none, and says so.
func (w *pair) queues() {
	w.Helper()
	if w.d.layer == "PubSub" {
		if err := w.p.Send(w.Context(), "jobs", note.With(text{"a"})); !errors.Is(err, errors.ErrUnsupported) {
			w.Errorf("L11: a message to a queue: %v", err)
		}
		gone := "nobody" + w.theirs[len(w.theirs)-32:]
		if err := w.p.Send(w.Context(), gone, note.With(text{"a"})); !errors.Is(err, layers.ErrNoChannel) {
			w.Errorf("case 37: a message to nobody: %v", err)
		}
		return
	}
	w.values("jobs.go", "jobs.py")
	if w.d.hosts > 1 {
		return // a receiver in Python looks at one host until something comes there
	}
	w.p.join("mixed", "jobs.py")
	w.q.join("mixed", "jobs.go")
	w.p.groupSend("mixed", "a")
	w.q.groupSend("mixed", "b")
	w.p.want("jobs.go", "a", "b")
	w.q.want("jobs.py", "a", "b") // case 46
}

// large sends 1 MiB both ways, directly and by a group.
func (w *pair) large() {
	w.Helper()
	big := strings.Repeat("ä", 1<<19)
	w.p.send(w.theirs, big)
	w.q.want(w.theirs, big)
	w.q.send(w.mine, big)
	w.p.want(w.mine, big)
	w.p.join("large", w.mine)
	w.q.groupSend("large", big)
	w.p.want(w.mine, big)
	w.q.join("large", w.theirs)
	if w.d.layer == "PubSub" {
		w.b.subscribed(w.b.prefix+"__group__large", 2)
	}
	w.p.groupSend("large", big)
	w.q.want(w.theirs, big)
	w.p.want(w.mine, big)
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

// Other numbers of random bytes, which channels_redis has since 4.2.1.
func TestPythonRandomPrefix(t *testing.T) {
	for n, option := range map[int]int{8: 8, 0: -1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 1)
			p := b.process(func(o *Options) { o.RandomPrefix = option })
			q := b.peer("later.CoreLayer", map[string]any{"random_prefix_length": n})
			mine, theirs := p.channel(), q.channel()
			p.join("room", mine, theirs)
			p.send(theirs, "one")
			q.send(mine, "two")
			p.groupSend("room", "three")
			q.want(theirs, "one", "three")
			p.want(mine, "two", "three")
		})
	}
}
