package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"
	"github.com/tideway-go/tideway/examples/internal/browser"
	"github.com/tideway-go/tideway/examples/internal/process"
)

// TestBrowser has all that runs: Redis, Django under Daphne, the Go server, and Chromium with two tabs. What is said in one
// tab, to whichever server, must be heard in the other one over both sockets, also after either server was away.
func TestBrowser(t *testing.T) {
	process.Program(t, "chromium", "chromium") // before much else is started
	redis := process.Redis(t)
	socket := listen(t, "127.0.0.1:0")
	address := socket.Addr().String()
	daphne := startDjango(t, redis, "ws://"+address+"/ws/news/", "0")
	site := "http://" + daphne.Found
	stopGo := startGo(t, socket, redis, site)

	b := browser.Start(t)
	ann, bob := openTab(t, b, site), openTab(t, b, site)
	said := 0
	say := func(by, input, button string) {
		t.Helper()
		text := fmt.Sprintf("<b>%d</b> – grün & 🌊", said)
		said++
		ann.say(input, button, text)
		for _, tab := range []*tab{ann, bob} {
			for _, section := range []string{"#go", "#django"} {
				tab.hears(section, by, text, said)
			}
		}
	}
	toDjango := func() { t.Helper(); say("Django", "#id_text", "#post") }
	toGo := func() { t.Helper(); say("Go", "#go-text", "#go button") }
	toDaphne := func() { t.Helper(); say("Daphne", "#django-text", "#django button") }
	toDjango()
	toGo()
	toDaphne()
	toDjango() // the tab has kept its sockets when the form was sent
	ann.Phone()
	ann.Fits("the page")
	badForms(t, site)
	strangers(t, "ws://"+address+"/ws/news/")

	stopGo()
	ann.is("#go", "reconnecting")
	ann.is("#django", "connected")
	ann.say("#django-text", "#django button", "to Daphne alone")
	ann.hears("#django", "Daphne", "to Daphne alone", said+1)
	startGo(t, listen(t, address), redis, site)
	ann.both("connected")
	bob.both("connected")
	ann.forget()
	bob.forget()
	said = 0
	toGo()
	toDaphne()

	daphne.Kill()
	ann.is("#django", "reconnecting")
	ann.is("#go", "connected")
	startDjango(t, redis, "ws://"+address+"/ws/news/", strings.TrimPrefix(daphne.Found, "127.0.0.1:"))
	ann.both("connected")
	bob.both("connected")
	toDaphne()
	toGo()
}

// strangers lets a page of another origin try to connect.
func strangers(t *testing.T, socket string) {
	t.Helper()
	_, answer, err := websocket.DefaultDialer.Dial(socket, http.Header{"Origin": {"http://evil.example"}})
	if err == nil || answer == nil || answer.StatusCode != http.StatusForbidden {
		t.Errorf("the handshake of a page of another origin was answered with %v, %v; want 403", answer, err)
	}
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

// tab is the site in the browser.
type tab struct{ *browser.Tab }

// openTab opens the site and waits for its two sockets.
func openTab(t *testing.T, b *browser.Browser, site string) *tab {
	t.Helper()
	p := &tab{b.Open(t, site+"/")}
	p.both("connected")
	return p
}

// is waits until the socket of a section is in a state.
func (p *tab) is(section, state string) {
	p.Until(fmt.Sprintf(`document.querySelector(%q).textContent === %q`, section+" .status", state))
}

func (p *tab) both(state string) {
	p.is("#go", state)
	p.is("#django", state)
}

// say fills an input and clicks a button.
func (p *tab) say(input, button, text string) {
	p.Do(chromedp.SetValue(chromedp.CSS(input), text), chromedp.Click(chromedp.CSS(button)))
	p.Until(fmt.Sprintf(`document.querySelector(%q).value === ""`, input))
}

// hears waits until a section shows so many items, of which the newest is this one.
func (p *tab) hears(section, by, text string, items int) {
	p.Until(fmt.Sprintf(`((list) => list.childElementCount === %d && list.querySelector("b").textContent === %q &&
		list.querySelector("span").textContent === %q)(document.querySelector(%q))`, items, by, text, section+" ol"))
}

// forget empties the lists.
func (p *tab) forget() {
	p.Until(`document.querySelectorAll("ol").forEach(list => list.replaceChildren()) === undefined`)
}
