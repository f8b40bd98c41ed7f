package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/examples/internal/browser"
	"github.com/tideway-go/tideway/routing"
)

// TestBrowser drives the page in Chromium: what people see, not what the socket carries.
func TestBrowser(t *testing.T) {
	chromium := browser.Start(t)
	site := startSite(t, "127.0.0.1:0", app())

	t.Run("a room hears, another does not", func(t *testing.T) {
		ann, bob, eve := openTab(t, chromium), openTab(t, chromium), openTab(t, chromium)
		ann.enter(site.url+"/lobby/", "Ann")
		bob.enter(site.url+"/lobby/", "Bob")
		eve.enter(site.url+"/elsewhere/", "Eve")
		ann.say("hello Bob")
		for _, member := range []*tab{ann, bob} {
			member.hears("hello Bob")
			if got := member.Text("#log li:last-child .who"); got != "Ann" {
				t.Errorf("the speaker is shown as %q, want Ann", got)
			}
			if got := member.Text("#log li:last-child time"); got == "" {
				t.Error("the time is not shown")
			}
		}
		bob.Do(chromedp.SendKeys(message, "hello Ann\n"))
		ann.hears("hello Ann")
		eve.say("marker")
		eve.hears("marker")
		if n := eve.Count("#log li"); n != 1 {
			t.Errorf("the other room shows %d messages, want its own one", n)
		}
	})

	t.Run("the lobby leads to a room", func(t *testing.T) {
		ann := openTab(t, chromium)
		ann.Do(
			chromedp.Navigate(site.url+"/"),
			chromedp.WaitVisible(chromedp.ID("join")),
			chromedp.SetValue(chromedp.ID("join-name"), "Ann"),
			chromedp.SetValue(chromedp.ID("join-room"), "garden"),
			chromedp.Click(chromedp.CSS("#join button")),
			chromedp.WaitVisible(chromedp.ID("room")),
		)
		ann.connected()
		if got := ann.Text("#room-name"); got != "garden" {
			t.Errorf("the room is %q, want garden", got)
		}
		ann.say("by the form")
		ann.hears("by the form")
		if got := ann.Text("#log li:last-child .who"); got != "Ann" {
			t.Errorf("the speaker is shown as %q, want Ann", got)
		}
	})

	t.Run("markup is text", func(t *testing.T) {
		const markup = `<img src=x onerror="document.title='run'"><b>bold</b><script>document.title='run'</script>`
		ann := openTab(t, chromium)
		ann.enter(site.url+"/markup/", `<i>Ann</i>`)
		ann.say(markup)
		ann.hears(markup)
		if n := ann.Count("#log img, #log b, #log i, #log script"); n != 0 {
			t.Errorf("markup made %d elements", n)
		}
		if got := ann.Text("#log .who"); got != "<i>Ann</i>" {
			t.Errorf("the name is shown as %q", got)
		}
	})

	t.Run("a refused message comes back", func(t *testing.T) {
		ann := openTab(t, chromium)
		ann.enter(site.url+"/long/", "Ann")
		ann.say(strings.Repeat("long ", 600) + ".")
		ann.noticed()
		if n := len(ann.typed()); n != 3001 {
			t.Errorf("the input holds %d characters, want the 3001 that were typed", n)
		}
	})

	t.Run("the page comes back by itself", func(t *testing.T) {
		first := startSite(t, "127.0.0.1:0", app())
		ann := openTab(t, chromium)
		ann.enter(first.url+"/lobby/", "Ann")
		ann.say("before")
		ann.hears("before")
		ann.Do(chromedp.SendKeys(message, "half a sent"))
		first.stop()
		ann.Until(`!document.querySelector("#status").textContent.startsWith("connected")`)
		ann.Do(chromedp.SendKeys(message, "ence\n"))
		ann.noticed()
		startSite(t, first.addr, app())
		ann.connected()
		if got := ann.typed(); got != "half a sentence" {
			t.Errorf("the input holds %q, want what was typed", got)
		}
		ann.Do(chromedp.Click(send))
		ann.hears("half a sentence")
		if n := ann.Count("#log li"); n != 2 {
			t.Errorf("the log shows %d messages, want 2", n)
		}
	})

	t.Run("a message that nobody heard comes back", func(t *testing.T) {
		deaf := startSite(t, "127.0.0.1:0", routing.Protocols(map[string]asgi.App{
			asgi.HTTP:      asgi.FromHandler(pages()),
			asgi.WebSocket: consumers.AsyncWebsocketConsumer[struct{}]{}.App(), // accepts and ignores
		}))
		ann := openTab(t, chromium)
		ann.enter(deaf.url+"/lobby/", "Ann")
		ann.say("is anybody there?")
		ann.Do(chromedp.SendKeys(message, "Hello?"))
		deaf.stop()
		ann.Until(`!document.querySelector("#status").textContent.startsWith("connected")`)
		if got := ann.typed(); got != "is anybody there? Hello?" {
			t.Errorf("the input holds %q, want what was not heard, and what was typed since", got)
		}
	})

	t.Run("attempts wait longer each time and are spread", func(t *testing.T) {
		ann := openTab(t, chromium)
		ann.Do(chromedp.Navigate(site.url + "/"))
		for _, c := range []struct {
			attempt        int
			earliest, last int // ms
		}{
			{0, 250, 500},
			{1, 500, 1000},
			{4, 4000, 8000},
			{5, 7500, 15000},
			{5000, 7500, 15000},
		} {
			const both = `import("/static/backoff.js").then(m => [m.backoff(%d, () => 0), m.backoff(%[1]d, () => 1)].join(" to "))`
			want := fmt.Sprintf("%d to %d", c.earliest, c.last)
			if got := browser.Eval[string](ann.Tab, fmt.Sprintf(both, c.attempt)); got != want {
				t.Errorf("attempt %d waits %s ms, want %s", c.attempt, got, want)
			}
		}
	})

	t.Run("a reload keeps what was typed", func(t *testing.T) {
		ann := openTab(t, chromium)
		ann.enter(site.url+"/draft/", "Ann")
		ann.Do(chromedp.SendKeys(message, "not yet said"), chromedp.Reload())
		ann.connected()
		if got := ann.typed(); got != "not yet said" {
			t.Errorf("the input holds %q, want what was typed", got)
		}
	})

	t.Run("the page fits a phone", func(t *testing.T) {
		ann := openTab(t, chromium)
		ann.Phone()
		ann.Do(chromedp.Navigate(site.url + "/"))
		ann.Fits("the lobby")
		ann.enter(site.url+"/phone/", strings.Repeat("name", 10))
		word := strings.Repeat("unbroken", 20)
		ann.say(word)
		ann.hears(word)
		ann.Fits("a room")
	})
}
