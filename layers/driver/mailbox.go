package driver

import (
	"slices"
	"time"
)

// MailboxBytes bounds the encoded bytes that one mailbox holds, beside its capacity in messages. One message always
// fits.
const MailboxBytes = 2 << 20

// Mailbox is a bounded FIFO with receivers that wait in turn. It holds no lock and starts nothing: its owner guards
// every method with one lock of its own. The zero value is empty. It grows as needed and gives its memory back.
type Mailbox struct {
	messages []*Message
	head     int
	bytes    int
	waiters  []*Waiter
}

// Waiter is one receiver's place in the line. Its owner receives from C without the lock; a closed C means that the
// mailbox has ended.
type Waiter struct {
	C chan *Message // one message at most
}

// Put hands m to the first waiter, or stores it. It returns [ErrFull] when the mailbox holds capacity messages, or
// when m would be more than [MailboxBytes] and is not the only one. Expired messages do not count: drop is called
// for each that has to make room.
func (b *Mailbox) Put(m *Message, capacity int, now time.Time, drop func(*Message)) error {
	if len(b.waiters) > 0 {
		w := b.waiters[0]
		b.waiters[0] = nil
		b.waiters = b.waiters[1:]
		if len(b.waiters) == 0 {
			b.waiters = nil
		}
		w.C <- m
		return nil
	}
	if b.full(m, capacity) {
		b.Expire(now, drop)
		if b.full(m, capacity) {
			return ErrFull
		}
	}
	b.messages = append(b.messages, m)
	b.bytes += len(m.Data())
	return nil
}

func (b *Mailbox) full(m *Message, capacity int) bool {
	n := b.Len()
	return n >= capacity || n > 0 && b.bytes+len(m.Data()) > MailboxBytes
}

// Get takes the oldest message that has not expired, or returns nil. drop is called for each expired one before it.
func (b *Mailbox) Get(now time.Time, drop func(*Message)) *Message {
	b.Expire(now, drop)
	if b.Len() == 0 {
		return nil
	}
	return b.pop()
}

// Expire removes the expired messages at the front and calls drop for each.
func (b *Mailbox) Expire(now time.Time, drop func(*Message)) {
	for b.Len() > 0 && b.messages[b.head].Expired(now) {
		drop(b.pop())
	}
}

func (b *Mailbox) pop() *Message {
	m := b.messages[b.head]
	b.messages[b.head] = nil
	b.head++
	b.bytes -= len(m.Data())
	switch n := b.Len(); {
	case n == 0:
		b.messages, b.head = nil, 0
	case b.head > 32 && b.head > n: // amortized: at most one copy per message popped
		b.messages, b.head = append([]*Message(nil), b.messages[b.head:]...), 0
	}
	return m
}

// Oldest is the message at the front, or nil.
func (b *Mailbox) Oldest() *Message {
	if b.Len() == 0 {
		return nil
	}
	return b.messages[b.head]
}

// Len is the number of messages that wait.
func (b *Mailbox) Len() int { return len(b.messages) - b.head }

// Idle says that nothing waits: no message and no receiver.
func (b *Mailbox) Idle() bool { return b.Len() == 0 && len(b.waiters) == 0 }

// Wait puts a new receiver at the end of the line. Call it only after Get returned nil, under the same lock.
func (b *Mailbox) Wait() *Waiter {
	w := &Waiter{C: make(chan *Message, 1)}
	b.waiters = append(b.waiters, w)
	return w
}

// Leave takes w out of the line. If it has been handed a message already, that message is returned: it is w's, and
// would be lost otherwise.
func (b *Mailbox) Leave(w *Waiter) *Message {
	for i, x := range b.waiters {
		if x == w {
			b.waiters = slices.Delete(b.waiters, i, i+1)
			return nil
		}
	}
	select {
	case m := <-w.C:
		return m
	default:
		return nil
	}
}

// Clear drops all messages. Receivers wait on.
func (b *Mailbox) Clear() {
	b.messages, b.head, b.bytes = nil, 0, 0
}

// End drops all messages and closes every waiter's C. Nothing may be put afterwards.
func (b *Mailbox) End() {
	b.Clear()
	for _, w := range b.waiters {
		close(w.C)
	}
	b.waiters = nil
}
