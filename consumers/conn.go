package consumers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
)

// A Conn is one connection, as its handlers see it. Its methods may be called from any goroutine, and after the end
// they return errors that match [asgi.ErrClosed].
//
// Methods that send wait only while the connection's bounded queue is full; they obey ctx. What a handler sends is
// written when the handler returns, or after a millisecond.
type Conn struct {
	// There may be very many that do nothing, so what few of them need is behind a pointer.
	table   *table
	state   any // *S
	scope   *asgi.Scope
	receive asgi.Receive
	send    asgi.Send
	layer   *layers.Layer
	channel string
	life    life // the ctx of the handlers: ends with the connection

	observation *observation // nil where nobody observes

	// The turn; see turn.go.
	mu       sync.Mutex
	wake     *sync.Cond                // something that somebody waits for has changed; nil until somebody does
	mail     *mailbox                  // nil until something has waited
	running  string                    // the handler that holds the turn
	watched  atomic.Pointer[turnWatch] // nil until the turn has been watched
	capacity int32                     // of the channel
	busy     bool                      // somebody holds the turn
	opening  bool                      // it is still the turn with which the goroutine of Serve began
	waiting  bool                      // the reader waits for the turn, and is next
	long     bool                      // its holder has had a handler that took long
	seen     bool                      // the turn is watched
	reader   bool                      // the handler that runs does so on the goroutine that reads
	relieved bool                      // did, until it took long; another one reads now
	parked   bool                      // the goroutine of Serve waits to read again
	passed   bool                      // and shall
	ended    bool                      // the last client event has been read
	failed   bool                      // a handler has ended the connection
	shut     bool                      // no message is taken any more
	accepted bool
	refused  bool
	greeted  bool // Connect returned nil, or accepted: Disconnect will run

	err      error                 // what the connection failed with
	why      *asgi.DisconnectError // how it ended
	patience *time.Timer

	exchange *exchange // of an HTTP request
	working  int32     // calls of Go that have not returned

	turnHeld  atomic.Bool // for senders: what they send will be flushed when the turn ends
	unflushed atomic.Bool
	gone      atomic.Bool // the server has said so, or the app has closed

	helpers sync.WaitGroup // every goroutine this connection started
}

// newConn makes the actor of one connection. Its turn is taken: nothing runs before the first client event.
func newConn(ctx context.Context, t *table, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) *Conn {
	c := &Conn{table: t, scope: scope, receive: receive, send: send, life: life{base: ctx}, busy: true, opening: true,
		observation: observationOf(scope)}
	c.layer = layerOf(scope, t.alias)
	if scope.Type() == asgi.HTTP {
		c.exchange = new(exchange)
	}
	return c
}

// context is the ctx of the handler that runs, and of handlers in general. Nobody else uses it: an observer may have its
// own for each of them.
func (c *Conn) context() context.Context {
	if c.observation != nil {
		return c.observation.context(&c.life)
	}
	return &c.life
}

// Scope says what the connection is.
func (c *Conn) Scope() *asgi.Scope { return c.scope }

// ChannelLayer is the layer of the connection, or nil. The methods of a nil layer return [layers.ErrNoLayer].
func (c *Conn) ChannelLayer() *layers.Layer { return c.layer }

// ChannelName is the name of the connection's own channel: whoever knows it can send to this connection, from any
// process. It is empty where there is no layer.
func (c *Conn) ChannelName() string { return c.channel }

// Accept completes a WebSocket's handshake before Connect returns, to choose a subprotocol, to add headers, or to send at
// once. Without it, Connect's nil accepts. Of a stream of server-sent events it begins the response, so that one Connect
// serves both.
func (c *Conn) Accept(ctx context.Context, answer asgi.WebSocketAccept) error {
	if c.table.events != nil {
		return c.acceptEvents(ctx, answer)
	}
	if err := c.accept(ctx, answer); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != "" { // from here on the client can be heard while the handler goes on
		c.watch()
	}
	return nil
}

func (c *Conn) accept(ctx context.Context, answer asgi.WebSocketAccept) error {
	if err := c.emit(ctx, answer); err != nil {
		return c.errorf("accept", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted, c.greeted = true, true
	return nil
}

// SendText sends a text message. Text that is not UTF-8 is an error: clients would have to close at it.
func (c *Conn) SendText(ctx context.Context, text string) error {
	if !utf8.ValidString(text) {
		return c.errorf("send text", errNotUTF8)
	}
	return c.sendFrame(ctx, "send text", asgi.TextFrame(text))
}

var errNotUTF8 = errors.New("the text is not UTF-8: send it as a binary message")

// SendBinary sends a binary message. It keeps data, which must not change any more.
func (c *Conn) SendBinary(ctx context.Context, data []byte) error {
	return c.sendFrame(ctx, "send binary", asgi.BinaryFrame(data))
}

// SendJSON sends v as JSON in a text message.
func (c *Conn) SendJSON(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("consumers: %s: send %T as JSON: %w", c.table.name, v, err)
	}
	return c.sendFrame(ctx, "send JSON", asgi.Frame{Data: data})
}

// SendFrame sends a message as it is, such as one that was received. It keeps the bytes.
func (c *Conn) SendFrame(ctx context.Context, f asgi.Frame) error {
	return c.sendFrame(ctx, "send frame", f)
}

func (c *Conn) sendFrame(ctx context.Context, op string, f asgi.Frame) error {
	if c.streams() {
		return c.sendAsSSE(ctx, op, f)
	}
	return c.errorf(op, c.sendEvent(ctx, asgi.WebSocketSend{Frame: f}))
}

// emit hands an event to the server, and notes when that says that the connection is over.
func (c *Conn) emit(ctx context.Context, ev asgi.Event) error {
	err := c.send(ctx, ev)
	if err != nil && errors.Is(err, asgi.ErrClosed) {
		c.gone.Store(true)
	}
	return err
}

// sendEvent sends a message so that it is written at once, or, while a handler runs, with all that the handler sends.
func (c *Conn) sendEvent(ctx context.Context, ev asgi.WebSocketSend) error {
	ev.More = c.turnHeld.Load() && !ofWork(ctx)
	err := c.emit(ctx, ev)
	if ev.More {
		// Where the server has written by itself, unflushed is left from then, and the next flush does nothing.
		if w := c.watched.Load(); !c.unflushed.Load() && !c.unflushed.Swap(true) && w != nil {
			w.heldAt.Store(w.clock.Ticks())
		}
		if !c.turnHeld.Load() { // the turn ended in between, and may not have seen this one
			c.flush()
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, asgi.ErrFull) && ctx.Err() != nil:
		return context.Cause(ctx)
	case !errors.Is(err, asgi.ErrClosed) && c.unanswered():
		return fmt.Errorf("%w; from Connect, call Conn.Accept before it", err)
	}
	return err
}

// unanswered reports whether the handshake still waits for its answer.
func (c *Conn) unanswered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.accepted && !c.refused
}

// flushLate writes what earlier handlers sent half a millisecond ago: where one follows the other, none is the last.
func (c *Conn) flushLate() {
	if w := c.watched.Load(); w != nil && c.unflushed.Load() && w.clock.Ticks() != w.heldAt.Load() {
		c.flush()
	}
}

// flush has the server write what it holds back.
func (c *Conn) flush() {
	if !c.unflushed.Swap(false) {
		return
	}
	var broken *asgi.PanicError
	if err := c.sendAtOnce(asgi.WebSocketFlush{}); errors.As(err, &broken) {
		c.fail(c.errorf("flush", err))
	} // any other error is that of a connection that has ended
}

// Close ends the connection: a WebSocket with a close code (0 is 1000) and a reason of at most 123 bytes; before the
// accept it refuses the handshake with 403. The handler goes on; Disconnect runs when the close is done. It completes a
// stream of server-sent events, which has no code.
func (c *Conn) Close(ctx context.Context, code int, reason string) error {
	if c.streams() {
		return c.closeStream(ctx)
	}
	if err := c.emit(ctx, asgi.WebSocketClose{Code: code, Reason: reason}); err != nil {
		return c.errorf("close", err)
	}
	c.mu.Lock()
	c.refused = c.refused || !c.accepted
	c.mu.Unlock()
	c.gone.Store(true)
	return nil
}

// SendEvent sends any event of the protocol, for what the other methods do not cover.
func (c *Conn) SendEvent(ctx context.Context, ev asgi.Event) error {
	switch ev := ev.(type) {
	case nil:
		return c.errorf("send", errors.New("the event is nil: pass one of the structs of package asgi"))
	case asgi.WebSocketAccept:
		return c.Accept(ctx, ev)
	case asgi.WebSocketClose:
		return c.Close(ctx, ev.Code, ev.Reason)
	case asgi.WebSocketHTTPResponseStart:
		c.mu.Lock()
		c.refused = true
		c.mu.Unlock()
	}
	return c.answer(ctx, "send "+ev.EventType(), ev)
}

// GroupAdd makes this connection a member of group. It leaves by itself when it ends.
func (c *Conn) GroupAdd(ctx context.Context, group string) error {
	if c.layer == nil {
		return c.noLayer("join a group")
	}
	return c.ofItself(c.channel, c.layer.GroupAdd(ctx, group, c.channel))
}

// ofItself has an error about the connection's own channel, which ends with it, match [asgi.ErrClosed].
func (c *Conn) ofItself(channel string, err error) error {
	if err != nil && channel == c.channel && errors.Is(err, layers.ErrNoChannel) {
		c.gone.Store(true)
		return fmt.Errorf("%w: %w", asgi.ErrClosed, err)
	}
	return err
}

// GroupDiscard ends this connection's membership of group.
func (c *Conn) GroupDiscard(ctx context.Context, group string) error {
	if c.layer == nil {
		return c.noLayer("leave a group")
	}
	return c.layer.GroupDiscard(ctx, group, c.channel)
}

// GroupSend sends m to all members of group, this connection included if it is one.
func (c *Conn) GroupSend(ctx context.Context, group string, m layers.Message) error {
	if c.layer == nil {
		return c.noLayer("send to a group")
	}
	return c.layer.GroupSend(ctx, group, m)
}

// SendTo sends m to one channel.
func (c *Conn) SendTo(ctx context.Context, channel string, m layers.Message) error {
	if c.layer == nil {
		return c.noLayer("send to a channel")
	}
	return c.ofItself(channel, c.layer.Send(ctx, channel, m))
}

// noLayer is the error of an operation that needs a layer.
func (c *Conn) noLayer(op string) error {
	if c.table.alias == "" {
		return c.errorf(op, layers.ErrNoLayer)
	}
	return c.errorf(op, noLayerAs(c.table.alias))
}

// noLayerAs is [layers.ErrNoLayer] for a table that names an alias: it says what to write for that one.
type noLayerAs string

func (alias noLayerAs) Error() string {
	return fmt.Sprintf("no layer is registered as %q; register it at start: layers.Register(%q, layer)", string(alias), string(alias))
}

// Is makes it match [layers.ErrNoLayer].
func (noLayerAs) Is(target error) bool { return target == layers.ErrNoLayer }

// Go starts work that belongs to the connection: its ctx ends with the connection, the connection ends with its error
// as it would with a handler's, and Serve waits for it. It runs beside the handlers, so it must not touch the state;
// it answers by a message to ChannelName. After the end of the connection Go does nothing.
func (c *Conn) Go(work func(ctx context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return
	}
	c.working++
	c.helpers.Go(func() { c.work(work) })
}

func (c *Conn) work(work func(ctx context.Context) error) {
	err := errGoexit
	defer func() { c.worked(err) }()
	err = guard(func() error { return work(workContext{&c.life}) })
}

// worked notes that a call of Go has returned err.
func (c *Conn) worked(err error) {
	c.mu.Lock()
	c.working--
	idle := c.running == "" && c.table.protocol == asgi.HTTP && c.exchange.asked
	c.mu.Unlock()
	if err == nil && idle && c.life.Err() == nil {
		err = c.answered()
	}
	if err = c.failing(err); err != nil {
		c.fail(err)
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.shut {
			c.cancelNow(*failure(err))
		}
	}
}

// errorf gives an error of the server's the package, the consumer and the operation.
func (c *Conn) errorf(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("consumers: %s: %s: %w", c.table.name, op, err)
}

// logger is the table's, else the scope's, else one that says nothing.
func (c *Conn) logger() *zap.Logger {
	if c.table.logger != nil {
		return c.table.logger
	}
	if v, ok := asgi.LoggerKey.Get(c.scope); ok {
		if l, ok := v.(*zap.Logger); ok {
			return l
		}
	}
	return zap.NewNop()
}
