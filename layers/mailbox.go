package layers

import (
	"context"
	"sync"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// mailbox is the inbox of a channel that NewChannel made.
type mailbox struct {
	layer *Layer

	mu       sync.Mutex
	name     string
	capacity int
	ended    bool
	box      driver.Mailbox
}

// begin sets what depends on the channel's name. Nobody can send to it before.
func (b *mailbox) begin(name string, capacity int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.name, b.capacity = name, capacity
}

// Deliver implements Inbox. Down and Up are not for it: who waits in Receive cannot ask for them.
func (b *mailbox) Deliver(m Message) error {
	if m.Local() {
		return nil
	}
	var expired []*driver.Message
	b.mu.Lock()
	err := ErrNoChannel
	if !b.ended {
		err = b.box.Put(m.m, b.capacity, time.Now(), func(m *driver.Message) { expired = append(expired, m) })
	}
	b.mu.Unlock()
	b.drop(expired)
	if err == driver.ErrFull {
		return ErrChannelFull
	}
	return err
}

func (b *mailbox) drop(expired []*driver.Message) {
	for _, m := range expired {
		b.layer.dropped(b.name, "", m, driver.ErrExpired)
	}
}

// Flush drops what waits.
func (b *mailbox) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.box.Clear()
}

func (b *mailbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.box.End()
}

func (b *mailbox) receive(ctx context.Context) (Message, error) {
	var expired []*driver.Message
	b.mu.Lock()
	if b.ended {
		b.mu.Unlock()
		return Message{}, ErrNoChannel
	}
	m := b.box.Get(time.Now(), func(m *driver.Message) { expired = append(expired, m) })
	var w *driver.Waiter
	if m == nil {
		w = b.box.Wait()
	}
	b.mu.Unlock()
	b.drop(expired)
	if m != nil {
		return Message{m: m}, nil
	}
	select {
	case m := <-w.C:
		return handed(m)
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.box.Leave(w); m != nil {
		return Message{m: m}, nil
	}
	return Message{}, ctx.Err()
}

// handed is what came to a waiter: nothing, when the mailbox has ended.
func handed(m *driver.Message) (Message, error) {
	if m == nil {
		return Message{}, ErrNoChannel
	}
	return Message{m: m}, nil
}
