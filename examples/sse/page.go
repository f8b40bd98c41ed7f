package main

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/tideway-go/tideway/examples/internal/webpage"
)

// files are the page: its HTML, style and script.
//
//go:embed page
var files embed.FS

// policy lets the page use what comes from here, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pages serves the page at / and its files below /static/.
func pages() http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the directory is named in the line above
	}
	return webpage.Guard(policy, webpage.Mux(page))
}
