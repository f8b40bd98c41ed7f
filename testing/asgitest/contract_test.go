package asgitest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// in is a connection whose app runs on the test's own goroutine, for tests of what the server does with it.
type in struct {
	ctx     context.Context
	receive asgi.Receive
	send    asgi.Send
	end     chan error // what the app returns
}

// inside makes an app that hands its arguments to the test, and returns when the test says so.
func inside() (asgi.App, func() *in) {
	conns := make(chan *in, 1)
	app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		c := &in{ctx, receive, send, make(chan error, 1)}
		conns <- c
		select {
		case err := <-c.end:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	return app, func() *in { return <-conns }
}

// must fails the test unless the app's event was taken.
func (c *in) must(t *testing.T, events ...asgi.Event) {
	t.Helper()
	for _, e := range events {
		if err := c.send(c.ctx, e); err != nil {
			t.Fatalf("send %T: %v", e, err)
		}
	}
}

// next is what Receive yields.
func (c *in) next(t *testing.T) asgi.Event {
	t.Helper()
	e, err := c.receive(context.Background())
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	return e
}

// An event that does not fit the state of a WebSocket is an error to the app that says what to send instead, and nothing
// reaches the client.
func TestWebSocketStateErrors(t *testing.T) {
	accept, start := asgi.WebSocketAccept{}, asgi.WebSocketHTTPResponseStart{Status: 401}
	for _, c := range []struct {
		name   string
		before []asgi.Event
		event  asgi.Event
		want   string
	}{
		{"send before accept", nil, text("hi"), "send websocket.send: the WebSocket is not accepted yet: send asgi.WebSocketAccept first"},
		{"flush before accept", nil, asgi.WebSocketFlush{}, "not accepted yet"},
		{"body before start", nil, asgi.WebSocketHTTPResponseBody{}, "no denial response has begun: send asgi.WebSocketHTTPResponseStart first"},
		{"second accept", []asgi.Event{accept}, accept, "accepted already"},
		{"refusal after accept", []asgi.Event{accept}, start, "accepted already"},
		{"accept after refusal", []asgi.Event{start}, accept, "is being refused"},
		{"close in a refusal", []asgi.Event{start}, asgi.WebSocketClose{}, "is being refused"},
		{"unoffered subprotocol", nil, asgi.WebSocketAccept{Subprotocol: "v3"}, `did not offer subprotocol "v3": choose one of ["v1" "v2"]`},
		{"subprotocol as a header", nil, asgi.WebSocketAccept{Header: http.Header{"Sec-Websocket-Protocol": {"v1"}}}, "set Subprotocol instead"},
		{"server's header", nil, asgi.WebSocketAccept{Header: http.Header{"Upgrade": {"x"}}}, "Header has Upgrade"},
		{"bad header", nil, asgi.WebSocketAccept{Header: http.Header{"A b": {"x"}}}, `header name "A b"`},
		{"smuggled header", nil, asgi.WebSocketAccept{Header: http.Header{"A": {"x\r\nB: c"}}}, "leave out line breaks"},
		{"close 1006", []asgi.Event{accept}, asgi.WebSocketClose{Code: 1006}, "code 1006 is not for applications"},
		{"close 999 before accept", nil, asgi.WebSocketClose{Code: 999}, "code 999 is not for applications"},
		{"long reason", []asgi.Event{accept}, asgi.WebSocketClose{Reason: strings.Repeat("x", 124)}, "the reason has 124 bytes: use at most 123"},
		{"reason not UTF-8", []asgi.Event{accept}, asgi.WebSocketClose{Reason: "\xff"}, "not UTF-8"},
		{"text not UTF-8", []asgi.Event{accept}, text("\xff"), "send it as a binary frame"},
		{"refusal without status", nil, asgi.WebSocketHTTPResponseStart{}, "Status is missing"},
		{"refusal with 101", nil, asgi.WebSocketHTTPResponseStart{Status: 101}, "status 101"},
		{"of another protocol", []asgi.Event{accept}, asgi.HTTPResponseStart{Status: 200}, `asgi.HTTPResponseStart is not for an app to send in a scope of type "websocket"`},
		{"a pointer", []asgi.Event{accept}, &asgi.WebSocketClose{}, "events travel by value, leave out the &"},
		{"nil", []asgi.Event{accept}, nil, "the event is nil"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app, next := inside()
				site := asgitest.New(t, app).With(&asgitest.Options{Subprotocols: []string{"v1", "v2"}})
				ws, conn := site.Open("/"), next()
				conn.must(t, c.before...)
				for range c.before {
					ws.Receive()
				}
				if err := conn.send(conn.ctx, c.event); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got error %v, want %q in it", err, c.want)
				}
				ws.ExpectNothing()
			})
		})
	}
}

// The same for a response.
func TestHTTPStateErrors(t *testing.T) {
	start := asgi.HTTPResponseStart{Status: 200}
	sized := asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Content-Length": {"3"}}}
	more := asgi.HTTPResponseBody{Body: []byte("ab"), MoreBody: true}
	last := asgi.HTTPResponseBody{Body: []byte("ab")}
	for _, c := range []struct {
		name   string
		before []asgi.Event
		event  asgi.Event
		want   string
	}{
		{"body before start", nil, last, "send http.response.body: the response has not begun: send asgi.HTTPResponseStart first"},
		{"second start", []asgi.Event{start}, start, "a request has one response"},
		{"no status", nil, asgi.HTTPResponseStart{}, "Status is missing"},
		{"interim status", nil, asgi.HTTPResponseStart{Status: 103}, "status 103"},
		{"bad header", nil, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"A": {"\n"}}}, "line breaks"},
		{"bad length", nil, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Content-Length": {"x"}}}, `Content-Length is "x"`},
		{"longer than declared", []asgi.Event{sized, more}, last, "the body has 4 bytes, more than the 3 of Content-Length"},
		{"shorter than declared", []asgi.Event{sized}, last, "ends 1 bytes before Content-Length does"},
		{"body of a 204", []asgi.Event{asgi.HTTPResponseStart{Status: 204}}, last, "a response with status 204 has no body"},
		{"unannounced trailers", []asgi.Event{start, more}, asgi.HTTPResponseTrailers{}, "set Trailers in the start"},
		{"body for trailers", []asgi.Event{asgi.HTTPResponseStart{Status: 200, Trailers: true}, last}, more, "send asgi.HTTPResponseTrailers"},
		{"late hint", []asgi.Event{start, more}, asgi.HTTPResponseEarlyHint{}, "before the first asgi.HTTPResponseBody"},
		{"push", nil, asgi.HTTPResponsePush{}, "does not have the extension http.response.push"},
		{"relative path", []asgi.Event{start}, asgi.HTTPResponsePathSend{Path: "x"}, `"x" is not an absolute path`},
		{"no such file", []asgi.Event{start}, asgi.HTTPResponsePathSend{Path: "/no/such"}, "no such file"},
		{"no file", []asgi.Event{start}, asgi.HTTPResponseZeroCopySend{}, "File is nil"},
		{"of another protocol", []asgi.Event{start}, asgi.WebSocketAccept{}, `asgi.WebSocketAccept is not for an app to send in a scope of type "http"`},
		{"nil", nil, nil, "the event is nil"},
	} {
		t.Run(c.name, func(t *testing.T) {
			app, next := inside()
			asgitest.New(t, app).Stream("GET", "/")
			conn := next()
			conn.must(t, c.before...)
			if err := conn.send(conn.ctx, c.event); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q in it", err, c.want)
			}
		})
	}
}

// The queue is bounded: Send waits for the client to read; with an ended ctx it takes the event at once or returns ErrFull;
// an empty queue takes any one message; after the end there is ErrClosed.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, next := inside()
		site := asgitest.New(t, app).With(&asgitest.Options{Queue: 100})
		ws, conn := site.Open("/"), next()
		conn.must(t, asgi.WebSocketAccept{})
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		big := strings.Repeat("x", 1000)
		if err := conn.send(ended, text(big)); err != nil {
			t.Fatalf("an empty queue must take any one message, also with an ended ctx: %v", err)
		}
		if err := conn.send(ended, text("")); err != asgi.ErrFull {
			t.Fatalf("a full queue with an ended ctx: got %v, want %v", err, asgi.ErrFull)
		}
		limited, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := conn.send(limited, text("")); !errors.Is(err, asgi.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a ctx that ends while Send waits: got %v", err)
		}
		sent := make(chan error)
		go func() { sent <- conn.send(conn.ctx, text("after")) }()
		synctest.Wait()
		select {
		case err := <-sent:
			t.Fatalf("Send must wait while the queue is full, it returned %v", err)
		default:
		}
		ws.Receive()
		ws.ExpectText(big)
		ws.ExpectText("after")
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		conn.must(t, text(big))
		go func() { sent <- conn.send(conn.ctx, text("never")) }()
		synctest.Wait()
		ws.Drop()
		if err := <-sent; !errors.Is(err, asgi.ErrClosed) {
			t.Errorf("the end while Send waits: got %v, want %v", err, asgi.ErrClosed)
		}
		if err := conn.send(conn.ctx, text("never")); err != asgi.ErrClosed {
			t.Errorf("Send after the end: got %v, want %v", err, asgi.ErrClosed)
		}
	})
}

// A client that reads nothing is cut when the queue has been full for WriteTimeout.
func TestClientThatDoesNotReadIsCut(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(*asgitest.Site)
		send []asgi.Event
	}{
		{"websocket", func(s *asgitest.Site) { s.Open("/") }, []asgi.Event{asgi.WebSocketAccept{}, text("0123456789")}},
		{"http", func(s *asgitest.Site) { s.Stream("GET", "/") },
			[]asgi.Event{asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{Body: []byte("0123456789"), MoreBody: true}}},
		{"raw", func(s *asgitest.Site) { s.Raw(asgi.NewScope(asgi.Fields{})) }, []asgi.Event{text("0123456789"), text("0123456789")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app, next := inside()
				c.open(asgitest.New(t, app).With(&asgitest.Options{Queue: 40, WriteTimeout: 3 * time.Second}))
				conn, begin := next(), time.Now()
				conn.must(t, c.send[0])
				var err error
				for err == nil {
					err = conn.send(conn.ctx, c.send[1])
				}
				if err != asgi.ErrClosed || time.Since(begin) != 3*time.Second {
					t.Errorf("got %v after %v, want %v after 3s", err, time.Since(begin), asgi.ErrClosed)
				}
				var d asgi.DisconnectError
				if !errors.As(context.Cause(conn.ctx), &d) || d.By != asgi.ByNetwork {
					t.Errorf("ctx ended with %v, want a DisconnectError by the network", context.Cause(conn.ctx))
				}
			})
		})
	}
}

// A client that has read a little, but not enough for a message that waits, is cut too.
func TestClientThatStopsReadingIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, next := inside()
		ws := asgitest.New(t, app).With(&asgitest.Options{Queue: 30}).Open("/")
		conn, begun := next(), time.Now()
		conn.must(t, asgi.WebSocketAccept{}, text("1"), text("2"))
		sent := make(chan error)
		go func() { sent <- conn.send(conn.ctx, text("as long as two")) }()
		synctest.Wait()
		ws.Receive()
		ws.Receive()
		if err := <-sent; err != asgi.ErrClosed || time.Since(begun) != 10*time.Second {
			t.Errorf("got %v after %v, want %v after 10s", err, time.Since(begun), asgi.ErrClosed)
		}
	})
}

// Frames sent with More stay back until an event without More, a flush, a Receive that has to wait, or a full queue.
func TestMoreHoldsBack(t *testing.T) {
	held := func(s string) asgi.Event { return asgi.WebSocketSend{Frame: asgi.TextFrame(s), More: true} }
	for _, c := range []struct {
		name    string
		release func(*in, *testing.T)
	}{
		{"send", func(conn *in, t *testing.T) { conn.must(t, text("2")) }},
		{"flush", func(conn *in, t *testing.T) { conn.must(t, asgi.WebSocketFlush{}, text("2")) }},
		{"close", func(conn *in, t *testing.T) { conn.must(t, held("2"), asgi.WebSocketClose{}) }},
		{"full queue", func(conn *in, t *testing.T) {
			_ = conn.send(conn.ctx, held(strings.Repeat("x", 200)))
			conn.must(t, held("2"), asgi.WebSocketFlush{})
		}},
		{"return", func(conn *in, t *testing.T) { conn.must(t, held("2")); conn.end <- nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app, next := inside()
				ws := asgitest.New(t, app).With(&asgitest.Options{Queue: 100}).Open("/")
				conn := next()
				conn.must(t, asgi.WebSocketAccept{}, held("1"))
				ws.Receive()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if e, err := ws.Next(ctx); err == nil {
					t.Fatalf("got %v before it was released", e)
				}
				done := make(chan struct{})
				go func() { defer close(done); c.release(conn, t) }()
				ws.ExpectText("1")
				if c.name == "full queue" {
					ws.ReceiveText()
				}
				ws.ExpectText("2")
				<-done
			})
		})
	}
}

// A Receive that has to wait releases what More held back: the client may be waiting for it.
func TestReceiveReleasesWhatMoreHeldBack(t *testing.T) {
	app, next := inside()
	ws := asgitest.New(t, app).Open("/")
	conn := next()
	conn.must(t, asgi.WebSocketAccept{}, asgi.WebSocketSend{Frame: asgi.TextFrame("question"), More: true})
	answer := make(chan asgi.Event)
	go func() {
		conn.next(t) // the connect
		answer <- conn.next(t)
	}()
	ws.Receive()
	ws.ExpectText("question")
	ws.SendText("answer")
	if got := (<-answer).(asgi.WebSocketReceive); string(got.Frame.Data) != "answer" {
		t.Errorf("got %v", got)
	}
}

// Receive yields the connect, the messages and one disconnect, then ErrClosed; ctx ends with the cause: at once when the
// connection is lost, 10 s later when it was closed.
func TestHowAConnectionEnds(t *testing.T) {
	hello := asgi.WebSocketReceive{Frame: asgi.TextFrame("hello")}
	for _, c := range []struct {
		name  string
		end   func(*asgitest.WebSocket, *in)
		event asgi.WebSocketDisconnect
		kept  bool // a message that was not received yet is delivered before
		after time.Duration
	}{
		{"client closes", func(ws *asgitest.WebSocket, _ *in) { ws.Close(4001, "bye") },
			asgi.WebSocketDisconnect{Code: 4001, Reason: "bye", By: asgi.ByClient}, true, 10 * time.Second},
		{"client closes without a code", func(ws *asgitest.WebSocket, _ *in) { ws.Close(1005, "") },
			asgi.WebSocketDisconnect{Code: 1005, By: asgi.ByClient}, true, 10 * time.Second},
		{"lost", func(ws *asgitest.WebSocket, _ *in) { ws.Drop() },
			asgi.WebSocketDisconnect{Code: 1006, By: asgi.ByNetwork}, true, 0},
		{"app closes", func(_ *asgitest.WebSocket, conn *in) {
			_ = conn.send(conn.ctx, asgi.WebSocketClose{Code: 4002, Reason: "enough"})
		}, asgi.WebSocketDisconnect{Code: 4002, Reason: "enough", By: asgi.ByApp}, false, 10 * time.Second},
		{"text not UTF-8", func(ws *asgitest.WebSocket, _ *in) { ws.SendText("\xff") },
			asgi.WebSocketDisconnect{Code: 1007, Reason: "the text is not UTF-8", By: asgi.ByServer}, true, 10 * time.Second},
		{"too big", func(ws *asgitest.WebSocket, _ *in) { ws.SendBinary(make([]byte, 1<<20+1)) },
			asgi.WebSocketDisconnect{Code: 1009, Reason: "the message has more than 1048576 bytes", By: asgi.ByServer}, true, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app, next := inside()
				ws := asgitest.New(t, app).Open("/")
				conn := next()
				conn.next(t)
				conn.must(t, asgi.WebSocketAccept{})
				ws.Receive()
				ws.SendText("hello")
				c.end(ws, conn)
				c.end(ws, conn) // case 167: once more is harmless
				ended := time.Now()
				if c.kept {
					if got := conn.next(t); fmt.Sprint(got) != fmt.Sprint(hello) {
						t.Errorf("got %v, want the message that came before the end", got)
					}
				}
				if got := conn.next(t); got != c.event {
					t.Errorf("got %#v, want %#v", got, c.event)
				}
				if e, err := conn.receive(conn.ctx); err != asgi.ErrClosed {
					t.Errorf("Receive after the last event: got %v, %v, want %v", e, err, asgi.ErrClosed)
				}
				if err := conn.send(conn.ctx, text("late")); err != asgi.ErrClosed {
					t.Errorf("Send after the end: got %v, want %v", err, asgi.ErrClosed)
				}
				ws.SendText("late")
				<-conn.ctx.Done()
				cause := asgi.DisconnectError{Code: c.event.Code, Reason: c.event.Reason, By: c.event.By}
				if got := context.Cause(conn.ctx); got != cause || time.Since(ended) != c.after {
					t.Errorf("ctx ended with %v after %v, want %v after %v", got, time.Since(ended), cause, c.after)
				}
			})
		})
	}
}

// What the client sees when the app returns.
func TestHowAnAppEnds(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, 1000},
		{asgi.ErrClosed, 1000},
		{asgi.CloseError{Code: 4001, Reason: "bye"}, 4001},
		{fmt.Errorf("no JSON: %w", asgi.CloseError{Code: 1007}), 1007},
		{asgi.CloseError{Reason: "done"}, 1000},
		{asgi.CloseError{Code: 1006}, 1011},
		{asgi.Deny{}, 1011},
		{errBoom, 1011},
	} {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			ws := asgitest.New(t, script(c.err, asgi.WebSocketAccept{}, text("last words"))).Dial("/")
			ws.ExpectText("last words")
			if got := ws.ReceiveClose(); got.Code != c.code {
				t.Errorf("got %v, want code %d", got, c.code)
			}
		})
	}
}

// What the client sees when the app returns a close code before it has answered the handshake.
func TestCloseErrorBeforeTheAccept(t *testing.T) {
	for _, c := range []struct {
		err          error
		status, code int
	}{
		{asgi.CloseError{Code: 4001, Reason: "bye"}, 403, 4001},
		{asgi.CloseError{Reason: "bye"}, 403, 1000},
		{fmt.Errorf("wrapped: %w", asgi.CloseError{Code: 4001, Reason: "bye"}), 403, 4001},
		{asgi.CloseError{Code: 1006}, 500, 0},
	} {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			r := asgitest.New(t, script(c.err)).Refused("/")
			if r.Status != c.status || r.Code != c.code || r.Code != 0 && r.Reason != "bye" || r.Err != c.err {
				t.Errorf("got %v, %v; want status %d and code %d", r, r.Err, c.status, c.code)
			}
		})
	}
}

// A client that goes away before the answer ends ctx at once.
func TestClientLeavesDuringTheHandshake(t *testing.T) {
	for name, leave := range map[string]func(*asgitest.WebSocket){
		"drop":  (*asgitest.WebSocket).Drop,
		"close": func(ws *asgitest.WebSocket) { ws.Close(1000, "") },
	} {
		t.Run(name, func(t *testing.T) {
			app, next := inside()
			ws := asgitest.New(t, app).Open("/")
			conn := next()
			conn.next(t)
			leave(ws)
			<-conn.ctx.Done()
			if got := conn.next(t); got != (asgi.WebSocketDisconnect{Code: 1006, By: asgi.ByNetwork}) {
				t.Errorf("got %#v", got)
			}
			if err := conn.send(conn.ctx, asgi.WebSocketAccept{}); err != asgi.ErrClosed {
				t.Errorf("accept: got %v, want %v", err, asgi.ErrClosed)
			}
		})
	}
}

// A Receive whose ctx ends harms nothing, and two at once are an error to the second.
func TestReceiveObeysItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, next := inside()
		ws := asgitest.New(t, app).Open("/")
		conn := next()
		conn.next(t)
		conn.must(t, asgi.WebSocketAccept{})
		ws.Receive()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errBoom)
		defer cancel()
		if e, err := conn.receive(ctx); err != errBoom {
			t.Errorf("got %v, %v, want the cause of ctx", e, err)
		}
		got := make(chan asgi.Event)
		go func() { got <- conn.next(t) }()
		synctest.Wait()
		if e, err := conn.receive(conn.ctx); err == nil || !strings.Contains(err.Error(), "overlap") {
			t.Errorf("got %v, %v, want an error about the overlap", e, err)
		}
		ws.SendText("hi")
		if e := (<-got).(asgi.WebSocketReceive); string(e.Frame.Data) != "hi" {
			t.Errorf("got %v", e)
		}
	})
}

// Send may be called by any number of goroutines, also while Receive waits; each goroutine's messages stay in order.
func TestManySenders(t *testing.T) {
	both(t, func(t *testing.T) {
		const senders, messages = 8, 50
		app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
				return err
			}
			var all sync.WaitGroup
			for i := range senders {
				all.Go(func() {
					for j := range messages {
						if err := send(ctx, text(fmt.Sprint(i, " ", j))); err != nil {
							t.Errorf("send: %v", err)
						}
					}
				})
			}
			for event := asgi.Event(nil); event == nil || event.EventType() != "websocket.disconnect"; {
				var err error
				if event, err = receive(ctx); err != nil {
					return err
				}
			}
			all.Wait()
			return nil
		})
		ws := asgitest.New(t, app).With(&asgitest.Options{Queue: 64}).Dial("/")
		var next [senders]int
		for range senders * messages {
			var i, j int
			if _, err := fmt.Sscan(ws.ReceiveText(), &i, &j); err != nil {
				t.Fatal(err)
			}
			if j != next[i] {
				t.Fatalf("sender %d: got message %d, want %d", i, j, next[i])
			}
			next[i]++
		}
		ws.Disconnect()
	})
}

// A shutdown tells each app why, closes with 1001, and refuses handshakes with 503.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, next := inside()
		site := asgitest.New(t, app)
		ws, conn := site.Open("/"), next()
		conn.next(t)
		conn.must(t, asgi.WebSocketAccept{})
		ws.Receive()
		early, undecided := site.Open("/"), next()
		undecided.next(t)
		began := time.Now()
		site.Shutdown()

		const reason = "server is shutting down"
		ws.ExpectClose(1001, reason)
		want := asgi.WebSocketDisconnect{Code: 1001, Reason: reason, By: asgi.ByServer}
		if got := conn.next(t); got != want {
			t.Errorf("got %#v, want %#v", got, want)
		}
		if start, ok := early.Receive().(asgi.WebSocketHTTPResponseStart); !ok || start.Status != 503 {
			t.Errorf("an unanswered handshake got %v, want 503", start)
		}
		<-undecided.ctx.Done()
		if got := undecided.next(t); got != want {
			t.Errorf("got %#v, want %#v", got, want)
		}
		if r := site.Refused("/"); r.Status != 503 {
			t.Errorf("a new handshake got %v, want 503", r)
		}
		<-conn.ctx.Done()
		if took := time.Since(began); took != 5*time.Second || context.Cause(conn.ctx) != (asgi.DisconnectError)(want) {
			t.Errorf("ctx ended after %v with %v, want 5s", took, context.Cause(conn.ctx))
		}
		site.Shutdown()
	})
}

// Going away for good after a close ends ctx at once, with the cause that it would have had.
func TestDropAfterClose(t *testing.T) {
	app, next := inside()
	site := asgitest.New(t, app)
	ws, conn := site.Open("/"), next()
	conn.must(t, asgi.WebSocketAccept{})
	ws.Close(4001, "bye")
	ws.Drop()
	<-conn.ctx.Done()
	if got, want := context.Cause(conn.ctx), (asgi.DisconnectError{Code: 4001, Reason: "bye", By: asgi.ByClient}); got != want {
		t.Errorf("ctx ended with %v, want %v", got, want)
	}
	e, request := site.Stream("GET", "/"), next()
	request.must(t, asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{})
	e.Abandon()
	<-request.ctx.Done()
	if got, want := context.Cause(request.ctx), (asgi.DisconnectError{By: asgi.ByApp}); got != want {
		t.Errorf("ctx ended with %v, want %v", got, want)
	}
}

// What counts of a message is its Frame: a Prepared made of another one is ignored.
func TestPrepared(t *testing.T) {
	frame := asgi.TextFrame("hi")
	app := accepting(asgi.WebSocketSend{Frame: frame, Prepared: asgi.Prepare(frame)},
		asgi.WebSocketSend{Frame: asgi.TextFrame("changed"), Prepared: asgi.Prepare(frame)})
	ws := asgitest.New(t, app).Dial("/")
	ws.ExpectText("hi")
	ws.ExpectText("changed")
}

// A Send that had to wait is held to the state that it finds afterwards.
func TestWaitingSendersAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, next := inside()
		e := asgitest.New(t, app).With(&asgitest.Options{Queue: 40}).Stream("GET", "/")
		conn := next()
		conn.must(t, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Content-Length": {"25"}}},
			asgi.HTTPResponseBody{Body: make([]byte, 15), MoreBody: true})
		sent := make(chan error)
		for range 2 {
			go func() { sent <- conn.send(conn.ctx, asgi.HTTPResponseBody{Body: make([]byte, 7), MoreBody: true}) }()
		}
		synctest.Wait()
		e.Chunk()
		err := errors.Join(<-sent, <-sent)
		if want := "the body has 29 bytes, more than the 25 of Content-Length"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want one sender to hear that %s", err, want)
		}
	})
}
