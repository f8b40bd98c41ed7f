package consumers

import (
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// The bounds of the two lanes. A lane that is empty takes any one item, whatever its size.
const (
	clientEvents = 64      // client events that wait for the turn
	clientBytes  = 1 << 20 // and their bytes
	layerBytes   = 2 << 20 // bytes that layer messages hold; their number is bounded by the channel's capacity
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
	layer       ring[letter]
	clientBytes int
	layerBytes  int
	sending     int // bytes of a message whose frame waits for room in the server's queue
}

// A letter is a layer message that waits, and the bytes that it holds.
type letter struct {
	layers.Message
	held  int
	ready bool // its frame is made
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

// pushMessage adds a message unless the lane is full: capacity messages, or layerBytes.
func (b *mailbox) pushMessage(l letter, capacity int) bool {
	held := b.layerBytes + b.sending
	if held > 0 && (b.layer.n >= capacity || held+l.held > layerBytes) {
		return false
	}
	b.layer.push(l)
	b.layerBytes += l.held
	return true
}

// popExpired takes the messages at the head of the lane whose time is over.
func (b *mailbox) popExpired(now time.Time) (expired []layers.Message) {
	for b.layer.n > 0 && b.layer.buf[b.layer.head].Expired(now) {
		l := b.layer.pop()
		b.layerBytes -= l.held
		expired = append(expired, l.Message)
	}
	return expired
}

// popMessage takes the oldest message. If its frame is ready, what it holds counts until the next call of sent: sending it
// may take as long as waiting did.
func (b *mailbox) popMessage() layers.Message {
	l := b.layer.pop()
	b.layerBytes -= l.held
	if l.ready {
		b.sending += l.held
	}
	return l.Message
}

// nextIsReady reports whether the oldest message has a ready frame. There is one.
func (b *mailbox) nextIsReady() bool { return b.layer.buf[b.layer.head].ready }

func (b *mailbox) sent() { b.sending = 0 }

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
