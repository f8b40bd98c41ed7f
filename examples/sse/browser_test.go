package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/examples/internal/browser"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// A line is a listener whose connections a test can cut, as a lost network does.
type line struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *line) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// serveInside serves the site in this process. ids are the Last-Event-IDs with which streams were asked for.
func serveInside(t *testing.T, websocket bool) (m *market, l *line, ids *idLog) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, ids = &line{Listener: ln}, new(idLog)
	layer := memlayer.New(nil)
	m = newMarket(layer)
	app := site(m, websocket)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- server.New(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if scope.Path() == "/prices/" {
				ids.add(scope.HeaderValue("Last-Event-ID"))
			}
			return app.Serve(ctx, consumers.LayerKey.With(scope, layer), receive, send)
		}), nil).Serve(ctx, l)
	}()
	t.Cleanup(func() {
		stop()
		l.cut()
		if err := <-done; err != nil {
			t.Errorf("the server ended with: %v", err)
		}
		if err := layer.Close(context.Background()); err != nil {
			t.Errorf("the layer ended with: %v", err)
		}
	})
	return m, l, ids
}

type idLog struct {
	mu  sync.Mutex
	all []string
}

func (l *idLog) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, id)
}

func (l *idLog) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

// live waits until a page is connected in this way.
func live(tab *browser.Tab, way string) {
	tab.Until(fmt.Sprintf(`document.querySelector("#status").textContent === "live, by %s"`, way))
}

// sees waits until the page shows a change, and demands that it shows all before it, each once.
func sees(t *testing.T, tab *browser.Tab, first, last int64) {
	t.Helper()
	tab.Until(fmt.Sprintf(`document.querySelector("#changes li:first-child")?.dataset.number === "%d"`, last))
	const numbers = `[...document.querySelectorAll("#changes li")].map(e => Number(e.dataset.number)).reverse()`
	got := browser.Eval[[]int64](tab, numbers)
	for i, n := range got {
		if n != first+int64(i) {
			t.Fatalf("the page shows the changes %v, want each from %d to %d once", got, first, last)
		}
	}
}

// TestBrowser follows the prices in Chromium: by WebSocket, and by events where none can be opened.
func TestBrowser(t *testing.T) {
	chromium := browser.Start(t)
	for _, c := range []struct {
		way       string
		websocket bool
	}{{"WebSocket", true}, {"server-sent events", false}} {
		t.Run(c.way, func(t *testing.T) {
			m, l, ids := serveInside(t, c.websocket)
			first := m.next
			tab := chromium.Open(t, "http://"+l.Addr().String()+"/")
			live(tab, c.way)
			m.mustMove(t, 5)
			m.mustMove(t, -5)
			sees(t, tab, first, first+1)
			tab.Fits("the page")

			l.cut()
			for by := range 3 { // nobody hears it
				m.mustMove(t, by)
			}
			sees(t, tab, first, first+4)
			live(tab, c.way)
			m.mustMove(t, 7)
			sees(t, tab, first, first+5)
			if got, want := fmt.Sprint(ids.list()), fmt.Sprint([]string{"", fmt.Sprint(first + 1)}); !c.websocket && got != want {
				t.Errorf("the ids of the streams were %s, want %s", got, want)
			}
			if got := tab.Text("#prices tr td:nth-child(3)"); got != "+0.07" {
				t.Errorf("the last move is shown as %q", got)
			}
		})
	}
}
