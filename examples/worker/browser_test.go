package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/tideway-go/tideway/examples/internal/browser"
)

// TestBrowser drives the page in Chromium: what people see, not what the socket carries.
func TestBrowser(t *testing.T) {
	chromium := browser.Start(t)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sea := file("sea.jpg", jpegOf(t, paint(800, 600)))
	hills := file("hills.png", pngOf(t, paint(300, 500)))
	diary := file("diary.png", []byte("dear diary"))
	large := file("large.png", make([]byte, maxBytes+1))

	t.Run("thumbnails appear", func(t *testing.T) {
		ann := openTab(t, chromium, listen(t, "127.0.0.1:0", true).url)
		ann.choose(sea, hills)
		for name, want := range map[string]string{
			"sea.jpg":   "48x36 96x72 192x144 320x240",
			"hills.png": "29x48 58x96 115x192 192x320",
		} {
			ann.until(name, `p.querySelector("progress").value === 4`)
			ann.until(name, `[...p.querySelectorAll("img")].every(i => i.complete)`)
			got := browser.Eval[string](ann.Tab, ofPicture(name, `[...p.querySelectorAll("img")].map(i => i.naturalWidth + "x" + i.naturalHeight).join(" ")`))
			if got != want {
				t.Errorf("%s has thumbnails of %s, want %s", name, got, want)
			}
			ann.until(name, fmt.Sprintf(`p.querySelector(".state").textContent === "4 of 4 by worker %d"`, os.Getpid()))
		}
	})

	t.Run("a bad picture says why", func(t *testing.T) {
		ann := openTab(t, chromium, listen(t, "127.0.0.1:0", true).url)
		ann.choose(diary, large, sea)
		ann.until("diary.png", `p.querySelector(".state").textContent === "This is no PNG, JPEG or GIF."`)
		ann.until("large.png", `p.querySelector(".state").textContent === "A picture has at most 900 kB; this one has 901."`)
		ann.until("sea.jpg", `p.querySelectorAll("img").length === 4`)
		if n := browser.Eval[int](ann.Tab, `document.querySelectorAll(".failed").length`); n != 2 {
			t.Errorf("%d pictures are shown as failed, want 2", n)
		}
	})

	t.Run("what is not finished goes up again", func(t *testing.T) {
		idle := listen(t, "127.0.0.1:0", false) // takes pictures, and nobody works
		ann := openTab(t, chromium, idle.url)
		ann.choose(sea)
		ann.until("sea.jpg", `p.querySelector(".state").textContent === "waits for a worker"`)
		idle.stop()
		listen(t, idle.addr, true)
		ann.until("sea.jpg", `p.querySelectorAll("img").length === 4`)
	})

	t.Run("a name is text", func(t *testing.T) {
		markup := file(`<img src=x onerror=alert(1)>.png`, pngOf(t, paint(60, 60)))
		ann := openTab(t, chromium, listen(t, "127.0.0.1:0", true).url)
		ann.choose(markup)
		ann.until(filepath.Base(markup), `p.querySelectorAll("img").length === 4`)
	})

	t.Run("the page fits a phone", func(t *testing.T) {
		long := file(strings.Repeat("unbroken", 20)+".png", pngOf(t, paint(900, 200)))
		ann := openTab(t, chromium, "about:blank")
		ann.Phone()
		ann.Do(chromedp.Navigate(listen(t, "127.0.0.1:0", true).url))
		ann.connected()
		ann.Fits("the empty page")
		ann.choose(long, diary)
		ann.until(filepath.Base(long), `p.querySelectorAll("img").length === 4`)
		ann.Fits("a page with pictures")
	})
}
