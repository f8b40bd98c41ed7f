package consumers

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
)

// SyncConsumer is [AsyncConsumer] for blocking handlers: they get no ctx, and run to their end whatever the client does.
//
// Channels: SyncConsumer.
type SyncConsumer[S any] struct {
	New      func(scope *asgi.Scope) *S
	Layer    string
	Event    func(s *S, c *SyncConn, ev asgi.Event) error
	Messages []Handler[S]
	Logger   *zap.Logger
	// Limit bounds how many handlers run at once among all tables that name it; default no bound.
	Limit *Limit
}

// App compiles the declaration. It panics where it cannot be meant.
func (d SyncConsumer[S]) App() asgi.App {
	a := AsyncConsumer[S]{New: d.New, Layer: d.Layer, Logger: d.Logger, Messages: limited(d.Limit, d.Messages)}
	if d.Event != nil {
		a.Event = func(s *S, ctx context.Context, c *Conn, ev asgi.Event) error {
			limit := d.Limit
			switch ev.(type) {
			case asgi.WebSocketDisconnect, asgi.HTTPDisconnect:
				limit = nil // as for the Disconnect hook of other tables
			}
			return limit.run(ctx, func() error { return d.Event(s, blocking(c), ev) })
		}
	}
	return a.App()
}

// SyncWebsocketConsumer is [AsyncWebsocketConsumer] for blocking handlers: they get no ctx, and run to their end
// whatever the client does.
//
// Channels: WebsocketConsumer; with [SyncJSON] around Text, JsonWebsocketConsumer.
type SyncWebsocketConsumer[S any] struct {
	New        func(scope *asgi.Scope) *S
	Layer      string
	Groups     []string
	Connect    func(s *S, c *SyncConn) error
	Text       func(s *S, c *SyncConn, text string) error
	Binary     func(s *S, c *SyncConn, data []byte) error
	Frame      func(s *S, c *SyncConn, f asgi.Frame) error
	Disconnect func(s *S, c *SyncConn, why asgi.DisconnectError) error
	Messages   []Handler[S]
	Forward    []Forwarder
	Logger     *zap.Logger
	// Limit bounds how many handlers run at once among all tables that name it; default no bound.
	Limit *Limit
}

// App compiles the declaration. It panics where it cannot be meant.
func (d SyncWebsocketConsumer[S]) App() asgi.App {
	a := AsyncWebsocketConsumer[S]{
		New: d.New, Layer: d.Layer, Groups: d.Groups, Forward: d.Forward, Logger: d.Logger,
		Text:       async1(d.Limit, d.Text),
		Binary:     async1(d.Limit, d.Binary),
		Frame:      async1(d.Limit, d.Frame),
		Disconnect: async1(nil, d.Disconnect),
		Messages:   limited(d.Limit, d.Messages),
	}
	if d.Connect != nil {
		a.Connect = func(s *S, ctx context.Context, c *Conn) error {
			return d.Limit.run(ctx, func() error { return d.Connect(s, blocking(c)) })
		}
	}
	return a.App()
}

// SyncHTTPConsumer is [AsyncHTTPConsumer] for blocking handlers: they get no ctx, and run to their end whatever the
// client does.
type SyncHTTPConsumer[S any] struct {
	New        func(scope *asgi.Scope) *S
	Layer      string
	MaxBody    int
	Handle     func(s *S, c *SyncConn, body []byte) error
	Stream     func(s *S, c *SyncConn, body io.Reader) error // holds its place in Limit while it waits for the client
	Disconnect func(s *S, c *SyncConn, why asgi.DisconnectError) error
	Messages   []Handler[S]
	Logger     *zap.Logger
	// Limit bounds how many handlers run at once among all tables that name it; default no bound.
	Limit *Limit
}

// App compiles the declaration. It panics where it cannot be meant.
func (d SyncHTTPConsumer[S]) App() asgi.App {
	return AsyncHTTPConsumer[S]{
		New: d.New, Layer: d.Layer, MaxBody: d.MaxBody, Logger: d.Logger,
		Handle:     async1(d.Limit, d.Handle),
		Stream:     async1(d.Limit, d.Stream),
		Disconnect: async1(nil, d.Disconnect),
		Messages:   limited(d.Limit, d.Messages),
	}.App()
}

// SyncSSEConsumer is [AsyncSSEConsumer] for blocking handlers: they get no ctx, and run to their end whatever the client
// does.
type SyncSSEConsumer[S any] struct {
	New        func(scope *asgi.Scope) *S
	Layer      string
	Groups     []string
	Heartbeat  time.Duration
	Retry      time.Duration
	Connect    func(s *S, c *SyncConn) error
	Disconnect func(s *S, c *SyncConn, why asgi.DisconnectError) error
	Messages   []Handler[S]
	Forward    []Forwarder
	Logger     *zap.Logger
	// ConnectTimeout includes the wait for Limit. The client gets its 503, and Connect goes on to its end.
	ConnectTimeout time.Duration
	// Limit bounds how many handlers run at once among all tables that name it; default no bound.
	Limit *Limit
}

// App compiles the declaration. It panics where it cannot be meant.
func (d SyncSSEConsumer[S]) App() asgi.App {
	a := AsyncSSEConsumer[S]{
		New: d.New, Layer: d.Layer, Groups: d.Groups, Heartbeat: d.Heartbeat, Retry: d.Retry, Forward: d.Forward, Logger: d.Logger,
		ConnectTimeout: d.ConnectTimeout,
		Disconnect:     async1(nil, d.Disconnect),
		Messages:       limited(d.Limit, d.Messages),
	}
	if d.Connect != nil {
		a.Connect = func(s *S, ctx context.Context, c *Conn) error {
			return d.Limit.run(ctx, func() error { return d.Connect(s, blocking(c)) })
		}
	}
	return a.App()
}

// OnSync is [On] for blocking handlers.
func OnSync[S, T any](typ layers.Type[T], h func(s *S, c *SyncConn, v T) error) Handler[S] {
	mustHandle[S](h == nil, "for message type %q", typ)
	return On(typ, async1(nil, h))
}

// async1 makes a context-aware handler of a blocking one with one argument; nil stays nil.
func async1[S, V any](limit *Limit, h func(*S, *SyncConn, V) error) func(*S, context.Context, *Conn, V) error {
	if h == nil {
		return nil
	}
	return func(s *S, ctx context.Context, c *Conn, v V) error {
		return limit.run(ctx, func() error { return h(s, blocking(c), v) })
	}
}

// limited puts the handlers of layer messages under a limit.
func limited[S any](limit *Limit, list []Handler[S]) []Handler[S] {
	if limit == nil {
		return list
	}
	bounded := make([]Handler[S], len(list))
	for i, h := range list {
		bounded[i] = Handler[S]{h.name, func(s *S, ctx context.Context, c *Conn, m layers.Message) error {
			return limit.run(ctx, func() error { return h.call(s, ctx, c, m) })
		}}
	}
	return bounded
}

// syncTime is what each operation of a SyncConn may take.
const syncTime = 10 * time.Second

// A SyncConn is a [Conn] for blocking handlers: the same methods without a ctx, each with 10 s.
type SyncConn Conn

// blocking shows a Conn to a blocking handler.
func blocking(c *Conn) *SyncConn { return (*SyncConn)(c) }

// async is the Conn that s is.
func (s *SyncConn) async() *Conn { return (*Conn)(s) }

// do runs one operation. It outlasts the connection's ctx, because blocking handlers do, too.
func (s *SyncConn) do(op func(ctx context.Context, c *Conn) error) error {
	base := s.life.base
	if s.observation != nil {
		base = s.observation.context(base) // of the handler, perhaps, with its span
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(base), syncTime)
	defer cancel()
	return op(ctx, s.async())
}

// Scope is [Conn.Scope].
func (s *SyncConn) Scope() *asgi.Scope { return s.scope }

// ChannelLayer is [Conn.ChannelLayer].
func (s *SyncConn) ChannelLayer() *layers.Layer { return s.layer }

// ChannelName is [Conn.ChannelName].
func (s *SyncConn) ChannelName() string { return s.channel }

// Accept is [Conn.Accept].
func (s *SyncConn) Accept(answer asgi.WebSocketAccept) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.Accept(ctx, answer) })
}

// SendText is [Conn.SendText].
func (s *SyncConn) SendText(text string) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.SendText(ctx, text) })
}

// SendBinary is [Conn.SendBinary].
func (s *SyncConn) SendBinary(data []byte) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.SendBinary(ctx, data) })
}

// SendJSON is [Conn.SendJSON].
func (s *SyncConn) SendJSON(v any) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.SendJSON(ctx, v) })
}

// SendFrame is [Conn.SendFrame].
func (s *SyncConn) SendFrame(f asgi.Frame) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.SendFrame(ctx, f) })
}

// SendEvent is [Conn.SendEvent].
func (s *SyncConn) SendEvent(ev asgi.Event) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.SendEvent(ctx, ev) })
}

// Close is [Conn.Close].
func (s *SyncConn) Close(code int, reason string) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.Close(ctx, code, reason) })
}

// StartResponse is [Conn.StartResponse].
func (s *SyncConn) StartResponse(status int, header http.Header) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.StartResponse(ctx, status, header) })
}

// SendBody is [Conn.SendBody].
func (s *SyncConn) SendBody(body []byte, more bool) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.SendBody(ctx, body, more) })
}

// Respond is [Conn.Respond].
func (s *SyncConn) Respond(status int, header http.Header, body []byte) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.Respond(ctx, status, header, body) })
}

// LastEventID is [Conn.LastEventID].
func (s *SyncConn) LastEventID() string { return s.async().LastEventID() }

// StartSSE is [Conn.StartSSE].
func (s *SyncConn) StartSSE(header http.Header) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.StartSSE(ctx, header) })
}

// SendSSE is [Conn.SendSSE].
func (s *SyncConn) SendSSE(event SSE) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.SendSSE(ctx, event) })
}

// GroupAdd is [Conn.GroupAdd].
func (s *SyncConn) GroupAdd(group string) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.GroupAdd(ctx, group) })
}

// GroupDiscard is [Conn.GroupDiscard].
func (s *SyncConn) GroupDiscard(group string) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.GroupDiscard(ctx, group) })
}

// GroupSend is [Conn.GroupSend].
func (s *SyncConn) GroupSend(group string, m layers.Message) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.GroupSend(ctx, group, m) })
}

// SendTo is [Conn.SendTo].
func (s *SyncConn) SendTo(channel string, m layers.Message) error {
	return s.do(func(ctx context.Context, c *Conn) error { return c.SendTo(ctx, channel, m) })
}

// Go is [Conn.Go].
func (s *SyncConn) Go(work func(ctx context.Context) error) { s.async().Go(work) }
