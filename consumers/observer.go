package consumers

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// An Observer follows what consumers do: for metrics, traces, or a log of slow handlers. Middleware brings it to the
// connections below ([WithObserver]); those without one pay nothing. Packages asgi/server/metrics and asgi/server/tracing
// have ready ones.
//
// Its methods are called by many connections at once, and should be quick: the connection waits for them. Frames that
// Forward sends have no handler, and are not told of.
type Observer interface {
	// Opened is told of a connection, or an instance of a worker, before its first handler, and Closed after its last one.
	// consumer is the name of its state's type, such as "main.chat".
	Opened(consumer string, c *Conn)
	Closed(consumer string, c *Conn)

	// Begin is called before a handler, on its goroutine, and returns the handler's ctx: the given one, or one made of
	// it. For a layer message whose sender is traced, that holds what the layer's Propagator has found in the message.
	Begin(ctx context.Context, call Call) context.Context

	// End is called when the handler has returned or panicked, with the ctx that it had.
	End(ctx context.Context, call Call, result Result)
}

// A Call is one run of a handler.
type Call struct {
	Consumer string // the name of the state's type, such as "main.chat"
	Kind     Kind
	Type     string // of a layer message: one that the table lists, whatever others send; else empty
	Began    time.Time
}

// Kind says what a handler was called for.
type Kind string

// The kinds of calls.
const (
	KindConnect    Kind = "connect"
	KindText       Kind = "text"
	KindBinary     Kind = "binary"
	KindMessage    Kind = "message" // of the layer, or of a worker's queue
	KindDisconnect Kind = "disconnect"
	KindHTTP       Kind = "http"  // a request
	KindEvent      Kind = "event" // any other event, of an AsyncConsumer
)

// A Result is how a handler ended.
type Result struct {
	Outcome Outcome
	Err     error         // what it returned, an *[asgi.PanicError] when it panicked; nil for OutcomeOK
	Took    time.Duration // of a blocking handler with a Limit, the wait for that included
}

// Outcome sorts what handlers return.
type Outcome string

// The outcomes of calls.
const (
	OutcomeOK      Outcome = "ok"
	OutcomeEnded   Outcome = "ended"   // no failure: an asgi.CloseError, ErrStop, asgi.Deny, or the connection was over
	OutcomeError   Outcome = "error"   // any other error
	OutcomePanic   Outcome = "panic"   // a panic, or runtime.Goexit
	OutcomeInvalid Outcome = "invalid" // a layer message whose payload the handler could not be called with
)

// observerKey holds the observer of a connection.
var observerKey = asgi.NewKey[Observer]("observer")

// WithObserver returns a scope like scope whose consumers are followed by o, besides those that follow them already.
func WithObserver(scope *asgi.Scope, o Observer) *asgi.Scope {
	if o == nil {
		panic("consumers: WithObserver: the observer is nil: leave the scope as it is instead")
	}
	if first, ok := observerKey.Get(scope); ok {
		o = observerPair{first, o}
	}
	return observerKey.With(scope, o)
}

// An observerPair is two observers: the second one stands inside the first.
type observerPair struct{ outer, inner Observer }

// Opened tells both.
func (p observerPair) Opened(consumer string, c *Conn) {
	p.outer.Opened(consumer, c)
	p.inner.Opened(consumer, c)
}

// Closed tells both.
func (p observerPair) Closed(consumer string, c *Conn) {
	p.inner.Closed(consumer, c)
	p.outer.Closed(consumer, c)
}

// Begin tells both.
func (p observerPair) Begin(ctx context.Context, call Call) context.Context {
	return p.inner.Begin(p.outer.Begin(ctx, call), call)
}

// End tells both.
func (p observerPair) End(ctx context.Context, call Call, result Result) {
	p.inner.End(ctx, call, result)
	p.outer.End(ctx, call, result)
}

// An observation is what an observed connection has in addition.
type observation struct {
	Observer
	mu      sync.Mutex
	handler context.Context // of the handler that runs; nil between handlers
}

// observationOf returns nil where nobody observes.
func observationOf(scope *asgi.Scope) *observation {
	if o, ok := observerKey.Get(scope); ok {
		return &observation{Observer: o}
	}
	return nil
}

// begin notes the ctx of a handler, end that it has ended.
func (o *observation) begin(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handler = ctx
}

func (o *observation) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handler = nil
}

// context is the ctx of the handler that runs, or of any.
func (o *observation) context(between context.Context) context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.handler != nil {
		return o.handler
	}
	return between
}

// Waiting tells how many events of the client and messages of the layer wait in the connection's mailbox. The handler that
// asks has taken its own already.
func (c *Conn) Waiting() (events, messages int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mail.events(), c.mail.messages()
}

// observed runs f, a handler, whose ctx is made of ctx, under the eyes of the observer.
func (c *Conn) observed(ctx context.Context, kind Kind, typ string, f func(ctx context.Context) error) (err error) {
	o := c.observation
	call := Call{Consumer: c.table.name, Kind: kind, Type: typ, Began: time.Now()}
	ctx = o.Begin(ctx, call)
	o.begin(ctx)
	result := Result{Outcome: OutcomePanic, Err: errGoexit}
	defer func() {
		if v := recover(); v != nil {
			err = &asgi.PanicError{Value: v, Stack: debug.Stack()}
			result.Err = err
		}
		o.end()
		result.Took = time.Since(call.Began)
		o.End(ctx, call, result)
	}()
	err = f(ctx)
	result.Outcome, result.Err = c.outcomeOf(err), err
	return err
}

// outcomeOf sorts what a handler returned.
func (c *Conn) outcomeOf(err error) Outcome {
	switch err.(type) {
	case nil:
		return OutcomeOK
	case asgi.CloseError:
		return OutcomeEnded
	case *badPayload:
		return OutcomeInvalid
	case *asgi.PanicError: // of an observed part of it
		return OutcomePanic
	}
	if deny, ok := errors.AsType[asgi.Deny](err); ok && deny.Status < 500 || c.quiet(err) {
		return OutcomeEnded
	}
	return OutcomeError
}

// observedEvent is table.event of an observed connection.
func (c *Conn) observedEvent(ev asgi.Event) error {
	kind, typ, ctx := KindEvent, "", context.Context(&c.life)
	switch ev := ev.(type) {
	case asgi.WebSocketConnect:
		kind = KindConnect
	case asgi.WebSocketReceive:
		kind = KindText
		if ev.Frame.Binary {
			kind = KindBinary
		}
	case asgi.HTTPRequest:
		if kind = KindHTTP; c.exchange != nil && !c.asks(ev) {
			return c.table.event(c, ev) // no handler runs for this part
		}
	case asgi.WebSocketDisconnect, asgi.HTTPDisconnect:
		kind = KindDisconnect
	case ChannelMessage:
		kind, typ = KindMessage, ev.Message.Type()
		if c.table.messages[typ] == nil {
			return c.table.event(c, ev) // there is no handler
		}
		ctx = c.layer.TraceContext(ctx, ev.Message)
	}
	return c.observed(ctx, kind, typ, func(context.Context) error { return c.table.event(c, ev) })
}

// observedMessage runs the handler of a layer message of an observed connection.
func (c *Conn) observedMessage(h messageHandler, m layers.Message) error {
	return c.observed(c.layer.TraceContext(&c.life, m), KindMessage, m.Type(), func(ctx context.Context) error { return h(ctx, c, m) })
}
