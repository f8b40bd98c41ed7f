package main

import (
	"testing"

	"github.com/tideway-go/tideway/examples/internal/webpage"
	"github.com/tideway-go/tideway/layers/memlayer"
)

func TestPages(t *testing.T) {
	store, err := newStore("")
	if err != nil {
		t.Fatal(err)
	}
	webpage.Check(t, newSite(people(), store, memlayer.New(nil)).pages(), policy, webpage.Wants{
		{"/", 200, "text/html; charset=utf-8", `id="log"`},
		{"/login", 200, "text/html; charset=utf-8", `id="password"`},
		{"/static/notes.js", 200, "text/javascript; charset=utf-8", "WebSocket"},
		{"/static/login.js", 200, "text/javascript; charset=utf-8", "wrong"},
		{"/static/auth.css", 200, "text/css; charset=utf-8", "login"},
		{"/static/page.css", 200, "text/css; charset=utf-8", "color-scheme"},
		{"/logout", 405, "text/plain; charset=utf-8", ""},
	})
}

func TestThePageNeedsNoOtherHost(t *testing.T) { webpage.CheckFiles(t, files) }
