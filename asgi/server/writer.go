package server

import "sync"

// A writer joins frames in its scratch and writes them to a socket without blocking. Whoever writes borrows one.
type writer struct {
	scratch []byte
	out     []byte
	n       int
	err     error
	try     func(fd uintptr) bool // made once: a closure for each write would be an allocation for each write
}

// scratchSize is how much one write joins. A loopback socket takes it as fast as a small write, frame for frame.
const scratchSize = 64 << 10

// writerPool is the Server's pool of writers.
type writerPool struct{ pool sync.Pool }

func (p *writerPool) get() *writer {
	if w, ok := p.pool.Get().(*writer); ok {
		return w
	}
	return newWriter()
}

func (p *writerPool) put(w *writer) { p.pool.Put(w) }

func newWriter() *writer {
	w := &writer{scratch: make([]byte, 0, scratchSize)}
	w.try = w.tryWrite
	return w
}
