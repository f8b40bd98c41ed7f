package main

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/tideway-go/tideway/examples/internal/backend"
	"github.com/tideway-go/tideway/examples/internal/browser"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// TestBrowser opens the page in Chromium, and sends to the channel that it shows.
func TestBrowser(t *testing.T) {
	layer := memlayer.New(nil)
	url := serveInside(t, &backend.Backend{Layer: layer, URL: "nats://127.0.0.1:4222"})
	tab := browser.Start(t).Open(t, "about:blank")
	tab.Phone()
	tab.Do(chromedp.Navigate(url))
	tab.Until(`document.querySelectorAll("#commands button").length === 2`)
	channel := tab.Text("#channel")
	for _, c := range []struct{ channel, group, text string }{
		{channel, "", "<b>for you</b>"},
		{"", everyone, "for all"},
	} {
		if err := send(t.Context(), layer, c.channel, c.group, notice{Text: c.text, Time: "2001-02-03T04:05:06Z"}); err != nil {
			t.Fatal(err)
		}
		tab.Until(fmt.Sprintf(`document.querySelector("#notices li:first-child p")?.textContent === %q`, c.text))
	}
	tab.Fits("the page")
}

// serveInside serves the site in this process and returns its address.
func serveInside(t *testing.T, b *backend.Backend) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, b) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server ended with: %v", err)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("the layer ended with: %v", err)
		}
	})
	return "http://" + ln.Addr().String()
}
