package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/examples/internal/webpage"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exchange is a market whose layer is the site's.
func exchange(t *testing.T, websocket bool) (*asgitest.Site, *market) {
	layer := memlayer.New(nil)
	t.Cleanup(func() {
		if err := layer.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	m := newMarket(layer)
	return asgitest.New(t, site(m, websocket)).With(&asgitest.Options{Layer: layer}), m
}

func (m *market) mustMove(t *testing.T, by int) {
	t.Helper()
	if err := m.move(t.Context(), "EBB", by); err != nil {
		t.Fatal(err)
	}
}

func decoded(t *testing.T, text string) change {
	t.Helper()
	var c change
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

// Both ways bring the same changes; a stream's have ids.
func TestBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, m := exchange(t, true)
		ws, es := site.Dial("/ws/prices/"), site.EventSource("/prices/")
		synctest.Wait()
		m.mustMove(t, 5)
		text, e := ws.ReceiveText(), es.Event()
		if c := decoded(t, text); c.Moved != 5 || c.Symbol != "EBB" || e.Data != text || e.ID != strconv.FormatInt(c.Number, 10) {
			t.Errorf("the socket brings %s, the stream %#v", text, e)
		}
		ws.Disconnect()
		es.Close()
	})
}

// Who comes back gets what was missed, once and in order: by the header, or by the URL.
func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, m := exchange(t, true)
		es := site.EventSource("/prices/")
		synctest.Wait()
		m.mustMove(t, 1)
		first := es.Event()
		es.Close()
		_ = es.Wait()
		for by := 2; by < 5; by++ {
			m.mustMove(t, by)
		}
		es = es.Reconnect()
		ws := site.Dial("/ws/prices/?since=" + first.ID)
		byURL := site.EventSource("/prices/?since=" + first.ID)
		m.mustMove(t, 5)
		number := decoded(t, first.Data).Number
		for by := 2; by < 6; by++ {
			number++
			for _, text := range []string{es.Event().Data, ws.ReceiveText(), byURL.Event().Data} {
				if c := decoded(t, text); c.Number != number || c.Moved != by {
					t.Errorf("got %+v, want number %d, moved by %d", c, number, by)
				}
			}
		}
		for _, nonsense := range []string{"x", "-1", "%zz", "99999999999999999999"} {
			none := site.EventSource("/prices/?since=" + nonsense)
			none.ExpectNothing()
			none.Close()
		}
		ws.Disconnect()
		es.Close()
		byURL.Close()
	})
}

// The list of what is kept is bounded, and so is what a client can ask for.
func TestMarketForgets(t *testing.T) {
	_, m := exchange(t, true)
	first := m.next
	for range 5 * kept {
		m.mustMove(t, 1)
	}
	if n := len(m.last); n > 2*kept {
		t.Errorf("%d changes are kept", n)
	}
	for _, c := range []struct{ since, first, n int64 }{
		{0, first + 4*kept, kept}, {first + 5*kept - 2, first + 5*kept - 1, 1}, {first + 5*kept - 1, 0, 0}, {first + 9*kept, 0, 0},
	} {
		got := m.since(c.since)
		if int64(len(got)) != c.n || c.n > 0 && got[0].Number != c.first {
			t.Errorf("since %d: %d changes, want %d from %d", c.since, len(got), c.n, c.first)
		}
	}
}

// Without WebSockets a handshake is refused as a proxy would.
func TestNoWebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, _ := exchange(t, false)
		if r := site.Refused("/ws/prices/"); r.Status != http.StatusForbidden {
			t.Errorf("got %d, want 403", r.Status)
		}
		site.EventSource("/prices/").Close()
	})
}

func TestPages(t *testing.T) {
	webpage.Check(t, pages(), policy, webpage.Wants{
		{"/", 200, "text/html; charset=utf-8", `id="prices"`},
		{"/static/ticker.css", 200, "text/css; charset=utf-8", "#changes"},
		{"/static/ticker.js", 200, "text/javascript; charset=utf-8", "EventSource"},
		{"/elsewhere", 404, "text/plain; charset=utf-8", ""},
	})
	webpage.CheckFiles(t, files)
	w := httptest.NewRecorder()
	pages().ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d, want 405", w.Code)
	}
}

// The program serves until it is told to stop.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, "127.0.0.1:0", true); err != nil {
		t.Error(err)
	}
	if err := run(ctx, "nowhere:x", true); err == nil || !strings.Contains(err.Error(), "listen") {
		t.Errorf("an address that is none: %v", err)
	}
}
