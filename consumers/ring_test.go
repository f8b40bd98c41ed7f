package consumers

import (
	"bytes"
	"slices"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// FuzzRing compares a ring with a slice: each byte pushes as many items, or pops them where its lowest bit is set.
func FuzzRing(f *testing.F) {
	f.Add([]byte{6, 3, 200, 255, 8, 1, 1})
	f.Add(bytes.Repeat([]byte{40, 33}, 20))
	f.Fuzz(func(t *testing.T, steps []byte) {
		var r ring[*int]
		var want []*int
		for _, step := range steps {
			for range step / 2 {
				if step%2 == 0 {
					v := new(int)
					r.push(v)
					want = append(want, v)
				} else if len(want) > 0 {
					if got := r.pop(); got != want[0] {
						t.Fatal("popped another item than the oldest")
					}
					want = want[1:]
				}
			}
			if r.n != len(want) {
				t.Fatalf("the ring has %d items, want %d", r.n, len(want))
			}
			if r.n == 0 && len(r.buf) > ringKept {
				t.Fatalf("an empty ring keeps %d slots", len(r.buf))
			}
			if kept := slices.DeleteFunc(slices.Clone(r.buf), func(v *int) bool { return v == nil }); len(kept) != r.n {
				t.Fatalf("the ring holds %d items for %d that wait", len(kept), r.n)
			}
			if len(r.buf) > max(ringFirst, ringKept, 2*most(steps)) {
				t.Fatalf("the ring has %d slots", len(r.buf))
			}
		}
	})
}

// most is the largest number of items that may wait at once.
func most(steps []byte) (n int) {
	for _, step := range steps {
		if step%2 == 0 {
			n += int(step / 2)
		}
	}
	return n
}

// TestLanes: the bounds of both lanes, and that one item always fits.
func TestLanes(t *testing.T) {
	event := func(size int) asgi.Event { return asgi.WebSocketReceive{Frame: asgi.BinaryFrame(make([]byte, size))} }
	const bytesType layers.Type[map[string][]byte] = "test.bytes"
	message := func(size int) layers.Message { return bytesType.With(map[string][]byte{"v": make([]byte, size)}) }
	for _, c := range []struct {
		name          string
		size, n       int  // of what is put into an empty lane
		client, layer bool // whether all of it fits
	}{
		{"64 small events; capacity of small messages", 1, 64, true, true},
		{"65", 1, 65, false, true},
		{"capacity and one", 1, 101, false, false},
		{"one that is larger than the bound", 3 << 20, 1, true, true},
		{"two that are", 3 << 20, 2, false, false},
		{"empty events are counted, too", 0, 65, false, true},
		{"1 MiB", 1 << 19, 2, true, true},
		{"more than 1 MiB", 1 << 19, 3, false, true},
		{"more than 2 MiB", 1 << 19, 4, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b mailbox
			client, layer := true, true
			for range c.n {
				if ev := event(c.size); b.roomForEvent(c.size) {
					b.pushEvent(ev)
				} else {
					client = false
				}
				layer = push(&b, message(c.size)) && layer
			}
			if client != c.client || layer != c.layer {
				t.Errorf("all fits: client lane %v, layer lane %v; want %v and %v", client, layer, c.client, c.layer)
			}
			for b.client.n > 0 {
				b.popEvent()
			}
			for b.layer.n > 0 {
				b.popMessage()
			}
			if b.clientBytes != 0 || b.layerBytes != 0 {
				t.Errorf("empty lanes count %d and %d bytes", b.clientBytes, b.layerBytes)
			}
			if len(b.client.buf) > ringKept || len(b.layer.buf) > ringKept {
				t.Errorf("empty lanes keep %d and %d slots", len(b.client.buf), len(b.layer.buf))
			}
		})
	}
}

func BenchmarkMailbox(b *testing.B) {
	var box mailbox
	var ev asgi.Event = asgi.WebSocketReceive{Frame: asgi.TextFrame("hello")}
	const typ layers.Type[map[string]string] = "test.text"
	m := typ.With(map[string]string{"text": "hello"})
	b.ReportAllocs()
	for range b.N {
		box.pushEvent(ev)
		push(&box, m)
		push(&box, m)
		box.popMessage()
		box.popEvent()
		box.popMessage()
	}
}

// push is a message that holds nothing but itself.
func push(b *mailbox, m layers.Message) bool { return b.pushMessage(letter{m, m.Size(), false}, 100) }

// TestReadyFrameCountsUntilItIsSent: C9, a message whose frame waits for room in the server's queue is memory that the
// client holds, though it has left the lane.
func TestReadyFrameCountsUntilItIsSent(t *testing.T) {
	var box mailbox
	large, small := letter{held: layerBytes, ready: true}, letter{held: 1, ready: true}
	if !box.pushMessage(large, 100) {
		t.Fatal("an empty lane does not take one message")
	}
	box.popMessage()
	if box.pushMessage(small, 100) {
		t.Error("C9 broken: what is being sent is not counted")
	}
	box.sent()
	if !box.pushMessage(small, 100) {
		t.Error("what was sent is still counted")
	}
}
