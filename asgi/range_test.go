package asgi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// Ranges, conditions and HEAD are net/http's business, which FromHandler hands on.
func TestFromHandlerRanges(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "digits.txt", at, strings.NewReader("0123456789"))
	})
	url, client := serve(t, asgi.Handler{App: asgi.FromHandler(h)})
	for _, tc := range []struct {
		method, name, value string
		status              int
		contentRange, body  string
	}{
		{"GET", "Range", "bytes=2-4", 206, "bytes 2-4/10", "234"},
		{"GET", "Range", "bytes=-3", 206, "bytes 7-9/10", "789"},
		{"GET", "Range", "bytes=20-", 416, "bytes */10", "invalid range: failed to overlap\n"},
		{"HEAD", "Range", "bytes=2-4", 206, "bytes 2-4/10", ""},
		{"GET", "If-Modified-Since", at.Format(http.TimeFormat), 304, "", ""},
		{"GET", "X", "", 200, "", "0123456789"},
	} {
		request, err := http.NewRequest(tc.method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(tc.name, tc.value)
		r, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, r); r.StatusCode != tc.status || got != tc.body || r.Header.Get("Content-Range") != tc.contentRange {
			t.Errorf("%s %s %s: got %d %q %q, want %d %q %q", tc.method, tc.name, tc.value, r.StatusCode, got, r.Header.Get("Content-Range"), tc.status, tc.body, tc.contentRange)
		}
	}
}
