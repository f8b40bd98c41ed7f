package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// TestSetUpMistakes: what cannot be meant panics at start, naming the consumer and what to change.
func TestSetUpMistakes(t *testing.T) {
	on := consumers.On(noted, func(*none, context.Context, *consumers.Conn, note) error { return nil })
	nameless := consumers.On(layers.Type[note](""), func(*none, context.Context, *consumers.Conn, note) error { return nil })
	var nilHandler func(*none, context.Context, *consumers.Conn, note) error
	var nilSync func(*none, *consumers.SyncConn, note) error
	var nilRender func(note) (asgi.Frame, error)
	const twice = `message type "test.note" is listed twice: keep one of the lines in Messages and Forward that name it`
	const empty = `a message type is empty: give the layers.Type constant a name`
	for _, c := range []struct {
		name  string
		setUp func()
		texts []string
	}{
		{"two handlers for a type", func() { socket{Messages: []consumers.Handler[none]{on, on}}.App() }, []string{"consumers_test.none", twice}},
		{"two forwards of a type", func() { socket{Forward: consumers.Types(noted, noted)}.App() }, []string{"consumers_test.none", twice}},
		{"a handler and a forward", func() { socket{Messages: []consumers.Handler[none]{on}, Forward: consumers.Types(noted)}.App() }, []string{"consumers_test.none", twice}},
		{"two handlers, sync", func() { syncSocket{Messages: []consumers.Handler[none]{on, on}}.App() }, []string{"consumers_test.none", twice}},
		{"two handlers, sync with a limit", func() {
			consumers.SyncConsumer[none]{Limit: consumers.NewLimit(1), Messages: []consumers.Handler[none]{on, on}}.App()
		}, []string{"consumers_test.none", twice}},
		{"two handlers, HTTP", func() { request{Messages: []consumers.Handler[none]{on, on}}.App() }, []string{"consumers_test.none", twice}},
		{"two handlers, any protocol", func() { consumers.AsyncConsumer[none]{Messages: []consumers.Handler[none]{on, on}}.App() }, []string{"consumers_test.none", twice}},
		{"an empty type", func() { socket{Messages: []consumers.Handler[none]{nameless}}.App() }, []string{"consumers_test.none", empty}},
		{"an empty type in Forward", func() { socket{Forward: consumers.Types(layers.Type[note](""))}.App() }, []string{"consumers_test.none", empty}},
		{"a reserved type", func() {
			socket{Forward: consumers.Types(layers.Type[note]("layer.mine"))}.App()
		}, []string{"consumers_test.none", `message type "layer.mine" is reserved`}},
		{"a zero Handler", func() { socket{Messages: make([]consumers.Handler[none], 1)}.App() }, []string{"consumers_test.none", empty}},
		{"a zero Forwarder", func() { socket{Forward: make([]consumers.Forwarder, 1)}.App() }, []string{"consumers_test.none", empty}},
		{"a nil handler", func() { consumers.On(noted, nilHandler) }, []string{"consumers_test.none", `the handler for message type "test.note" is nil: pass a method`}},
		{"a nil blocking handler", func() { consumers.OnSync(noted, nilSync) }, []string{"consumers_test.none", `the handler for message type "test.note" is nil: pass a method`}},
		{"a nil handler in JSON", func() { consumers.JSON(nilHandler) }, []string{"consumers_test.none", "given to JSON is nil: pass a method"}},
		{"a nil handler in SyncJSON", func() { consumers.SyncJSON(nilSync) }, []string{"consumers_test.none", "given to SyncJSON is nil: pass a method"}},
		{"a nil render function", func() { consumers.Render(noted, nilRender) }, []string{`Render: the function for message type "test.note" is nil`}},
		{"a nil type", func() { consumers.Types(nil) }, []string{"Types: a type is nil: pass layers.Type constants"}},
		{"NewLimit(0)", func() { consumers.NewLimit(0) }, []string{"NewLimit(0): give the number of handlers that may run at once, at least 1"}},
		{"NewLimit(-1)", func() { consumers.NewLimit(-1) }, []string{"NewLimit(-1)"}},
		{"a negative MaxBody", func() { request{MaxBody: -1}.App() }, []string{"consumers_test.none", "MaxBody is -1: give a size in bytes, or 0 for 1 MiB"}},
		{"a group's name with a space", func() { socket{Groups: []string{"chat room"}}.App() }, []string{"consumers_test.none", "Groups", "a group name is 1 to 99 ASCII letters, digits"}},
		{"a group's name with a space, sync", func() { syncSocket{Groups: []string{"chat room"}}.App() }, []string{"consumers_test.none", "Groups"}},
		{"a negative MaxBody, sync", func() { consumers.SyncHTTPConsumer[none]{MaxBody: -1}.App() }, []string{"consumers_test.none", "MaxBody is -1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				text := fmt.Sprint(recover())
				for _, want := range append(c.texts, "consumers: ") {
					if !strings.Contains(text, want) {
						t.Errorf("the panic says %q, want %q in it", text, want)
					}
				}
			}()
			c.setUp()
		})
	}
}

// TestZeroTables: the zero value of every declaration works.
func TestZeroTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, app := range []asgi.App{socket{}.App(), syncSocket{}.App()} {
			site, _ := site(t, app)
			ws := site.Dial("/")
			ws.SendText("anybody?")
			ws.SendBinary([]byte("anybody?"))
			ws.ExpectNothing()
			ws.Disconnect()
		}
		for _, app := range []asgi.App{request{}.App(), consumers.SyncHTTPConsumer[none]{}.App()} {
			site, _ := site(t, app)
			if r := site.Request("POST", "/", "anybody?"); r.Status != 204 {
				t.Errorf("got %d, want 204", r.Status)
			}
		}
		for _, app := range []asgi.App{consumers.AsyncConsumer[none]{}.App(), consumers.SyncConsumer[none]{}.App()} {
			w := connect(t, app, asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}))
			w.in <- asgi.WebSocketConnect{}
			w.in <- asgi.WebSocketDisconnect{Code: 1000}
			if err := <-w.end; err != nil || len(w.out) != 0 {
				t.Errorf("a consumer that ignores everything sent %d events and returned %v", len(w.out), err)
			}
		}
	})
}

// TestNewcomersMistakes: what goes wrong while a connection lives is an error that says what to write instead.
func TestNewcomersMistakes(t *testing.T) {
	for _, c := range []struct {
		name    string
		connect func(ctx context.Context, c *consumers.Conn) error
		is      error
		text    string
	}{
		{"sending before the accept", func(ctx context.Context, c *consumers.Conn) error { return c.SendText(ctx, "hello") }, nil,
			"consumers: consumers_test.none: send text: asgitest: send websocket.send: the WebSocket is not accepted yet: send asgi.WebSocketAccept first; from Connect, call Conn.Accept before it"},
		{"accepting twice", func(ctx context.Context, c *consumers.Conn) error {
			return errors.Join(c.Accept(ctx, asgi.WebSocketAccept{}), c.Accept(ctx, asgi.WebSocketAccept{}))
		}, nil, "the WebSocket is accepted already"},
		{"a subprotocol that was not offered", func(ctx context.Context, c *consumers.Conn) error {
			return c.Accept(ctx, asgi.WebSocketAccept{Subprotocol: "chat"})
		}, nil, `the client did not offer subprotocol "chat"`},
		{"a group's name with a space", func(ctx context.Context, c *consumers.Conn) error { return c.GroupAdd(ctx, "chat room") }, layers.ErrInvalidName,
			"a group name is 1 to 99 ASCII letters, digits"},
		{"a group's name with an exclamation mark", func(ctx context.Context, c *consumers.Conn) error {
			return c.GroupSend(ctx, c.ChannelName(), noted.With(note{}))
		}, layers.ErrInvalidName, "a group name is 1 to 99 ASCII letters, digits"},
		{"the zero Message", func(ctx context.Context, c *consumers.Conn) error {
			return c.GroupSend(ctx, "room", layers.Message{})
		}, nil, "make one with Type.With"},
		{"a reserved type", func(ctx context.Context, c *consumers.Conn) error {
			return c.SendTo(ctx, c.ChannelName(), layers.Down.With(layers.Outage{}))
		}, nil, "reserved"},
		{"case 109: nothing to send", func(ctx context.Context, c *consumers.Conn) error { return c.SendEvent(ctx, nil) }, nil,
			"the event is nil: pass one of the structs of package asgi"},
		{"a pointer to an event", func(ctx context.Context, c *consumers.Conn) error {
			return c.SendEvent(ctx, &asgi.WebSocketSend{})
		}, nil, "leave out the &"},
		{"what JSON cannot say", func(ctx context.Context, c *consumers.Conn) error { return c.SendJSON(ctx, func() {}) }, nil,
			"consumers: consumers_test.none: send func() as JSON: json: unsupported type"},
		{"an HTTP response", func(ctx context.Context, c *consumers.Conn) error { return c.Respond(ctx, 200, nil, nil) }, nil,
			`not for an app to send in a scope of type "websocket"`},
		{"a close code that is not for applications", func(ctx context.Context, c *consumers.Conn) error { return c.Close(ctx, 1006, "") }, nil,
			"code 1006 is not for applications"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				errs := make(chan error, 1)
				site, _ := site(t, socket{Connect: func(_ *none, ctx context.Context, conn *consumers.Conn) error {
					errs <- c.connect(ctx, conn)
					return nil
				}}.App())
				ws := site.Dial("/")
				err := told(t, errs)
				ws.Disconnect() // a mistake that is not returned ends nothing
				if err == nil || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("it gave %v, want %q", err, c.text)
				}
			})
		})
	}
}

// TestNoLayer: Case 103. Layers are optional; what needs one says how to have one.
func TestNoLayer(t *testing.T) {
	const remedy = "layers.Register(layers.Default, memlayer.New(nil))"
	scope := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket})
	synctest.Test(t, func(t *testing.T) {
		app := socket{
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				if c.ChannelLayer() != nil || c.ChannelName() != "" {
					t.Error("there is a layer, or a channel")
				}
				for name, err := range map[string]error{
					"GroupAdd":     c.GroupAdd(ctx, "room"),
					"GroupDiscard": c.GroupDiscard(ctx, "room"),
					"GroupSend":    c.GroupSend(ctx, "room", noted.With(note{})),
					"SendTo":       c.SendTo(ctx, "channel", noted.With(note{})),
					"ChannelLayer": c.ChannelLayer().Send(ctx, "channel", noted.With(note{})),
				} {
					if !errors.Is(err, layers.ErrNoLayer) || !strings.Contains(err.Error(), remedy) {
						t.Errorf("case 103: %s without a layer gave %v", name, err)
					}
				}
				return nil
			},
			Messages: []consumers.Handler[none]{consumers.On(noted, func(*none, context.Context, *consumers.Conn, note) error { return nil })},
			Forward:  consumers.Types(ticked),
		}.App()
		w := connect(t, app, scope)
		w.in <- asgi.WebSocketConnect{}
		if _, ok := (<-w.out).(asgi.WebSocketAccept); !ok {
			t.Error("without a layer the connection is not accepted")
		}
		w.in <- asgi.WebSocketDisconnect{Code: 1000}
		if err := <-w.end; err != nil {
			t.Error(err)
		}

		w = connect(t, socket{Groups: []string{"room"}}.App(), scope)
		w.in <- asgi.WebSocketConnect{}
		if err := <-w.end; !errors.Is(err, layers.ErrNoLayer) || !strings.Contains(err.Error(), "consumers_test.none: join its Groups") || !strings.Contains(err.Error(), remedy) {
			t.Errorf("case 103: Groups without a layer gave %v", err)
		}
	})
}

// TestNoLayerAs: a table that names a layer which nobody has registered says which line is missing.
func TestNoLayerAs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := socket{Layer: "fleeting", Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
			return c.GroupAdd(ctx, "room")
		}}.App()
		w := connect(t, app, asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}))
		w.in <- asgi.WebSocketConnect{}
		const remedy = `consumers: consumers_test.none: join a group: no layer is registered as "fleeting"; register it at start: layers.Register("fleeting", layer)`
		if err := <-w.end; !errors.Is(err, layers.ErrNoLayer) || err.Error() != remedy {
			t.Errorf("joining gave %v, want %s", err, remedy)
		}
	})
}

// TestWrongProtocol: a consumer of one protocol refuses a scope of another.
func TestWrongProtocol(t *testing.T) {
	for _, c := range []struct {
		app  asgi.App
		typ  string
		text string
	}{
		{socket{}.App(), asgi.HTTP, `scope "http": this consumer is for "websocket", choose by routing.Protocols`},
		{request{}.App(), asgi.WebSocket, `scope "websocket": this consumer is for "http", choose by routing.Protocols`},
		{socket{}.App(), asgi.Lifespan, "routing.Protocols"},
	} {
		w := connect(t, c.app, asgi.NewScope(asgi.Fields{Type: c.typ}))
		if err := <-w.end; !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("it gave %v, want %q", err, c.text)
		}
	}
}

// TestStateFails: a New that panics is the end of its connection only.
func TestStateFails(t *testing.T) {
	app := socket{New: func(*asgi.Scope) *none { panic("boom") }}.App()
	w := connect(t, app, asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}))
	var panicked *asgi.PanicError
	if err := <-w.end; !errors.As(err, &panicked) {
		t.Errorf("Serve returned %v", err)
	}
}
