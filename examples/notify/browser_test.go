package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/tideway-go/tideway/examples/internal/backend"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// TestBrowser opens the page in Chromium, and sends to the channel that it shows.
func TestBrowser(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium is not installed: apt-get install chromium")
	}
	layer := memlayer.New(nil)
	url := serveInside(t, &backend.Backend{Layer: layer, URL: "nats://127.0.0.1:4222"})
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // the test may run as root, in a container
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancelAlloc()
	tab, cancelTab := chromedp.NewContext(alloc)
	defer cancelTab()
	if err := chromedp.Do(tab); err != nil { // without a limit: its ctx is the browser's
		t.Fatalf("chromium does not start: %v", err)
	}
	defer func() { // lets Chromium remove its temporary files
		closing, cancel := context.WithTimeout(tab, 10*time.Second)
		defer cancel()
		if err := chromedp.Cancel(closing); err != nil {
			t.Errorf("chromium does not end: %v", err)
		}
	}()
	limited, cancel := context.WithTimeout(tab, time.Minute)
	defer cancel()

	until := func(condition string) {
		t.Helper()
		const wait = `new Promise(done => { (function look() { (%s) ? done() : setTimeout(look, 20); })(); })`
		if err := chromedp.Do(limited, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(wait, condition), chromedp.EvalAwaitPromise)); err != nil {
			t.Fatalf("in the page: %s: %v", condition, err)
		}
	}
	phone := chromedp.EmulateViewport(375, 667, chromedp.EmulateMobile)
	if err := chromedp.Do(limited, phone, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	until(`document.querySelectorAll("#commands button").length === 2`)
	channel, err := chromedp.Run(limited, chromedp.Evaluate[string](`document.querySelector("#channel").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ channel, group, text string }{
		{channel, "", "<b>for you</b>"},
		{"", everyone, "for all"},
	} {
		if err := send(t.Context(), layer, c.channel, c.group, notice{Text: c.text, Time: "2001-02-03T04:05:06Z"}); err != nil {
			t.Fatal(err)
		}
		until(fmt.Sprintf(`document.querySelector("#notices li:first-child p")?.textContent === %q`, c.text))
	}
	over, err := chromedp.Run(limited, chromedp.Evaluate[int](`document.documentElement.scrollWidth - innerWidth`))
	if err != nil || over > 0 {
		t.Errorf("the page is %d pixels wider than a phone's screen; %v", over, err)
	}
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
