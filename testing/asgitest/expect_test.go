package asgitest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// Case 163. Nothing is true without output and at the end; false while output waits is in TestWebSocketFailureTexts.
func TestExpectNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, echo)
		ws := site.Dial("/")
		ws.ExpectNothing()
		ws.SendText("hi")
		ws.ExpectText("hi")
		ws.ExpectNothing()
		ws.Disconnect()
		ws.ExpectNothing()

		e := asgitest.New(t, mirror).Stream("GET", "/")
		e.ExpectChunk("GET /\n")
		e.Response()
		e.ExpectNothing()
	})
	ws := asgitest.New(t, script(nil, asgi.WebSocketAccept{})).Dial("/")
	ws.ExpectClose(1000, "")
	ws.ExpectNothing() // the connection has ended, so that is certain outside of a bubble too
}

// Case 163. Outside of a bubble a marker proves that nothing came before it.
func TestMarker(t *testing.T) {
	ws := asgitest.New(t, echo).Dial("/")
	ws.SendText("marker")
	ws.ExpectText("marker")
}

// Case 164. A timeout harms nothing: the app goes on, and the event comes with the next call.
func TestTimeoutHarmsNothing(t *testing.T) {
	slow := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
			return err
		}
		select {
		case <-time.After(7 * time.Second):
		case <-ctx.Done():
			return errBoom
		}
		return send(ctx, text("at last"))
	})
	synctest.Test(t, func(t *testing.T) {
		ws := asgitest.New(t, slow).Dial("/")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if e, err := ws.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, %v", e, err)
		}
		failed := record(t, func(testing.TB) {
			limited, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, _ = ws.Next(limited)
		})
		if failed.text() != "" {
			t.Errorf("Next has failed the test: %s", failed.text())
		}
		ws.ExpectText("at last")
		ws.ExpectClose(1000, "")
	})
}

// Case 164. The same for an expectation that has failed a test.
func TestFailedExpectationHarmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{TB: t}
		ws := asgitest.New(r, echo).Dial("/")
		r.run(func() { ws.ExpectText("hi") })
		if len(r.texts) != 1 {
			t.Fatalf("got failures %q, want one", r.texts)
		}
		ws.SendText("hi")
		ws.ExpectText("hi")
		ws.Disconnect()
		r.clean()
		if len(r.texts) != 1 {
			t.Errorf("got failures %q, want one", r.texts)
		}
	})
}

// Case 165. A failure shows at once to an expectation that waits, and what was sent before it can still be read.
func TestFailureShowsAtOnce(t *testing.T) {
	app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
			return err
		}
		<-time.After(2 * time.Second)
		if err := send(ctx, text("last words")); err != nil {
			return err
		}
		return errBoom
	})
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ws := asgitest.New(t, app).Dial("/")
		ws.ExpectText("last words")
		if e := ws.Receive(); e != (asgi.WebSocketClose{Code: 1011}) {
			t.Errorf("got %v, want a close with 1011", e)
		}
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("it took %v, want 2s: when the app has failed", took)
		}
		if err := ws.Wait(); err != errBoom {
			t.Errorf("Wait: got %v, want %v", err, errBoom)
		}
	})
}

// Case 167. After a clean end, sending, closing and waiting are harmless.
func TestAfterTheEnd(t *testing.T) {
	both(t, func(t *testing.T) {
		site := asgitest.New(t, echo)
		ws := site.Dial("/")
		for range 2 {
			ws.Disconnect()
			ws.SendText("late")
			ws.SendBinary(nil)
			ws.SendJSON(1)
			ws.Close(4000, "late")
			ws.Drop()
			if err := ws.Wait(); err != nil {
				t.Errorf("Wait: %v", err)
			}
		}
		if e, err := ws.Next(t.Context()); err != asgi.ErrClosed {
			t.Errorf("got %v, %v, want %v", e, err, asgi.ErrClosed)
		}
		raw := site.Raw(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}))
		raw.Send(asgi.WebSocketDisconnect{})
		for range 2 {
			if err := raw.Wait(); err != nil {
				t.Error(err)
			}
			raw.Send(asgi.WebSocketDisconnect{})
			raw.Drop()
		}
	})
}

// Case 169. Accept headers, the subprotocol, close code and reason are seen.
func TestAcceptAndCloseAreSeen(t *testing.T) {
	app := script(nil, asgi.WebSocketAccept{Subprotocol: "v2", Header: http.Header{"X-Greeting": {"hi"}}},
		asgi.WebSocketClose{Code: 4007, Reason: "test reason"})
	ws := asgitest.New(t, app).DialWith("/", &asgitest.Options{Subprotocols: []string{"v1", "v2"}})
	if ws.Subprotocol() != "v2" || ws.Header().Get("X-Greeting") != "hi" {
		t.Errorf("subprotocol %q, header %v", ws.Subprotocol(), ws.Header())
	}
	ws.ExpectClose(4007, "test reason")
}

// The answer to a handshake that Open has begun is the first event.
func TestOpen(t *testing.T) {
	ws := asgitest.New(t, echo).Open("/")
	if e, ok := ws.Receive().(asgi.WebSocketAccept); !ok {
		t.Errorf("got %v, want the accept", e)
	}
	ws.SendText("hi")
	ws.ExpectText("hi")
	ws.Disconnect()
}

// Messages are snapshots, and what the app had sent before the client closed can still be read.
func TestSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws := asgitest.New(t, echo).Dial("/")
		data := []byte("abc")
		ws.SendBinary(data)
		data[0] = 'x'
		synctest.Wait()
		ws.Close(1000, "")
		ws.ExpectBinary([]byte("abc"))
	})
}
