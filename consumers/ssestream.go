package consumers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// defaultHeartbeat is what the specification advises.
const defaultHeartbeat = 15 * time.Second

// An eventStream is what a connection keeps of a response that is a stream of server-sent events.
type eventStream struct {
	starting sync.Mutex // held while the start is handed to the server
	begun    bool       // under Conn.mu
	since    time.Time
	last     atomic.Int64 // when something was last written, counted from since
	beats    *time.Timer  // under Conn.mu; nil: none
	stay     func() bool  // under Conn.mu: ends the wait for the server's shutdown; nil: there is none
	leaves   *time.Timer  // under Conn.mu: after the shutdown has begun
	left     bool         // under Conn.mu: for that
}

// wrote notes that bytes have left. It does nothing where no stream has begun.
func (s *eventStream) wrote() {
	if s != nil {
		s.last.Store(int64(time.Since(s.since)))
	}
}

// eventHeader is that of every stream: nobody may store it, and nginx must not hold it back.
func eventHeader(more http.Header) http.Header {
	h := http.Header{"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-store"}, "X-Accel-Buffering": {"no"}}
	for name, values := range more {
		h[http.CanonicalHeaderKey(name)] = values
	}
	return h
}

// LastEventID is the id of the last event that the client has seen of an earlier stream, or "": its header Last-Event-ID,
// which a browser's EventSource sends when it comes back by itself. It is the client's word, so check what it is used for.
// A page that makes a new EventSource cannot set the header; it may put the id into the URL.
func (c *Conn) LastEventID() string { return c.scope.HeaderValue("Last-Event-ID") }

// StartSSE begins the response to a request as a stream of server-sent events: status 200, with header laid over the usual
// ones, which are Content-Type text/event-stream, Cache-Control no-store and X-Accel-Buffering no. Without it the first
// event begins the stream; it is an error when the stream has begun.
//
// From then on SendText and SendJSON send events, a comment is sent when nothing else was for 15 s, and the response goes on
// until [Conn.Close], an error of a handler, or the client's leaving.
func (c *Conn) StartSSE(ctx context.Context, header http.Header) error {
	begun, err := c.startStream(ctx, header)
	if err == nil && !begun {
		err = errors.New("the stream has begun before: call StartSSE first, and once")
	}
	return c.errorf("start events", err)
}

// SendSSE sends a server-sent event, and begins the stream if that has not begun. It waits while the client does not read
// what was sent before. To a WebSocket it sends the event's Data as a text message, as [RenderSSE] does.
func (c *Conn) SendSSE(ctx context.Context, event SSE) error {
	if c.scope.Type() == asgi.WebSocket {
		return c.SendText(ctx, event.Data)
	}
	data, err := event.encode()
	if err != nil {
		return c.errorf("send event", err)
	}
	return c.sendStream(ctx, "send event", data)
}

// streams reports whether what is sent to the client are server-sent events.
func (c *Conn) streams() bool {
	if c.exchange == nil {
		return false
	}
	if c.table.events != nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exchange.stream != nil
}

// sendAsSSE sends a message as an event.
func (c *Conn) sendAsSSE(ctx context.Context, op string, f asgi.Frame) error {
	data, err := frameSSE(f)
	if err != nil {
		return c.errorf(op, err)
	}
	return c.sendStream(ctx, op, data)
}

func (c *Conn) sendStream(ctx context.Context, op string, data []byte) error {
	if _, err := c.startStream(ctx, nil); err != nil {
		return c.errorf(op, err)
	}
	return c.answer(ctx, op, asgi.HTTPResponseBody{Body: data, MoreBody: true})
}

// eventStream is the stream that the response is or may become.
func (c *Conn) eventStream() *eventStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.exchange.stream == nil {
		c.exchange.stream = &eventStream{since: time.Now()}
	}
	return c.exchange.stream
}

// startStream begins the stream unless it has begun, and reports whether it did.
func (c *Conn) startStream(ctx context.Context, header http.Header) (bool, error) {
	if c.exchange == nil {
		return false, fmt.Errorf("a scope of type %q has no response: server-sent events answer a request", c.scope.Type())
	}
	s := c.eventStream()
	c.mu.Lock()
	begun := s.begun
	c.mu.Unlock()
	if begun {
		return false, nil
	}
	s.starting.Lock()
	begun, err := c.beginStream(ctx, s, header)
	s.starting.Unlock()
	if err != nil || !begun {
		return false, err
	}
	var first []byte // the header goes with it
	if config := c.table.events; config != nil && config.retry > 0 {
		first, _ = SSE{Retry: config.retry}.encode()
	}
	return true, c.answer(ctx, "start events", asgi.HTTPResponseBody{Body: first, MoreBody: true})
}

// beginStream hands the start to the server, unless another has done so. It does not wait for the client.
func (c *Conn) beginStream(ctx context.Context, s *eventStream, header http.Header) (bool, error) {
	c.mu.Lock()
	begun := s.begun
	c.mu.Unlock()
	if begun {
		return false, nil
	}
	if err := c.emit(ctx, asgi.HTTPResponseStart{Status: http.StatusOK, Header: eventHeader(header)}); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.table.events == nil { // it answers in another way
			c.exchange.stream = nil
		}
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.begun, c.greeted = true, true
	if c.shut {
		return true, nil
	}
	if every := c.beatsEvery(); every > 0 {
		s.beats = time.AfterFunc(every, c.heartbeat)
	}
	if closing := c.scope.Closing(); closing != nil {
		s.stay = context.AfterFunc(closing, c.leaveSoon)
	}
	return true, nil
}

func (c *Conn) beatsEvery() time.Duration {
	if c.table.events != nil {
		return c.table.events.heartbeat
	}
	return defaultHeartbeat
}

// heartbeat runs when the timer does: it sends a comment if nothing was sent for the time of the timer, or sets that again.
func (c *Conn) heartbeat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, every := c.exchange.stream, c.beatsEvery()
	if c.shut || c.ended || c.failed || c.exchange.complete {
		return
	}
	if idle := time.Since(s.since) - time.Duration(s.last.Load()); idle < every {
		s.beats.Reset(every - idle)
		return
	}
	c.helpers.Go(func() { // the end of the connection ends it, and finish waits for it
		err := guard(func() error {
			return c.answer(&c.life, "send heartbeat", asgi.HTTPResponseBody{Body: heartbeat, MoreBody: true})
		})
		if err = c.failing(err); err != nil {
			c.fail(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.shut {
			s.beats.Reset(every)
		}
	})
}

// leaveTime is over how long the streams of a server that shuts down end, so that their clients do not all come back at once.
const leaveTime = time.Second

// leaveSoon runs when the server shuts down: a stream would not end by itself, and its client can come back to another server.
func (c *Conn) leaveSoon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.shut {
		c.exchange.stream.leaves = time.AfterFunc(rand.N(leaveTime), c.leaveNow)
	}
}

// leaveNow ends the connection, which completes the stream.
func (c *Conn) leaveNow() {
	why := asgi.DisconnectError{Reason: "server is shutting down", By: asgi.ByServer}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut || c.ended || c.failed {
		return
	}
	c.exchange.stream.left = true
	c.close(why) // its ctx ends, which wakes the reader
}

// stop stops the timers. The lock of its Conn is held.
func (s *eventStream) stop() {
	if s == nil {
		return
	}
	if s.beats != nil {
		s.beats.Stop()
	}
	if s.stay != nil {
		s.stay()
	}
	if s.leaves != nil {
		s.leaves.Stop()
	}
}

// joinedSize is about how much of what waits for a client goes out in one write.
const joinedSize = 64 << 10

// joined appends the ready events that wait behind first: a client that is behind gets them together. The turn is held.
func (c *Conn) joined(first asgi.HTTPResponseBody) asgi.HTTPResponseBody {
	body := first.Body
	for alone := true; len(body) < joinedSize; {
		m, ok := c.nextReady()
		if !ok {
			break
		}
		if m.Expired(time.Now()) {
			c.drop(m, layers.DropExpired, nil)
			continue
		}
		ev, err := c.table.forward[m.Type()].event(m)
		if err != nil {
			c.drop(m, layers.DropInvalid, err)
			continue
		}
		next := ev.(asgi.HTTPResponseBody).Body
		if alone { // first belongs to other connections, too
			body, alone = slices.Concat(body, next), false
		} else {
			body = append(body, next...)
		}
	}
	return asgi.HTTPResponseBody{Body: body, MoreBody: true}
}

// nextReady takes the next message from the mailbox if that has a ready frame.
func (c *Conn) nextReady() (m layers.Message, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mail.messages() == 0 || !c.mail.nextIsReady() || c.failed || c.ended {
		return m, false
	}
	return c.mail.popMessage(), true
}

// closeStream completes the response, or refuses a request whose stream has not begun.
func (c *Conn) closeStream(ctx context.Context) error {
	c.mu.Lock()
	begun := c.exchange.stream != nil && c.exchange.stream.begun
	c.mu.Unlock()
	if !begun {
		return c.Respond(ctx, http.StatusForbidden, nil, nil)
	}
	return c.answer(ctx, "close", asgi.HTTPResponseBody{})
}

// endStream completes a stream whose end was meant, by ErrStop, a CloseError or a shutdown; one that failed is cut.
func (c *Conn) endStream(ctx context.Context) {
	c.mu.Lock()
	var chosen asgi.CloseError
	open := c.exchange.stream != nil && c.exchange.stream.begun && !c.exchange.complete
	meant := errors.Is(c.err, ErrStop) || errors.As(c.err, &chosen) || open && c.exchange.stream.left
	c.mu.Unlock()
	if open && meant {
		_ = c.answer(ctx, "close", asgi.HTTPResponseBody{}) // an error is that of a client that has gone
	}
}
