// Package webpage serves the page of an example: files that belong to the program, under a policy that lets the page use
// nothing else. The pages look alike, by page.css, and come back alike after a lost connection, by backoff.js.
package webpage

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed common
var common embed.FS

// Mux serves page's index.html at / and all its files below /static/, with those that all pages share: page.css,
// backoff.js and icon.svg. More may be added to it.
func Mux(page fs.FS) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, page, "index.html")
	})
	mux.HandleFunc("GET /static/{file}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("file")
		if _, err := fs.Stat(page, name); err == nil {
			http.ServeFileFS(w, r, page, name)
			return
		}
		http.ServeFileFS(w, r, common, "common/"+name)
	})
	return mux
}

// Guard sends policy, a Content-Security-Policy, with every answer of h, and what else keeps a page to itself.
func Guard(policy string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}
