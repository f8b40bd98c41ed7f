// Package browser lets a test look at a page as people do, in Chromium.
//
//	b := browser.Start(t)
//	ann := b.Open(t, site+"/lobby/")
//	ann.Until(`document.querySelector("#status").textContent === "connected"`)
//
// A step in a page may take half a minute, which is far more than any needs; then the test fails and says which. Browser
// and tabs end with the test.
package browser

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/tideway-go/tideway/examples/internal/process"
)

// A Browser is Chromium with an empty profile of its own: what one tab stores, another has too.
type Browser struct{ ctx context.Context }

// Start starts Chromium. Where it is not installed, the test is skipped.
func Start(t testing.TB) *Browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(process.Program(t, "chromium", "chromium")),
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
	return &Browser{ctx}
}

// A Tab is a page in the browser.
type Tab struct {
	t   testing.TB
	ctx context.Context
}

// Open opens a page in a tab of its own, and waits until it has loaded.
func (b *Browser) Open(t testing.TB, url string) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // without a limit: its ctx is the tab's
		t.Fatalf("open a tab: %v", err)
	}
	p := &Tab{t, ctx}
	p.Do(chromedp.Navigate(url))
	return p
}

// limit is how long a step may take.
const limit = 30 * time.Second

// Do runs steps in the tab.
func (p *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("in the page: %v", err)
	}
}

// Until waits for a condition in JavaScript. chromedp.Poll would compile it inside the page, which a page's policy may
// forbid.
func (p *Tab) Until(condition string) {
	p.t.Helper()
	const wait = `new Promise(done => { (function look() { (%s) ? done() : setTimeout(look, 20); })(); })`
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(wait, condition), chromedp.EvalAwaitPromise)); err != nil {
		p.t.Fatalf("in the page: %s: %v", condition, err)
	}
}

// Eval returns the value of an expression in JavaScript, or of what it promises.
func Eval[T any](p *Tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("in the page: %s: %v", expression, err)
	}
	return v
}

// Text is what the first element that a CSS selector names shows.
func (p *Tab) Text(selector string) string {
	p.t.Helper()
	return Eval[string](p, fmt.Sprintf(`document.querySelector(%q).textContent`, selector))
}

// Count is how many elements a CSS selector names.
func (p *Tab) Count(selector string) int {
	p.t.Helper()
	return Eval[int](p, fmt.Sprintf(`document.querySelectorAll(%q).length`, selector))
}

// Phone makes the screen that of a phone, before or after the page is opened.
func (p *Tab) Phone() {
	p.t.Helper()
	p.Do(chromedp.EmulateViewport(375, 667, chromedp.EmulateMobile))
}

// Fits demands that nothing has to be scrolled sideways.
func (p *Tab) Fits(what string) {
	p.t.Helper()
	if over := Eval[int](p, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		p.t.Errorf("%s is %d pixels wider than the screen", what, over)
	}
}
