package main

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/examples/internal/browser"
	"github.com/tideway-go/tideway/layers/memlayer"
)

const (
	message chromedp.ID = "message"
	send    chromedp.ID = "send"
)

// site is a server under test.
type site struct {
	addr, url string
	stop      func() // ends it and waits
}

func startSite(t *testing.T, addr string, app asgi.App) *site {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, nil, app, memlayer.New(nil)) }()
	stopped := false
	s := &site{addr: ln.Addr().String(), url: "http://" + ln.Addr().String()}
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with: %v", err)
		}
	}
	t.Cleanup(s.stop)
	return s
}

// tab is a page in the browser.
type tab struct{ *browser.Tab }

func openTab(t *testing.T, b *browser.Browser) *tab {
	t.Helper()
	return &tab{b.Open(t, "about:blank")}
}

// enter opens a room under a name.
func (p *tab) enter(url, name string) {
	p.Do(chromedp.Navigate(url))
	p.connected()
	p.Do(chromedp.SetValue(chromedp.ID("name"), name))
}

func (p *tab) connected() {
	p.Until(`document.querySelector("#status").textContent.startsWith("connected")`)
}

func (p *tab) say(text string) {
	p.Do(chromedp.SetValue(message, text), chromedp.Click(send))
}

// hears waits until the log's newest message is text.
func (p *tab) hears(text string) {
	p.Until(fmt.Sprintf(`document.querySelector("#log li:last-child .text")?.textContent === %q`, text))
}

// noticed waits for a word to this client alone.
func (p *tab) noticed() {
	p.Until(`document.querySelector("#notice").textContent !== ""`)
}

// typed is what stands in the input.
func (p *tab) typed() string {
	return browser.Eval[string](p.Tab, `document.querySelector("#message").value`)
}
