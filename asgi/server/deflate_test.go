package server_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi/server"
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

// What is worth compressing, and how hard it is tried, are options.
func TestCompressionOptions(t *testing.T) {
	message := strings.Repeat(`{"user":"ann","text":"the tide comes in, the tide goes out"}`, 3)
	sizes := map[int]int{}
	for _, tc := range []struct {
		options server.Options
		size    int
		deflate bool
	}{
		{server.Options{}, 255, false},
		{server.Options{}, 256, true},
		{server.Options{CompressionMin: 10}, 60, true},
		{server.Options{CompressionMin: 10000}, 9999, false},
		{server.Options{CompressionLevel: 1}, 5000, true},
		{server.Options{CompressionLevel: 9}, 5000, true},
	} {
		tc.options.Compression = true
		s := variant{}.serveTCP(t, echoing(nil), tc.options)
		p := s.open("Sec-WebSocket-Extensions: permessage-deflate")
		sent := strings.Repeat(message, 100)[:tc.size]
		p.send(fin|text, sent)
		first, got, err := p.receive()
		if err != nil || (first == fin|rsv1|text) != tc.deflate {
			t.Errorf("%+v, %d bytes: first byte %#x, %v, want compressed: %v", tc.options, tc.size, first, err, tc.deflate)
		}
		if sizes[tc.options.CompressionLevel] = len(got); tc.deflate {
			got = inflate(t, got)
		}
		if got != sent {
			t.Errorf("%+v: another message came back", tc.options)
		}
		p.Close()
	}
	if sizes[9] >= sizes[1] {
		t.Errorf("level 9 makes %d bytes, level 1 %d", sizes[9], sizes[1])
	}
	mustPanic(t, "CompressionLevel is 10: write 1", func() { server.New(pages, &server.Options{CompressionLevel: 10}) })
	mustPanic(t, "Compressors is -1: it cannot be off", func() { server.New(pages, &server.Options{Compressors: -1}) })
}
