package asgitest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gorilla/websocket"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// A live server serves real clients, and ends with the test although they are still there.
func TestLive(t *testing.T) {
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if _, ok := consumers.LayerKey.Get(scope); !ok {
			return errors.New("there is no layer")
		}
		if scope.Type() == asgi.HTTP {
			return mirror(ctx, scope, receive, send)
		}
		return echo(ctx, scope, receive, send)
	})
	live := asgitest.New(t, app).Live()
	resp, err := http.Post(live.URL+"/a?b", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "POST /a\nbody" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), live.WebSocketURL+"/ws/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if err := ws.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := ws.ReadMessage(); string(text) != "hi" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
}

// A panic behind the live server fails the test too; the client is answered.
func TestLivePanic(t *testing.T) {
	panics := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { panic("oh no") })
	got := record(t, func(t testing.TB) {
		resp, err := http.Get(asgitest.New(t, panics).Live().URL + "/p")
		if err != nil {
			t.Errorf("get: %v", err)
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode != 500 {
			t.Errorf("status %d, want 500", resp.StatusCode)
		}
	})
	if len(got.texts) != 1 || !strings.HasPrefix(got.text(), "asgitest: live server: http /p: the app panicked: oh no\n") {
		t.Errorf("got %q", got.texts)
	}
}

type picture struct {
	ID int `json:"id"`
}

const resize layers.Type[picture] = "resize"

// A worker handles what is sent to its channels, and stops with the test or when told.
func TestWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan int, 10)
		thumbnails := consumers.AsyncConsumer[struct{}]{
			Messages: []consumers.Handler[struct{}]{
				consumers.On(resize, func(_ *struct{}, _ context.Context, _ *consumers.Conn, p picture) error {
					done <- p.ID
					return nil
				}),
			},
		}.App()
		site := asgitest.New(t, routing.Channels(map[string]asgi.App{"thumbnails": thumbnails}))
		stop := site.Work(consumers.Worker{Channels: []string{"thumbnails"}})
		for i := range 3 {
			if err := site.Layer().Send(t.Context(), "thumbnails", resize.With(picture{i})); err != nil {
				t.Fatal(err)
			}
			if got := <-done; got != i {
				t.Errorf("got %d, want %d", got, i)
			}
		}
		for range 2 {
			if err := stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
		}
		site.Work(consumers.Worker{Channels: []string{"thumbnails"}, Concurrency: 2})
	})
}

// A worker that cannot go on fails the test.
func TestWorkFails(t *testing.T) {
	got := record(t, func(t testing.TB) { asgitest.New(t, echo).Work(consumers.Worker{}) }).text()
	if !strings.HasPrefix(got, "asgitest: worker: ") || !strings.Contains(got, "Channels is empty") {
		t.Errorf("got %q", got)
	}
}
