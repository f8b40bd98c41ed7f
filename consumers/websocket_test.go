package consumers_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// TestEcho: Case 100. Both kinds of message come and go as they are, and the hook gets the code.
func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan asgi.DisconnectError, 1)
		site, _ := site(t, socket{
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				return c.Accept(ctx, asgi.WebSocketAccept{})
			},
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				return c.SendText(ctx, text)
			},
			Binary: func(_ *none, ctx context.Context, c *consumers.Conn, data []byte) error {
				return c.SendBinary(ctx, data)
			},
			Disconnect: func(_ *none, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
				ends <- why
				return nil
			},
		}.App())
		ws := site.Dial("/")
		ws.SendText("hello")
		ws.ExpectText("hello")
		ws.SendText("a\x00b")
		ws.ExpectText("a\x00b")
		ws.SendBinary([]byte("w\x00\x00\x00"))
		ws.ExpectBinary([]byte("w\x00\x00\x00"))
		ws.SendText("") // case 110: empty messages are messages
		ws.ExpectText("")
		ws.SendBinary(nil)
		ws.ExpectBinary([]byte{})
		ws.Close(4321, "enough")
		if err := ws.Wait(); err != nil {
			t.Error(err)
		}
		if why := told(t, ends); why != (asgi.DisconnectError{Code: 4321, Reason: "enough", By: asgi.ByClient}) {
			t.Errorf("case 100: Disconnect was told %+v", why)
		}
	})
}

// TestHandshake: what Connect does, and what the client gets.
func TestHandshake(t *testing.T) {
	options := &asgitest.Options{Subprotocols: []string{"one", "two"}}
	for _, c := range []struct {
		name     string
		connect  func(ctx context.Context, c *consumers.Conn) error
		status   int // of the refusal; 0: accepted
		code     int
		protocol string
		header   string
		body     string
	}{
		{name: "case 107: nothing accepts, as C6 promises", connect: nil},
		{name: "case 101: a subprotocol", protocol: "two", connect: func(ctx context.Context, c *consumers.Conn) error {
			if p := c.Scope().Subprotocols(); len(p) != 2 || p[1] != "two" {
				return errors.New("the scope does not list what the client offers")
			}
			return c.Accept(ctx, asgi.WebSocketAccept{Subprotocol: "two"})
		}},
		{name: "case 104: headers", header: "yes", connect: func(ctx context.Context, c *consumers.Conn) error {
			return c.Accept(ctx, asgi.WebSocketAccept{Header: http.Header{"X-Test": {"yes"}}})
		}},
		{name: "case 104: headers, by the event", header: "yes", connect: func(ctx context.Context, c *consumers.Conn) error {
			return c.SendEvent(ctx, asgi.WebSocketAccept{Header: http.Header{"X-Test": {"yes"}}})
		}},
		{name: "case 106: Deny", status: 403, connect: func(ctx context.Context, c *consumers.Conn) error {
			return asgi.Deny{}
		}},
		{name: "Deny, with all it has", status: 401, header: "yes", body: "who are you?", connect: func(ctx context.Context, c *consumers.Conn) error {
			return asgi.Deny{Status: 401, Header: http.Header{"X-Test": {"yes"}}, Body: []byte("who are you?")}
		}},
		{name: "case 106: close before the accept", status: 403, code: 4005, connect: func(ctx context.Context, c *consumers.Conn) error {
			return c.Close(ctx, 4005, "why")
		}},
		{name: "case 106: close before the accept, by the event", status: 403, code: 4005, connect: func(ctx context.Context, c *consumers.Conn) error {
			return c.SendEvent(ctx, asgi.WebSocketClose{Code: 4005, Reason: "why"})
		}},
		{name: "a close code as the error", status: 403, code: 4005, connect: func(ctx context.Context, c *consumers.Conn) error {
			return asgi.CloseError{Code: 4005, Reason: "why"}
		}},
		{name: "ErrStop", status: 403, code: 1000, connect: func(ctx context.Context, c *consumers.Conn) error {
			return consumers.ErrStop
		}},
		{name: "any other error", status: 500, connect: func(ctx context.Context, c *consumers.Conn) error {
			return errors.New("boom")
		}},
		{name: "a denial response", status: 451, header: "yes", body: "part two", connect: func(ctx context.Context, c *consumers.Conn) error {
			return errors.Join(
				c.SendEvent(ctx, asgi.WebSocketHTTPResponseStart{Status: 451, Header: http.Header{"X-Test": {"yes"}}}),
				c.SendEvent(ctx, asgi.WebSocketHTTPResponseBody{Body: []byte("part "), MoreBody: true}),
				c.SendEvent(ctx, asgi.WebSocketHTTPResponseBody{Body: []byte("two")}))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := socket{}
				if c.connect != nil {
					table.Connect = func(_ *none, ctx context.Context, conn *consumers.Conn) error { return c.connect(ctx, conn) }
				}
				site, _ := site(t, table.App())
				site = site.With(options)
				if c.status == 0 {
					ws := site.Dial("/")
					if ws.Subprotocol() != c.protocol || ws.Header().Get("X-Test") != c.header {
						t.Errorf("accepted with subprotocol %q and header %q, want %q and %q", ws.Subprotocol(), ws.Header().Get("X-Test"), c.protocol, c.header)
					}
					ws.Disconnect()
					return
				}
				r := site.Refused("/")
				if r.Status != c.status || r.Code != c.code || r.Header.Get("X-Test") != c.header || string(r.Body) != c.body {
					t.Errorf("the client got %v, want %d %d %q %q", r, c.status, c.code, c.header, c.body)
				}
			})
		})
	}
}

// TestClose: what a handler does to end an open connection, and what the client gets.
func TestClose(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   func(ctx context.Context, c *consumers.Conn) error
		code   int
		reason string
		first  string // a message before it
	}{
		{"case 105: code and reason", func(ctx context.Context, c *consumers.Conn) error {
			return c.Close(ctx, 4007, "test reason")
		}, 4007, "test reason", ""},
		{"no code", func(ctx context.Context, c *consumers.Conn) error { return c.Close(ctx, 0, "") }, 1000, "", ""},
		{"case 108: a message, then the close", func(ctx context.Context, c *consumers.Conn) error {
			return errors.Join(c.SendText(ctx, "last"), c.Close(ctx, 0, ""))
		}, 1000, "", "last"},
		{"case 108: a message, then a close with a code", func(ctx context.Context, c *consumers.Conn) error {
			return errors.Join(c.SendText(ctx, "last"), c.Close(ctx, 4003, ""))
		}, 4003, "", "last"},
		{"a message, then an error that closes", func(ctx context.Context, c *consumers.Conn) error {
			return errors.Join(c.SendText(ctx, "last"), asgi.CloseError{Code: 4004, Reason: "so"})
		}, 4004, "so", "last"},
		{"a message, then ErrStop", func(ctx context.Context, c *consumers.Conn) error {
			return errors.Join(c.SendText(ctx, "last"), consumers.ErrStop)
		}, 1000, "", "last"},
		{"a code that is not for applications", func(ctx context.Context, c *consumers.Conn) error {
			return asgi.CloseError{Code: 1006}
		}, 1011, "", ""},
		{"a reason that is too long", func(ctx context.Context, c *consumers.Conn) error {
			return asgi.CloseError{Code: 4000, Reason: strings.Repeat("x", 124)}
		}, 1011, "", ""},
		{"Close with a code that is not for applications", func(ctx context.Context, c *consumers.Conn) error {
			return c.Close(ctx, 1005, "")
		}, 1011, "", ""},
		{"Deny after the accept", func(ctx context.Context, c *consumers.Conn) error { return asgi.Deny{} }, 1011, "", ""},
	} {
		for _, slow := range []bool{false, true} { // with one goroutine and with two
			name := c.name
			if slow {
				name += ", late"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					site, _ := site(t, socket{Text: func(_ *none, ctx context.Context, conn *consumers.Conn, text string) error {
						if slow {
							rest(ctx, 5*handlerTime)
						}
						return c.text(ctx, conn)
					}}.App())
					ws := site.Dial("/")
					ws.SendText("end it")
					if c.first != "" {
						ws.ExpectText(c.first)
					}
					ws.ExpectClose(c.code, c.reason)
					_ = ws.Wait() // what comes back as an error is TestReturn's
				})
			})
		}
	}
}

// TestGroups: Case 102. The table's groups are joined before Connect and left after Disconnect.
func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := make(chan string, 1)
		site, layer := site(t, socket{
			Groups: []string{"chat"},
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				return c.GroupSend(ctx, "chat", noted.With(note{Text: "in Connect"}))
			},
			Disconnect: func(_ *none, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
				names <- c.ChannelName()
				return c.GroupSend(ctx, "chat", noted.With(note{Text: "in Disconnect"}))
			},
			Forward: consumers.Types(noted),
		}.App())
		ws := site.Dial("/")
		ws.ExpectJSON(note{Text: "in Connect"})
		ws.Disconnect()
		before := layer.Stats().Delivered
		if err := layer.GroupSend(t.Context(), "chat", noted.With(note{})); err != nil {
			t.Fatal(err)
		}
		if layer.Stats().Delivered != before {
			t.Error("case 102: the group has a member after its connection has ended")
		}
		if err := layer.Send(t.Context(), told(t, names), noted.With(note{})); !errors.Is(err, layers.ErrNoChannel) {
			t.Errorf("case 102: a send to the channel of an ended connection gave %v, want ErrNoChannel", err)
		}
	})
}

// TestConnectFailsAfterGroupAdd: Case 115. A membership ends also where Connect fails after it.
func TestConnectFailsAfterGroupAdd(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("boom") },
		"deny":  func() error { return asgi.Deny{} },
		"panic": func() error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, layer := site(t, socket{
					Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
						if err := c.GroupAdd(ctx, "chat"); err != nil {
							t.Error(err)
						}
						return fail()
					},
					Forward: consumers.Types(noted),
				}.App())
				ws := site.Open("/")
				_ = ws.Wait()
				if err := layer.GroupSend(t.Context(), "chat", noted.With(note{})); err != nil {
					t.Fatal(err)
				}
				if s := layer.Stats(); s.Delivered != 0 || len(s.Dropped) != 0 {
					t.Errorf("case 115: the group has a member after a Connect that failed: %+v", s)
				}
			})
		})
	}
}

// TestKinds: Case 111. A message has one kind, and goes to its handler.
func TestKinds(t *testing.T) {
	say := func(what string) func(*none, context.Context, *consumers.Conn) error {
		return func(_ *none, ctx context.Context, c *consumers.Conn) error { return c.SendText(ctx, what) }
	}
	text := func(s *none, ctx context.Context, c *consumers.Conn, _ string) error { return say("Text")(s, ctx, c) }
	binary := func(s *none, ctx context.Context, c *consumers.Conn, _ []byte) error { return say("Binary")(s, ctx, c) }
	frame := func(s *none, ctx context.Context, c *consumers.Conn, f asgi.Frame) error { return c.SendFrame(ctx, f) }
	for _, c := range []struct {
		name         string
		table        socket
		text, binary string // what comes back; "1003 ..." is a close, "" nothing
	}{
		{"case 111: both", socket{Text: text, Binary: binary, Frame: frame}, "Text", "Binary"},
		{"text only", socket{Text: text}, "Text", "1003 text messages only"},
		{"binary only", socket{Binary: binary}, "1003 binary messages only", "Binary"},
		{"text and any", socket{Text: text, Frame: frame}, "Text", "<binary>"},
		{"any", socket{Frame: frame}, "<text>", "<binary>"},
		{"none", socket{}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, _ := site(t, c.table.App())
				for _, kind := range []struct {
					send func(*asgitest.WebSocket)
					want string
				}{
					{func(ws *asgitest.WebSocket) { ws.SendText("<text>") }, c.text},
					{func(ws *asgitest.WebSocket) { ws.SendBinary([]byte("<binary>")) }, c.binary},
				} {
					ws := site.Dial("/")
					kind.send(ws)
					if reason, closed := strings.CutPrefix(kind.want, "1003 "); closed {
						ws.ExpectClose(1003, reason)
						_ = ws.Wait()
						continue
					}
					switch kind.want {
					case "":
						ws.ExpectNothing()
					case "<binary>":
						ws.ExpectBinary([]byte(kind.want))
					default:
						ws.ExpectText(kind.want)
					}
					ws.Disconnect()
				}
			})
		})
	}
}

// TestJSON: what consumers.JSON takes and what it closes.
func TestJSON(t *testing.T) {
	any := consumers.JSON(func(_ *none, ctx context.Context, c *consumers.Conn, v any) error { return c.SendJSON(ctx, v) })
	typed := consumers.JSON(func(_ *none, ctx context.Context, c *consumers.Conn, v note) error { return c.SendJSON(ctx, v) })
	for _, c := range []struct {
		name    string
		handler func(*none, context.Context, *consumers.Conn, string) error
		text    string
		want    string // "" is a close with 1007
	}{
		{"case 113: an object", any, `{"hello":"world"}`, `{"hello":"world"}`},
		{"case 114: null", any, `null`, `null`},
		{"case 114: an array", any, `[1,"two"]`, `[1,"two"]`},
		{"case 114: a string", any, `"text"`, `"text"`},
		{"case 114: malformed", any, `{"a":`, ""},
		{"case 114: empty", any, ``, ""},
		{"two values", any, `1 2`, ""},
		{"an object that fits", typed, `{"text":"x","n":3}`, `{"text":"x","n":3}`},
		{"an object that does not fit", typed, `{"text":3}`, ""},
		{"an array where an object is meant", typed, `[]`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, _ := site(t, socket{Text: c.handler}.App())
				ws := site.Dial("/")
				ws.SendText(c.text)
				if c.want != "" {
					ws.ExpectText(c.want)
					ws.SendBinary([]byte(c.text)) // case 113: a binary message is none of this consumer's
					ws.ExpectClose(1003, "text messages only")
					_ = ws.Wait()
					return
				}
				ws.ExpectClose(1007, "invalid JSON")
				err := ws.Wait()
				var panicked *asgi.PanicError
				if errors.As(err, &panicked) {
					t.Errorf("bad JSON came with a stack: %v", err)
				}
			})
		})
	}
}
