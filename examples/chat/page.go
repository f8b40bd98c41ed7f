package main

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/tideway-go/tideway/examples/internal/webpage"
)

// files are the page: one HTML for the lobby and for every room, its style, its script, its icon.
//
//go:embed page
var files embed.FS

// policy lets the page use what comes from here, and nothing else: no other host, no inline script or style, no frame
// around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// pages serves the lobby at /, a room at /ROOM/ and their files below /static/.
func pages() http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the directory is named in the line above
	}
	mux := webpage.Mux(page)
	mux.HandleFunc("GET /{room}/{$}", func(w http.ResponseWriter, r *http.Request) {
		if !roomName.MatchString(r.PathValue("room")) {
			http.Error(w, roomRule, http.StatusNotFound)
			return
		}
		http.ServeFileFS(w, r, page, "index.html")
	})
	return webpage.Guard(policy, mux)
}
