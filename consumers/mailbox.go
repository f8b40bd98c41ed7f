package consumers

import (
	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// The bounds of the two lanes. A lane that is empty takes any one item, whatever its size.
const (
	clientEvents = 64      // client events that wait for the turn
	clientBytes  = 1 << 20 // and their bytes
	layerBytes   = 2 << 20 // bytes of layer messages; their number is bounded by the channel's capacity
)

// A ring is a queue that grows as needed, allocates nothing before its first item, and gives large memory back
// when it is empty.
type ring[T any] struct {
	buf  []T
	head int
	n    int
}

const (
	ringFirst = 4  // slots of the first allocation
	ringKept  = 16 // an empty ring with more slots than this lets them go
)

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.buf[(r.head+r.n)%len(r.buf)] = v
	r.n++
}

func (r *ring[T]) grow() {
	buf := make([]T, max(ringFirst, 2*len(r.buf)))
	for i := range r.n {
		buf[i] = r.buf[(r.head+i)%len(r.buf)]
	}
	r.buf, r.head = buf, 0
}

func (r *ring[T]) pop() (v T) {
	var zero T
	v, r.buf[r.head] = r.buf[r.head], zero
	r.head = (r.head + 1) % len(r.buf)
	if r.n--; r.n == 0 {
		r.head = 0
		if len(r.buf) > ringKept {
			r.buf = nil
		}
	}
	return v
}

// A mailbox holds what waits for the turn, in two lanes. Its owner's lock guards it. A nil one is empty.
type mailbox struct {
	client      ring[asgi.Event]
	layer       ring[layers.Message]
	clientBytes int
	layerBytes  int
}

// events is the number of client events that wait.
func (b *mailbox) events() int {
	if b == nil {
		return 0
	}
	return b.client.n
}

// messages is the number of layer messages that wait.
func (b *mailbox) messages() int {
	if b == nil {
		return 0
	}
	return b.layer.n
}

// roomForEvent reports whether the client lane takes an event of size bytes now.
func (b *mailbox) roomForEvent(size int) bool {
	return b.events() == 0 || b.client.n < clientEvents && b.clientBytes+size <= clientBytes
}

func (b *mailbox) pushEvent(ev asgi.Event) {
	b.client.push(ev)
	b.clientBytes += eventSize(ev)
}

func (b *mailbox) popEvent() asgi.Event {
	ev := b.client.pop()
	b.clientBytes -= eventSize(ev)
	return ev
}

// pushMessage adds m unless the lane is full: capacity messages, or layerBytes.
func (b *mailbox) pushMessage(m layers.Message, capacity int) bool {
	size := m.Size()
	if b.layer.n > 0 && (b.layer.n >= capacity || b.layerBytes+size > layerBytes) {
		return false
	}
	b.layer.push(m)
	b.layerBytes += size
	return true
}

func (b *mailbox) popMessage() layers.Message {
	m := b.layer.pop()
	b.layerBytes -= m.Size()
	return m
}

// eventSize is what an event holds of the peer's bytes.
func eventSize(ev asgi.Event) int {
	switch ev := ev.(type) {
	case asgi.WebSocketReceive:
		return len(ev.Frame.Data)
	case asgi.HTTPRequest:
		return len(ev.Body)
	}
	return 0
}
