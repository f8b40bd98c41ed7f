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
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// running is a site under test.
type running struct {
	addr, url string
	stop      func() // ends it and waits
}

// listen runs a site in this process, with a worker or without, on a layer of its own.
func listen(t *testing.T, addr string, works bool) *running {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	layer := memlayer.New(&layers.Options{Durables: durables})
	parts := []func(context.Context) error{func(ctx context.Context) error { return serve(ctx, ln, layer) }}
	if works {
		parts = append(parts, func(ctx context.Context) error { return work(ctx, layer, 0) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- together(ctx, parts...) }()
	stopped := false
	s := &running{addr: ln.Addr().String(), url: "http://" + ln.Addr().String()}
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with: %v", err)
		}
		if err := layer.Close(context.Background()); err != nil {
			t.Errorf("the layer ended with: %v", err)
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

// openTab opens a page, and waits until it is connected if it is one of ours.
func openTab(t *testing.T, browser context.Context, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // without a limit: its ctx is the tab's
		t.Fatalf("open a tab: %v", err)
	}
	p := &tab{t, ctx}
	p.do(chromedp.Navigate(url))
	if url != "about:blank" {
		p.connected()
	}
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

func (p *tab) connected() {
	p.t.Helper()
	p.wait(`document.querySelector("#status").textContent === "connected"`)
}

// choose chooses files as a person does in the dialogue.
func (p *tab) choose(files ...string) {
	p.t.Helper()
	p.do(chromedp.SetUploadFiles(chromedp.ID("pictures"), files))
}

// until waits for a condition on p, the element of the picture of that name.
func (p *tab) until(name, condition string) {
	p.t.Helper()
	p.wait(ofPicture(name, condition))
}

// ofPicture is an expression about p, the element of the picture of that name; null while there is none.
func ofPicture(name, expression string) string {
	const find = `[...document.querySelectorAll(".picture")].filter(p => p.querySelector(".name").textContent === %q).map(p => %s)[0]`
	return fmt.Sprintf(find, name, expression)
}

// wait waits for a condition. chromedp.Poll would compile it inside the page, which the page's policy forbids.
func (p *tab) wait(condition string) {
	p.t.Helper()
	const wait = `new Promise(done => { (function look() { (%s) ? done() : setTimeout(look, 20); })(); })`
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(wait, condition), chromedp.EvalAwaitPromise))
}

// fits demands that nothing has to be scrolled sideways.
func (p *tab) fits(what string) {
	p.t.Helper()
	if over := eval[int](p, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		p.t.Errorf("%s is %d pixels wider than the screen", what, over)
	}
}

// eval returns the value of an expression.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("in the page: %s: %v", expression, err)
	}
	return v
}
