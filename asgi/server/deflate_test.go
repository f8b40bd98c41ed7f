package server_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"
)

// deflate compresses a message as RFC 7692 wants it.
func deflate(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	io.WriteString(w, s)
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

func inflate(t *testing.T, s string) string {
	t.Helper()
	b, err := io.ReadAll(flate.NewReader(strings.NewReader(s + "\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}
