package driver

import (
	"sync"
	"sync/atomic"
)

// memo is a value derived from a message, made by the first who asked for it.
type memo struct {
	key   any
	next  *memo
	mu    sync.Mutex // held while the value is made
	ready atomic.Bool
	val   any
	err   error
}

// Once returns what make returned for key, and calls it only for the first caller of a process: all later ones get
// the same value and error. key is comparable and, like a context's, of a type that its user owns. Others wait while
// make runs. When it panics the panic goes to its caller, and the next one calls make again. make must not ask for
// its own key.
func (m *Message) Once(key any, make func() (any, error)) (any, error) {
	e := m.content.find(key)
	if e == nil {
		e = m.content.add(key)
	}
	if e.ready.Load() {
		return e.val, e.err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ready.Load() {
		e.val, e.err = make()
		e.ready.Store(true)
	}
	return e.val, e.err
}

func (c *content) find(key any) *memo {
	for e := c.memo.Load(); e != nil; e = e.next {
		if e.key == key {
			return e
		}
	}
	return nil
}

func (c *content) add(key any) *memo {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.find(key); e != nil {
		return e
	}
	e := &memo{key: key, next: c.memo.Load()}
	c.memo.Store(e)
	return e
}
