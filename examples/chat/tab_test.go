package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/tideway-go/tideway/asgi"
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
	go func() { done <- serve(ctx, ln, app, memlayer.New(nil)) }()
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

// startBrowser starts Chromium with an empty profile of its own.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium is not installed: apt-get install chromium")
	}
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
	if err := chromedp.Do(ctx); err != nil {
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

// missing skips a test for want of something that the machine lacks. Where everything must run, it fails instead.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("TIDEWAY_REQUIRE") == "all" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// tab is a page in the browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func openTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return &tab{t, ctx}
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

// enter opens a room under a name.
func (p *tab) enter(url, name string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
	p.connected()
	p.do(chromedp.SetValue(chromedp.ID("name"), name))
}

func (p *tab) connected() {
	p.t.Helper()
	p.until(`document.querySelector("#status").textContent.startsWith("connected")`)
}

func (p *tab) say(text string) {
	p.t.Helper()
	p.do(chromedp.SetValue(message, text), chromedp.Click(send))
}

// hears waits until the log's newest message is text.
func (p *tab) hears(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector("#log li:last-child .text")?.textContent === %q`, text))
}

// fits demands that nothing has to be scrolled sideways.
func (p *tab) fits(what string) {
	p.t.Helper()
	if over := eval[int](p, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		p.t.Errorf("%s is %d pixels wider than the screen", what, over)
	}
}

// until waits for a condition. chromedp.Poll would compile it inside the page, which the page's policy forbids.
func (p *tab) until(condition string) {
	p.t.Helper()
	const wait = `new Promise(done => { (function look() { (%s) ? done() : setTimeout(look, 20); })(); })`
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(wait, condition), chromedp.EvalAwaitPromise))
}

// noticed waits for a word to this client alone.
func (p *tab) noticed() {
	p.t.Helper()
	p.until(`document.querySelector("#notice").textContent !== ""`)
}

// text is what the first element that a CSS selector names shows.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`document.querySelector(%q).textContent`, selector))
}

// count is how many elements a CSS selector names.
func (p *tab) count(selector string) int {
	p.t.Helper()
	return eval[int](p, fmt.Sprintf(`document.querySelectorAll(%q).length`, selector))
}

// typed is what stands in the input.
func (p *tab) typed() string {
	p.t.Helper()
	return eval[string](p, `document.querySelector("#message").value`)
}

// eval returns the value of an expression, or of what it promises.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("in the page: %s: %v", expression, err)
	}
	return v
}
