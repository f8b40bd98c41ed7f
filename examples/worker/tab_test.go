package main

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/tideway-go/tideway/examples/internal/browser"
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

// tab is a page in the browser.
type tab struct{ *browser.Tab }

// openTab opens a page, and waits until it is connected if it is one of ours.
func openTab(t *testing.T, b *browser.Browser, url string) *tab {
	t.Helper()
	p := &tab{b.Open(t, url)}
	if url != "about:blank" {
		p.connected()
	}
	return p
}

func (p *tab) connected() {
	p.Until(`document.querySelector("#status").textContent === "connected"`)
}

// choose chooses files as a person does in the dialogue.
func (p *tab) choose(files ...string) {
	p.Do(chromedp.SetUploadFiles(chromedp.ID("pictures"), files))
}

// until waits for a condition on p, the element of the picture of that name.
func (p *tab) until(name, condition string) {
	p.Until(ofPicture(name, condition))
}

// ofPicture is an expression about p, the element of the picture of that name; null while there is none.
func ofPicture(name, expression string) string {
	const find = `[...document.querySelectorAll(".picture")].filter(p => p.querySelector(".name").textContent === %q).map(p => %s)[0]`
	return fmt.Sprintf(find, name, expression)
}
