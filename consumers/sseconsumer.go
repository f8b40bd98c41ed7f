package consumers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
)

// AsyncSSEConsumer declares a consumer of server-sent events: a response that goes on, and that a browser reads by
//
//	const events = new EventSource("/prices/");
//	events.onmessage = e => show(JSON.parse(e.data));
//
// It is the one-way sibling of [AsyncWebsocketConsumer], for clients whose proxies let no WebSocket through, and for pages
// that have nothing to say. Both take the same Groups and Forward, and the same handlers: SendText and SendJSON send an
// event, nil from Connect begins the stream. The zero value keeps a stream open that says nothing.
//
// A browser comes back by itself when a stream ends or breaks, after a few seconds ([SSE.Retry]). It then tells the last id that it
// has seen: [Conn.LastEventID]. To resume, join the groups, then send from Connect what has come since that id. A message
// that was sent between the two comes twice; the page knows by its id.
//
// # What to know
//
// Over HTTP/1.1 browsers open 6 connections to a host in all, and each stream takes one of them, in whichever tab: the seventh waits.
// Over HTTP/2, which needs TLS, about a hundred requests share one connection.
//
// A stream that waits costs about 30 kB: 23 kB are what any open request costs in net/http, two goroutines, buffers and the
// connection; the rest is scope, consumer, membership, and the heartbeat's timer. A WebSocket costs a third of it.
//
// A client that does not read is cut after the server's WriteTimeout, 10 s. Until then messages wait in the mailbox, as
// many as the channel's capacity and 2 MiB; what does not fit is dropped and counted, and nobody else waits.
//
// When the server shuts down, streams are completed within a second, so that browsers come back to another one.
//
// Requests by other methods than GET and HEAD get 405. To stream the answer to a POST, call [Conn.SendSSE] from the Handle of an
// [AsyncHTTPConsumer].
type AsyncSSEConsumer[S any] struct {
	// New makes the state of one connection; default new(S).
	New func(scope *asgi.Scope) *S
	// Layer is the alias of the channel layer; default [layers.Default]. See [LayerKey].
	Layer string
	// Groups are joined before Connect. Join others by [Conn.GroupAdd]; all are left when the connection ends. A name that
	// no group can have panics in App.
	Groups []string
	// Heartbeat is how long nothing may be sent before a comment is, so that proxies keep the connection and its loss is
	// noticed. Default 15 s; less than 0 is never: then a client that is lost without a word is noticed with the next event.
	Heartbeat time.Duration
	// ConnectTimeout is how long the joining of Groups and Connect may take until the stream has begun, be it by their end or by
	// what Connect sends. Then the client gets 503, which a browser does not come back after by itself, and ctx ends; a Connect that
	// ignores it is named in the log 10 s later, and over HTTP/2 a browser waits for it. Default 5 s, as servers give to a
	// handshake; less than 0 is no limit.
	ConnectTimeout time.Duration
	// Retry tells browsers how long to wait before they come back; default is theirs, some 3 s.
	Retry time.Duration

	// Connect decides. Nil begins the stream, unless Connect has by itself. [asgi.Deny] refuses with that response: a browser
	// does not come back after one. [ErrStop] is 204, which means the same; [asgi.CloseError] is 403, any other error 500.
	Connect func(s *S, ctx context.Context, c *Conn) error
	// Disconnect runs once if and only if the stream has begun, however it ended, with a ctx of its own of 10 s. The groups
	// are left afterwards.
	Disconnect func(s *S, ctx context.Context, c *Conn, why asgi.DisconnectError) error

	// Messages lists the message types that handlers of this connection take, by [On] and [OnSync]. ErrStop and a CloseError
	// of theirs complete the response, any other error cuts it.
	Messages []Handler[S]
	// Forward lists the message types that go to the client without a handler, each as an event that is encoded once for all
	// receivers in the process. A binary frame of [Render] is dropped, counted and logged once: events are text.
	Forward []Forwarder
	// Logger is for what no return value tells; default the scope's.
	Logger *zap.Logger
}

// eventsConfig is what a table of server-sent events says.
type eventsConfig struct {
	heartbeat time.Duration // 0 or less: none
	retry     time.Duration
}

// App compiles the declaration. It panics where it cannot be meant.
func (d AsyncSSEConsumer[S]) App() asgi.App {
	t := newTable(asgi.HTTP, d.New, d.Messages, d.Forward)
	t.alias, t.logger = d.Layer, d.Logger
	for _, group := range d.Groups {
		if err := layers.CheckGroup(group); err != nil {
			panic(fmt.Sprintf("consumers: %s: Groups: %v", t.name, err))
		}
	}
	if d.Retry < 0 || d.Retry > 0 && d.Retry < time.Millisecond {
		panic(fmt.Sprintf("consumers: %s: Retry is %v: give a time of 1 ms or more, such as 3*time.Second", t.name, d.Retry))
	}
	if d.Heartbeat > 0 && d.Heartbeat < time.Millisecond {
		panic(fmt.Sprintf("consumers: %s: Heartbeat is %v: give a time such as 15*time.Second, or less than 0 for none", t.name, d.Heartbeat))
	}
	if d.ConnectTimeout > 0 && d.ConnectTimeout < time.Millisecond {
		panic(fmt.Sprintf("consumers: %s: ConnectTimeout is %v: give a time such as 5*time.Second, or less than 0 for no limit", t.name, d.ConnectTimeout))
	}
	if d.ConnectTimeout == 0 {
		d.ConnectTimeout = defaultConnectTimeout
	}
	if d.Heartbeat == 0 {
		d.Heartbeat = defaultHeartbeat
	}
	t.events = &eventsConfig{heartbeat: d.Heartbeat, retry: d.Retry}
	for _, f := range t.forward {
		f.events = true
	}
	t.event = func(c *Conn, ev asgi.Event) error {
		if part, ok := ev.(asgi.HTTPRequest); ok && c.asks(part) {
			c.asking()
			return d.connect(c)
		}
		return nil // a body that came with the request
	}
	t.hookless = d.Disconnect == nil
	t.end = func(ctx context.Context, c *Conn, why asgi.DisconnectError) error {
		c.endStream(ctx)
		if d.Disconnect == nil {
			return nil
		}
		return d.Disconnect(c.state.(*S), ctx, c, why)
	}
	return t
}

func (d *AsyncSSEConsumer[S]) connect(c *Conn) error {
	if m := c.scope.Method(); m != http.MethodGet && m != http.MethodHead {
		return asgi.Deny{Status: http.StatusMethodNotAllowed, Header: http.Header{"Allow": {"GET, HEAD"}}}
	}
	if err := d.decide(c); err != nil || c.answeredAlready() {
		return err
	}
	if _, err := c.startStream(c.context(), nil); err != nil {
		return c.errorf("start events", err)
	}
	if c.scope.Method() == http.MethodHead {
		return c.closeStream(c.context())
	}
	return nil
}

// decide joins the groups and calls Connect, within ConnectTimeout.
func (d *AsyncSSEConsumer[S]) decide(c *Conn) error {
	if len(d.Groups) == 0 && d.Connect == nil {
		return nil
	}
	defer c.boundConnect(d.ConnectTimeout)()
	for _, group := range d.Groups {
		if err := c.GroupAdd(c.context(), group); err != nil {
			return c.errorf("join its Groups", err)
		}
	}
	if d.Connect != nil {
		if err := d.Connect(c.state.(*S), c.context(), c); err != nil {
			return c.refusal(err)
		}
	}
	return nil
}

// answeredAlready reports whether the response is complete.
func (c *Conn) answeredAlready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exchange.complete
}

// refusal is what a WebSocket's Connect returns to refuse, as a response, where the stream has not begun.
func (c *Conn) refusal(err error) error {
	c.mu.Lock()
	begun := c.exchange.stream != nil && c.exchange.stream.begun
	c.mu.Unlock()
	_, chosen := err.(asgi.CloseError)
	switch {
	case begun:
		return err
	case errors.Is(err, ErrStop):
		return asgi.Deny{Status: http.StatusNoContent}
	case chosen:
		return asgi.Deny{}
	}
	return err
}

// acceptEvents is Accept for a stream.
func (c *Conn) acceptEvents(ctx context.Context, answer asgi.WebSocketAccept) error {
	if answer.Subprotocol != "" {
		return c.errorf("accept", fmt.Errorf("a stream of server-sent events has no subprotocol, such as %q", answer.Subprotocol))
	}
	begun, err := c.startStream(ctx, answer.Header)
	if err == nil && !begun {
		err = errors.New("the stream has begun before")
	}
	return c.errorf("accept", err)
}
