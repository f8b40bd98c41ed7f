package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// teller accepts and tells the client the name of its channel.
func teller(_ *none, ctx context.Context, c *consumers.Conn) error {
	if err := c.Accept(ctx, asgi.WebSocketAccept{}); err != nil {
		return err
	}
	return c.SendText(ctx, c.ChannelName())
}

// TestUnreachable sends types that the table does not list, the names of methods and of protocol events among them.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.WarnLevel)
		var handled []string
		app := socket{
			Connect: teller,
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				handled = append(handled, text)
				return nil
			},
			Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				return c.SendText(ctx, v.Text)
			})},
			Logger: zap.New(core),
		}.App()
		site, layer := site(t, app)
		ws := site.Dial("/")
		name := ws.ReceiveText()
		for _, c := range []struct {
			name string
			typ  layers.Type[note]
		}{
			{"case 87: leading underscore", "_x"},
			{"case 87: leading dot", ".x"},
			{"case 88: no handler", "nobody.knows"},
			{"case 89: a method of ours", "send"},
			{"case 89: close", "close"},
			{"case 89: accept", "accept"},
			{"case 89: dispatch", "dispatch"},
			{"case 90: a protocol event", "websocket.receive"},
			{"case 90: the last protocol event", "websocket.disconnect"},
		} {
			before := logs.Len()
			for range 3 {
				if err := layer.Send(t.Context(), name, c.typ.With(note{Text: "x"})); err != nil {
					t.Errorf("%s: send: %v", c.name, err)
				}
			}
			if err := layer.Send(t.Context(), name, noted.With(note{Text: c.name})); err != nil {
				t.Fatal(err)
			}
			ws.ExpectText(c.name) // the connection lives, and this is the first that was handled
			if n := logs.Len() - before; n != 1 {
				t.Errorf("%s: %d lines in the log for three messages of one type, want 1", c.name, n)
			}
			if line := logs.All()[logs.Len()-1]; line.ContextMap()["type"] != string(c.typ) || !strings.Contains(line.Message, "list it in Messages or Forward") {
				t.Errorf("%s: the line is %q %v", c.name, line.Message, line.ContextMap())
			}
		}
		if len(handled) > 0 {
			t.Errorf("case 90: the client's handler was called with %q", handled)
		}
		if n := layer.Stats().Dropped[layers.DropUnlisted]; n != 27 {
			t.Errorf("%d messages were counted as unlisted, want 27", n)
		}
		ws.Disconnect()
	})
}

// TestNoType: Case 88. A message without a type cannot be made.
func TestNoType(t *testing.T) {
	defer func() {
		if text := fmt.Sprint(recover()); !strings.Contains(text, "give it a name") {
			t.Errorf("With of an empty type panicked with %s", text)
		}
	}()
	layers.Type[note]("").With(note{})
}

// TestBadPayload sends a payload that is not what the handler takes: it is dropped, and the connection goes on.
func TestBadPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.WarnLevel)
		app := socket{
			Connect: teller,
			Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				return c.SendText(ctx, v.Text)
			})},
			Forward: consumers.Types(ticked),
			Logger:  zap.New(core),
		}.App()
		site, layer := site(t, app)
		ws := site.Dial("/")
		name := ws.ReceiveText()
		bad := map[string]any{"text": []any{1, "two"}}
		for range 2 {
			for _, m := range []layers.Message{
				layers.Type[map[string]any](noted).With(bad),
				layers.Type[map[string]any](ticked).With(bad),
			} {
				if err := layer.Send(t.Context(), name, m); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := layer.Send(t.Context(), name, noted.With(note{Text: "marker"})); err != nil {
			t.Fatal(err)
		}
		ws.ExpectText("marker")
		if n := layer.Stats().Dropped[layers.DropInvalid]; n != 4 {
			t.Errorf("%d messages were counted as invalid, want 4", n)
		}
		if logs.Len() != 2 {
			t.Errorf("the log has %d lines, want one for each type", logs.Len())
		}
		ws.Disconnect()
	})
}

// TestInstances: Case 91. Each connection has a state and a scope of its own, in whatever order they talk.
func TestInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type visit struct{ path string }
		app := consumers.AsyncWebsocketConsumer[visit]{
			New: func(scope *asgi.Scope) *visit { return &visit{path: scope.Path()} },
			Text: func(s *visit, ctx context.Context, c *consumers.Conn, text string) error {
				return c.SendText(ctx, s.path+c.Scope().Path()+text)
			},
		}.App()
		site, _ := site(t, asgi.Wrap(app, func(next asgi.App) asgi.App { return next }))
		a, b := site.Dial("/a"), site.Dial("/b")
		b.SendText("1")
		a.SendText("2")
		b.SendText("3")
		a.ExpectText("/a/a2")
		b.ExpectText("/b/b1")
		b.ExpectText("/b/b3")
		a.Disconnect()
		b.Disconnect()
	})
}

// TestAlias: Case 92. A table names the layer by its alias; the scope's, where there is one, comes first.
func TestAlias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, scopes := memlayer.New(nil), memlayer.New(nil)
		layers.Register("testlayer", ours)
		defer layers.Register("testlayer", nil)
		app := socket{Layer: "testlayer", Connect: teller, Forward: consumers.Types(noted)}.App()
		plain := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket})
		for _, c := range []struct {
			scope *asgi.Scope
			layer *layers.Layer
		}{
			{plain, ours},
			{consumers.LayerKey.With(plain, scopes), scopes},
		} {
			w := connect(t, app, c.scope)
			w.in <- asgi.WebSocketConnect{}
			<-w.out
			name := string((<-w.out).(asgi.WebSocketSend).Frame.Data)
			if err := c.layer.Send(t.Context(), name, noted.With(note{Text: "hello"})); err != nil {
				t.Errorf("case 92: send to the channel of the consumer: %v", err)
			}
			synctest.Wait()
			var sent string
			for len(w.out) > 0 {
				if ev, ok := (<-w.out).(asgi.WebSocketSend); ok {
					sent += string(ev.Frame.Data)
				}
			}
			if !strings.Contains(sent, "hello") {
				t.Errorf("case 92: the consumer sent %q", sent)
			}
			w.in <- asgi.WebSocketDisconnect{Code: 1000, By: asgi.ByClient}
			if err := <-w.end; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestReturn: Case 94. ErrStop ends the app without an error; any other error reaches the server.
func TestReturn(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name      string
		err, want error
	}{
		{"case 94: ErrStop", consumers.ErrStop, nil},
		{"case 94: ErrStop, wrapped", fmt.Errorf("done: %w", consumers.ErrStop), nil},
		{"case 94: another error", boom, boom},
		{"a deliberate close", asgi.CloseError{Code: 4000}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := consumers.AsyncConsumer[none]{
					Event: func(_ *none, ctx context.Context, conn *consumers.Conn, ev asgi.Event) error {
						if _, ok := ev.(asgi.WebSocketConnect); ok {
							return c.err
						}
						return nil
					},
				}.App()
				w := connect(t, app, asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}))
				w.in <- asgi.WebSocketConnect{}
				w.in <- asgi.WebSocketDisconnect{Code: 1000}
				if err := <-w.end; !errors.Is(err, c.want) || c.want == nil && err != nil {
					t.Errorf("Serve returned %v, want %v", err, c.want)
				}
			})
		})
	}
}

// TestSlowHandler: Case 95. Events that come while a handler runs wait, and are handled in order, one at a time.
func TestSlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, _ := site(t, socket{
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				rest(ctx, 300*time.Millisecond)
				return c.SendText(ctx, text)
			},
		}.App())
		ws := site.Dial("/")
		begun := time.Now()
		for i := range 10 {
			ws.SendText(fmt.Sprint(i))
		}
		for i := range 10 {
			ws.ExpectText(fmt.Sprint(i))
		}
		if d := time.Since(begun); d != 3*time.Second {
			t.Errorf("case 95: ten handlers of 0.3 s took %v, want 3 s", d)
		}
		ws.Disconnect()
	})
}

// TestHandlerIsCancelled: Case 96. A handler that blocks hears at once that the connection was lost, and after a second
// that the client has closed it (C4).
func TestHandlerIsCancelled(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(*asgitest.WebSocket)
		after time.Duration
	}{
		"case 96: lost":   {func(ws *asgitest.WebSocket) { ws.Drop() }, 0},
		"case 96: closed": {func(ws *asgitest.WebSocket) { ws.Close(1000, "") }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cancelled := make(chan time.Time, 1)
				site, _ := site(t, socket{
					Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
						<-ctx.Done()
						cancelled <- time.Now()
						return context.Cause(ctx)
					},
				}.App())
				ws := site.Dial("/")
				ws.SendText("block")
				rest(t.Context(), 10*time.Millisecond)
				ended := time.Now()
				c.end(ws)
				if after := told(t, cancelled).Sub(ended); after != c.after {
					t.Errorf("the ctx of the handler ended after %v, want %v", after, c.after)
				}
				if err := ws.Wait(); err != nil {
					t.Errorf("the cause of ctx is no failure, but Serve returned %v", err)
				}
			})
		})
	}
}

// TestPanic: Case 97. A panic ends its connection with 1011 and comes to the server once, with the stack.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var layer *layers.Layer
		site, layer := site(t, socket{
			Groups: []string{"room"},
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				var nothing []int
				_ = nothing[len(text)]
				return nil
			},
			Forward: consumers.Types(noted),
		}.App())
		ws, other := site.Dial("/"), site.Dial("/")
		ws.SendText("boom")
		ws.ExpectClose(1011, "")
		err := ws.Wait()
		var panicked *asgi.PanicError
		if !errors.As(err, &panicked) || !strings.Contains(string(panicked.Stack), "core_test.go") {
			t.Errorf("case 97: Serve returned %v, without the stack", err)
		}
		if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: "alive"})); err != nil {
			t.Fatal(err)
		}
		other.ExpectJSON(note{Text: "alive"})
		other.Disconnect()
	})
}

// TestNeitherLaneStarves: C2 and Case 99, the other way round: a client that never pauses does not keep layer messages
// from their handler.
func TestNeitherLaneStarves(t *testing.T) {
	for _, slow := range []time.Duration{0, 100 * time.Microsecond, 2 * time.Millisecond} { // alone, and with a second goroutine
		synctest.Test(t, func(t *testing.T) {
			const flood, messages = 1000, 5
			type count struct{ events, heard int }
			state := new(count)
			app := consumers.AsyncWebsocketConsumer[count]{
				New: func(*asgi.Scope) *count { return state },
				Text: func(s *count, ctx context.Context, c *consumers.Conn, text string) error {
					rest(ctx, slow)
					if s.events++; s.events%100 != 0 || s.events > messages*100 {
						return nil
					}
					return c.SendTo(ctx, c.ChannelName(), noted.With(note{N: s.events}))
				},
				Messages: []consumers.Handler[count]{consumers.On(noted, func(s *count, ctx context.Context, c *consumers.Conn, v note) error {
					if waited := s.events - v.N; waited > 1 {
						t.Errorf("C2 broken: with handlers of %v a layer message waited for %d events of the client, want at most 1", slow, waited)
					}
					s.heard++
					return nil
				})},
			}.App()
			scope := consumers.LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), memlayer.New(nil))
			if err := app.Serve(t.Context(), scope, script(flood, "flood"), nowhere); err != nil {
				t.Error(err)
			}
			if state.events != flood || state.heard != messages {
				t.Errorf("C2 broken: %d events and %d messages were handled, want %d and %d", state.events, state.heard, flood, messages)
			}
		})
	}
}

// TestLanesTakeTurns: C2, while both lanes have something, handlers of one and of the other run by turns.
func TestLanesTakeTurns(t *testing.T) {
	for _, takes := range []time.Duration{100 * time.Microsecond, 3 * time.Millisecond} { // alone, and with a second goroutine
		synctest.Test(t, func(t *testing.T) {
			const each = 30
			type order struct{ lanes strings.Builder }
			state := new(order)
			site, layer := site(t, consumers.AsyncWebsocketConsumer[order]{
				New:    func(*asgi.Scope) *order { return state },
				Groups: []string{"room"},
				Text: func(s *order, ctx context.Context, c *consumers.Conn, text string) error {
					s.lanes.WriteByte('c')
					rest(ctx, takes)
					return nil
				},
				Messages: []consumers.Handler[order]{consumers.On(noted, func(s *order, ctx context.Context, c *consumers.Conn, v note) error {
					s.lanes.WriteByte('l')
					rest(ctx, takes)
					return nil
				})},
			}.App())
			ws := site.Dial("/")
			for range each {
				if err := layer.GroupSend(t.Context(), "room", noted.With(note{})); err != nil {
					t.Fatal(err)
				}
				ws.SendText("x")
			}
			rest(t.Context(), time.Second)
			ws.Disconnect()
			if got := state.lanes.String(); len(got) != 2*each || strings.Contains(got[:2*each-4], "ccc") || strings.Contains(got[:2*each-4], "lll") {
				t.Errorf("C2 broken: handlers of %v ran in the order %s", takes, got)
			}
		})
	}
}
