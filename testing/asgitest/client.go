package asgitest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// A client is the test's end of a connection: what WebSocket, Exchange and Raw have in common.
type client struct {
	t       testing.TB
	timeout time.Duration
	link    *link
	run     *run
	log     transcript
}

// limit is a ctx for one expectation.
func (c *client) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), c.timeout)
}

// next reads one event and notes it.
func (c *client) next(ctx context.Context) (asgi.Event, error) {
	event, err := c.link.next(ctx)
	if err != nil {
		return nil, err
	}
	c.log.add("app", event)
	if e, ok := event.(asgi.WebSocketClose); ok && e.Code == codeInternal || c.link.judged() {
		c.run.shown.Store(true) // as much as a client ever sees of a failure
	}
	return event, nil
}

// want reads the next event for an expectation, in whose failure text expected stands.
func (c *client) want(expected string) asgi.Event {
	c.t.Helper()
	ctx, cancel := c.limit()
	defer cancel()
	event, err := c.next(ctx)
	if err != nil {
		c.missing(expected, err)
	}
	return event
}

// give passes an event to the app. That nobody listens any more is no error: a client cannot know.
func (c *client) give(event asgi.Event) {
	c.t.Helper()
	ctx, cancel := c.limit()
	defer cancel()
	c.log.add("client", event)
	err := c.link.give(ctx, event)
	if err != nil && !errors.Is(err, asgi.ErrClosed) {
		c.fatalf("send %s: the app has not received what was sent before, and the queue of %d bytes is full for %v",
			describe(event), c.link.limits.Queue, c.timeout)
	}
}

// mismatch fails the test with what was expected and what came.
func (c *client) mismatch(expected string, got asgi.Event) {
	c.t.Helper()
	c.fatalf("expected %s, got %s", expected, describe(got))
}

// missing fails the test with what was expected and did not come.
func (c *client) missing(expected string, err error) {
	c.t.Helper()
	if errors.Is(err, asgi.ErrClosed) {
		c.fatalf("expected %s, got the end of the connection", expected)
	}
	c.fatalf("expected %s, got nothing within %v", expected, c.timeout)
}

// fatalf ends the test with a text that names the connection and goes on with how the app is and what was said so far.
func (c *client) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("asgitest: %s: %s%s%s", c.run.name, fmt.Sprintf(format, args...), c.state(), c.log.String())
}

// state says how the app is: in a bubble, when it has come to rest.
func (c *client) state() string {
	inBubble()
	c.link.mu.Lock()
	returned, receiving, sending, held := c.link.returned, c.link.receiving, c.link.sending, len(c.link.held)
	c.link.mu.Unlock()
	if returned {
		<-c.run.done
		c.run.shown.Store(true)
		switch {
		case c.run.failed != nil:
			return "\n\tthe app failed: " + describeError(c.run.failed)
		case c.run.err != nil:
			return "\n\tthe app returned: " + c.run.err.Error()
		}
		return "\n\tthe app returned nil"
	}
	text := "\n\tthe app is at work"
	switch {
	case sending > 0:
		text = "\n\tthe app waits in Send: its queue is full and the test does not read"
	case receiving:
		text = "\n\tthe app waits in Receive"
	}
	if held > 0 {
		text += fmt.Sprintf(", and %d events that it sent with More are not flushed", held)
	}
	if receiving || sending > 0 {
		return text
	}
	return text + stacks(c.run.label)
}

// settled waits for the end of the app and returns its failure. It fails the test when the app goes on.
func (c *client) settled() error {
	c.t.Helper()
	ctx, cancel := c.limit()
	defer cancel()
	select {
	case <-c.run.done:
		c.run.shown.Store(true)
		return c.run.failed
	case <-ctx.Done():
		c.fatalf("expected the app to end, but it still runs after %v", c.timeout)
		return nil
	}
}

// A transcript holds the last events of a conversation.
type transcript struct {
	mu    sync.Mutex
	lines []line
	total int
}

type line struct {
	who   string
	event asgi.Event
}

// maxLines is how many events a failure text shows.
const maxLines = 8

func (t *transcript) add(who string, event asgi.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == maxLines {
		copy(t.lines, t.lines[1:])
		t.lines = t.lines[:maxLines-1]
	}
	t.lines = append(t.lines, line{who, event})
	t.total++
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	b.WriteString("\n\tso far:")
	if skipped := t.total - len(t.lines); skipped > 0 {
		fmt.Fprintf(&b, "\n\t\t(%d events)", skipped)
	}
	for _, l := range t.lines {
		fmt.Fprintf(&b, "\n\t\t%s: %s", l.who, describe(l.event))
	}
	return b.String()
}
