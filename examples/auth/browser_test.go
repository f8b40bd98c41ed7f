package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tideway-go/tideway/examples/internal/browser"
)

// login fills in the form that the page shows.
func login(p *browser.Tab, name, password string) {
	p.Do(
		chromedp.WaitVisible(chromedp.ID("login")),
		chromedp.SetValue(chromedp.ID("name"), name),
		chromedp.SetValue(chromedp.ID("password"), password),
		chromedp.Click(chromedp.CSS("#login button")),
	)
}

// connected waits until the notes of a user are connected. Pages change meanwhile, which Until does not survive.
func connected(t *testing.T, p *browser.Tab, name string) {
	t.Helper()
	p.Do(chromedp.WaitVisible(chromedp.CSS(`#status[data-state="open"]`)))
	p.Until(fmt.Sprintf(`document.querySelector("#user").textContent === %q`, name))
}

// told waits until the login says why one is there.
func told(t *testing.T, p *browser.Tab, query string) {
	t.Helper()
	p.Do(chromedp.WaitVisible(chromedp.CSS(`#notice:not(:empty)`)))
	if got := browser.Eval[string](p, `location.pathname + location.search`); got != "/login"+query {
		t.Errorf("the page is %s, want /login%s", got, query)
	}
}

func hears(p *browser.Tab, text string) {
	p.Until(fmt.Sprintf(`document.querySelector("#log li")?.textContent === %q`, text))
}

func write(p *browser.Tab, text string) {
	p.Do(chromedp.SetValue(chromedp.ID("note"), text), chromedp.Click(chromedp.CSS("#composer button")))
}

// TestBrowser drives the pages of two processes in Chromium.
func TestBrowser(t *testing.T) {
	chromium := browser.Start(t)
	one, two := twoSites(t)

	first := chromium.Open(t, one+"/")
	login(first, "ann", "wrong")
	told(t, first, "?wrong")
	login(first, "ann", password)
	connected(t, first, "ann")
	if cookies := browser.Eval[string](first, `document.cookie`); cookies != "" {
		t.Errorf("a script sees the cookies %q", cookies)
	}

	second := chromium.Open(t, two+"/") // the same browser, another process
	connected(t, second, "ann")
	write(first, "milk")
	hears(first, "milk")
	hears(second, "milk")
	write(second, "<b>bread</b>")
	hears(first, "<b>bread</b>")

	first.Do(chromedp.Click(chromedp.ID("logout")))
	first.Do(chromedp.WaitVisible(chromedp.ID("login")))
	told(t, second, "?ended")

	login(second, "bob", password) // the other tab logs in again, as somebody else
	connected(t, second, "bob")
	first.Do(chromedp.Navigate(one + "/"))
	connected(t, first, "bob")
	second.Do(chromedp.Click(chromedp.ID("everywhere")))
	told(t, first, "?ended")

	second.Phone()
	second.Do(chromedp.Navigate(two + "/login"))
	second.Fits("the login")
	login(second, "ann", password)
	connected(t, second, "ann")
	second.Fits("the notes")
}
