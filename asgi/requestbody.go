package asgi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// A part of a body is at most maxPart bytes. Reading begins with minPart, whatever length the client claims, and follows what
// comes: memory for a part is taken before it is there, so a client that sends a byte now and then must not hold much of it.
const (
	maxPart = 64 << 10
	minPart = 4 << 10
)

// requestBody is the receiving half of an exchange. Receive does not overlap with itself, so only what a reader goroutine
// shares needs a lock.
type requestBody struct {
	from io.ReadCloser
	size int           // of the next part
	eof  atomic.Bool   // nothing is left to read
	left bool          // HTTPDisconnect was received
	mu   sync.Mutex    // held while reading
	err  error         // under mu: what the last read ended with
	bad  *badBody      // under mu: why nobody can read it
	got  chan received // what a reader goroutine will have read; nil without one
	wait sync.WaitGroup
}

// A badBody is the client's mistake, with the status that answers it. It is what Receive returns, and matches a Deny.
type badBody struct {
	cause error
	deny  Deny
	given bool // up by its reader: the client is there, though for net/http any end of reading is the client's leaving
}

func (b *badBody) Error() string { return "asgi: receive: request body: " + b.cause.Error() }

// Unwrap makes it match a Deny, so that an App that returns it has answered.
func (b *badBody) Unwrap() []error { return []error{b.cause, b.deny} }

type received struct {
	event Event
	err   error
}

func (b *requestBody) init(r *http.Request) {
	b.from, b.size = r.Body, minPart
	if b.from == nil {
		b.from = http.NoBody
	}
	if r.ContentLength > 0 {
		b.size = int(min(r.ContentLength, minPart))
	}
}

// unread reports whether the client may still be sending.
func (b *requestBody) unread() bool { return b.from != http.NoBody && !b.eof.Load() }

// receive is the Receive of an exchange.
func (x *exchange) receive(ctx context.Context) (Event, error) {
	b := &x.body
	if b.left {
		return nil, ErrClosed
	}
	if !x.over() && (b.got != nil || !b.eof.Load()) {
		got := x.nextPart(ctx)
		if _, ok := got.event.(HTTPDisconnect); !ok {
			return got.event, got.err
		}
	} else if !x.over() {
		select {
		case <-x.answered:
		case <-x.ctx.Done():
		case <-ctx.Done():
			if !x.over() { // an event that is there comes first
				return nil, context.Cause(ctx)
			}
		}
	}
	b.left = true
	return HTTPDisconnect{}, nil
}

// nextPart reads on the caller's goroutine if ctx ends only with the exchange, which ends the read as well. Any other ctx may
// end while the read goes on: then a goroutine reads, and the next call finds what it has read.
func (x *exchange) nextPart(ctx context.Context) received {
	b := &x.body
	if b.got == nil {
		if b.from == http.NoBody || ctx == x.ctx || ctx.Done() == nil || ctx.Done() == x.ctx.Done() {
			return x.read()
		}
		if ctx.Err() != nil {
			return received{err: context.Cause(ctx)}
		}
		got := make(chan received, 1)
		b.got = got
		b.wait.Go(func() { got <- x.read() })
	}
	select {
	case r := <-b.got:
		b.got = nil
		return r
	default:
	}
	select {
	case r := <-b.got:
		b.got = nil
		return r
	case <-x.answered:
	case <-x.ctx.Done():
	case <-ctx.Done():
		if !x.over() {
			return received{err: context.Cause(ctx)}
		}
	}
	return received{event: HTTPDisconnect{}}
}

// bodyEnd is the last part of a body where that is empty, and so the first of most requests.
var bodyEnd Event = HTTPRequest{}

// read reads one part.
func (x *exchange) read() received {
	b := &x.body
	b.mu.Lock()
	defer b.mu.Unlock()
	x.reading.Store(true)
	defer x.reading.Store(false)
	var buf []byte
	n := 0
	for n == 0 && b.err == nil {
		if x.over() {
			return received{event: HTTPDisconnect{}}
		}
		if buf == nil && b.from != http.NoBody {
			buf = make([]byte, b.size)
		}
		n, b.err = b.from.Read(buf)
	}
	switch {
	case b.err == io.EOF:
		b.eof.Store(true)
		if n == 0 {
			return received{event: bodyEnd}
		}
		return received{event: HTTPRequest{Body: fit(buf, n)}}
	case n > 0: // an error comes with the next part
		switch {
		case n == len(buf):
			b.size = min(4*max(b.size, minPart), maxPart)
		case n < len(buf)/4:
			b.size = max(b.size/4, minPart)
		}
		return received{event: HTTPRequest{Body: fit(buf, n), MoreBody: true}}
	}
	b.eof.Store(true)
	return x.readFailed(b.err)
}

// fit is the first n bytes of buf, without a large rest behind them.
func fit(buf []byte, n int) []byte {
	if n < len(buf)/2 {
		return bytes.Clone(buf[:n])
	}
	return buf[:n:n]
}

// readFailed tells a client that has gone from one that sent what no server can read. The latter's error carries the
// Deny that answers it; conclude sees to that where App does not return it.
func (x *exchange) readFailed(err error) received {
	var tooLarge *http.MaxBytesError
	var refused Deny
	var network net.Error
	status := http.StatusBadRequest
	switch {
	case errors.As(err, &refused): // by whoever gave the body
		status = refused.StatusCode()
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	case x.over(), x.major != 1, errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network),
		errors.Is(err, http.ErrBodyReadAfterClose), errors.Is(err, io.ErrClosedPipe):
		x.end(DisconnectError{By: ByClient})
		return received{event: HTTPDisconnect{}}
	}
	x.body.bad = &badBody{err, Deny{Status: status}, errors.As(err, &refused)}
	return received{err: x.body.bad}
}

// spoiled reports whether it is for the request's body that there is no whole response: App, which returned err, neither
// answered nor failed by itself.
func (x *exchange) spoiled(err, ended error) bool {
	bad := x.body.bad
	var panicked *PanicError
	switch {
	case bad == nil || ended != nil && !bad.given || x.phase == complete:
		return false
	case errors.Is(err, bad):
		return !errors.As(err, &panicked)
	}
	return !failed(err, ended)
}

// close ends and waits for whatever reads.
func (b *requestBody) close(x *exchange) {
	x.release()
	b.wait.Wait()
	b.mu.Lock() // a Receive of another goroutine than Serve's
	defer b.mu.Unlock()
}
