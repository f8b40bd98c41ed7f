package main

import (
	"context"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// scs.New starts a cleaner for a store of its own, which nobody can stop once another store has taken its place.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}

const password = "tides and ways"

// people are made once: to hash a password takes its time.
var people = sync.OnceValue(func() *accounts {
	p, err := newAccounts(password, "ann", "bob")
	if err != nil {
		panic(err)
	}
	return p
})

// startSite serves a site as a process would, and returns its URL.
func startSite(t *testing.T, st store, layer *layers.Layer) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, newSite(people(), st, layer).app()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with: %v", err)
		}
	})
	return "http://" + ln.Addr().String()
}

// twoSites are two processes of one site: they share sessions, and a bus.
func twoSites(t *testing.T) (one, two string) {
	t.Helper()
	store, err := newFileStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bus := memlayer.NewBus(nil)
	return startSite(t, store, bus.Layer()), startSite(t, store, bus.Layer())
}

// A device is a browser without pages.
type device struct {
	t      *testing.T
	client *http.Client
}

func newDevice(t *testing.T) *device {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &device{t, &http.Client{
		Jar:           jar,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post sends a form and demands where it leads.
func (d *device) post(url string, form url.Values, want string) *http.Response {
	d.t.Helper()
	response, err := d.client.PostForm(url, form)
	if err != nil {
		d.t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("Location"); response.StatusCode != http.StatusSeeOther || got != want {
		d.t.Errorf("POST %s: %s to %q, want a redirect to %q", url, response.Status, got, want)
	}
	return response
}

func (d *device) login(site, name string) *http.Response {
	d.t.Helper()
	return d.post(site+"/login", url.Values{"name": {name}, "password": {password}}, "/")
}

// get demands the status of a page.
func (d *device) get(url string, want int) {
	d.t.Helper()
	response, err := d.client.Get(url)
	if err != nil {
		d.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != want {
		d.t.Errorf("GET %s: %s, want %d", url, response.Status, want)
	}
}

// open opens the socket of the notes, and hears who is there.
func (d *device) open(site, name string) *websocket.Conn {
	d.t.Helper()
	dialer := websocket.Dialer{Jar: d.client.Jar}
	ws, _, err := dialer.Dial(strings.Replace(site, "http", "ws", 1)+"/ws/notes", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { ws.Close() })
	d.hears(ws, `{"user":"`+name+`"}`)
	return ws
}

func (d *device) says(ws *websocket.Conn, text string) {
	d.t.Helper()
	if err := ws.WriteJSON(note{text}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) hears(ws *websocket.Conn, want string) {
	d.t.Helper()
	if _, got, err := ws.ReadMessage(); err != nil || string(got) != want {
		d.t.Fatalf("the socket says %q (%v), want %q", got, err, want)
	}
}

// closed demands that the socket closes as one whose login has ended.
func (d *device) closed(ws *websocket.Conn, reason string) {
	d.t.Helper()
	_, got, err := ws.ReadMessage()
	if closed, ok := err.(*websocket.CloseError); !ok || closed.Code != 4401 || closed.Text != reason {
		d.t.Errorf("the socket says %q and ends with %v, want a close with 4401, %q", got, err, reason)
	}
}
