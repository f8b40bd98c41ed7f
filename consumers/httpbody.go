package consumers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tideway-go/tideway/asgi"
)

// A bodyReader is the body of a request while a Stream handler runs. Reading it receives: the handler's goroutine keeps the
// reading until the body has ended, so nothing waits anywhere, and a client that sends faster than the handler reads is
// slowed down by TCP.
type bodyReader struct {
	c   *Conn
	ctx context.Context // ends with the connection or with the handler
	end context.CancelFunc

	mu   sync.Mutex // one Read at a time, and none after the handler
	rest []byte
	last bool  // rest is the end
	err  error // of every further Read
}

var errBodyClosed = errors.New("consumers: read body: its handler has returned: read it before")

// newBodyReader begins with the first part.
func newBodyReader(c *Conn, first asgi.HTTPRequest) *bodyReader {
	b := &bodyReader{c: c, rest: first.Body, last: !first.MoreBody}
	b.ctx, b.end = context.WithCancel(&c.life)
	return b
}

// readsBody reports whether what follows ev will be received by the handler of ev.
func (c *Conn) readsBody(ev asgi.Event) bool {
	part, ok := ev.(asgi.HTTPRequest)
	return ok && c.table.streams && part.MoreBody
}

// Read is [io.Reader].
func (b *bodyReader) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.rest) == 0 && b.err == nil && len(p) > 0 {
		if b.last {
			b.err = io.EOF
		} else {
			b.err = b.next()
		}
	}
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, b.err
}

// next receives a part.
func (b *bodyReader) next() error {
	var ev asgi.Event
	err := guard(func() (err error) { ev, err = b.c.receive(b.ctx); return err })
	if err != nil && b.ctx.Err() != nil && b.c.life.Err() == nil {
		return errBodyClosed
	}
	if err == nil {
		switch e := ev.(type) {
		case asgi.HTTPDisconnect:
			b.c.closed(*b.c.ending(e))
			err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, asgi.ErrClosed)
		case asgi.HTTPRequest:
			if err = b.c.grew(e); err == nil {
				b.rest, b.last = e.Body, !e.MoreBody
			}
			if b.last {
				b.c.readOn()
			}
		}
	}
	return b.c.errorf("read body", err)
}

// readOn lets the reading pass to another goroutine again, so that the client's leaving is heard while the handler goes on.
func (c *Conn) readOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == "" || c.relieved {
		return
	}
	c.reader = true
	if c.long && !c.seen && !c.shut { // it has been late already
		c.passReading()
	}
}

// close ends reading, and waits for a Read that another goroutine is in.
func (b *bodyReader) close() {
	b.end()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest, b.err = nil, errBodyClosed
}
