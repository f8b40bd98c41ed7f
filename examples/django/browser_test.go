package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"
)

// TestBrowser has all that runs: Redis, Django under Daphne, the Go server, and Chromium with two tabs. What is said in one
// tab, to whichever server, must be heard in the other one over both sockets.
func TestBrowser(t *testing.T) {
	chromium := program(t, "chromium", "chromium")
	redis := startRedis(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	socket := "ws://" + ln.Addr().String() + "/ws/news/"
	site := startDjango(t, redis, socket)
	startGo(t, ln, redis, site)

	browser := startBrowser(t, chromium)
	ann, bob := openTab(t, browser, site), openTab(t, browser, site)
	for i, c := range []struct{ by, input, button string }{
		{"Django", "#id_text", "#post"},
		{"Go", "#go-text", "#go button"},
		{"Daphne", "#django-text", "#django button"},
		{"Django", "#id_text", "#post"}, // its tab has kept its sockets
	} {
		t.Run(fmt.Sprintf("%d to %s", i, c.by), func(t *testing.T) {
			text := fmt.Sprintf("<b>%d</b> – grün & 🌊", i)
			ann.say(c.input, c.button, text)
			for _, tab := range []*tab{ann, bob} {
				for _, section := range []string{"#go", "#django"} {
					tab.hears(section, c.by, text, i+1)
				}
			}
		})
	}
	ann.do(chromedp.EmulateViewport(375, 667, chromedp.EmulateMobile))
	ann.until(`document.documentElement.scrollWidth <= innerWidth`)

	t.Run("forms that are wrong", func(t *testing.T) { badForms(t, site) })
	t.Run("a page of another origin", func(t *testing.T) {
		_, answer, err := websocket.DefaultDialer.Dial(socket, http.Header{"Origin": {"http://evil.example"}})
		if err == nil || answer == nil || answer.StatusCode != http.StatusForbidden {
			t.Errorf("its handshake was answered with %v, %v; want 403", answer, err)
		}
	})
}

// badForms posts what Django must refuse.
func badForms(t *testing.T, site string) {
	t.Helper()
	const token = "0123456789abcdefghijABCDEFGHIJ01" // one that the client makes is good, if its cookie says the same
	for _, c := range []struct {
		name, cookie, text string
		status             int
	}{
		{"without a token", "", "hello", http.StatusForbidden},
		{"empty", token, " ", http.StatusBadRequest},
		{"too long", token, strings.Repeat("ü", maxText+1), http.StatusBadRequest},
	} {
		form := url.Values{"text": {c.text}, "csrfmiddlewaretoken": {token}}
		r, err := http.NewRequestWithContext(t.Context(), "POST", site+"/", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: "csrftoken", Value: c.cookie})
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != c.status {
			t.Errorf("a form %s: status %d, want %d", c.name, answer.StatusCode, c.status)
		}
	}
}

// startBrowser starts Chromium with an empty profile of its own.
func startBrowser(t *testing.T, path string) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // the test may run as root, in a container
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancelAlloc)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // without a limit: its ctx is the browser's
		t.Fatalf("chromium does not start: %v", err)
	}
	t.Cleanup(func() { // lets Chromium remove its temporary files
		closing, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := chromedp.Cancel(closing); err != nil {
			t.Errorf("chromium does not end: %v", err)
		}
	})
	return ctx
}

// tab is a page in the browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// openTab opens the site in a tab and waits for its two sockets.
func openTab(t *testing.T, browser context.Context, site string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	p := &tab{t, ctx}
	p.do(chromedp.Navigate(site + "/"))
	p.until(`[...document.querySelectorAll(".status")].filter(s => s.textContent === "connected").length === 2`)
	return p
}

// do runs steps in the tab. Half a minute is far more than any of them takes.
func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("in the page: %v", err)
	}
}

// say fills an input and clicks a button.
func (p *tab) say(input, button, text string) {
	p.t.Helper()
	p.do(chromedp.SetValue(chromedp.CSS(input), text), chromedp.Click(chromedp.CSS(button)))
	p.until(fmt.Sprintf(`document.querySelector(%q).value === ""`, input))
}

// hears waits until a section shows so many items, of which the newest is this one.
func (p *tab) hears(section, by, text string, items int) {
	p.t.Helper()
	p.until(fmt.Sprintf(`((list) => list.childElementCount === %d && list.querySelector("b").textContent === %q &&
		list.querySelector("span").textContent === %q)(document.querySelector(%q))`, items, by, text, section+" ol"))
}

// until waits for a condition.
func (p *tab) until(condition string) {
	p.t.Helper()
	const wait = `new Promise(done => { (function look() { (%s) ? done() : setTimeout(look, 20); })(); })`
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(wait, condition), chromedp.EvalAwaitPromise))
}
