package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// secure serves app with TLS, in a bubble, and returns a client for HTTP/2.
func secure(t *testing.T, app asgi.App, opts server.Options) (*site, *http.Client) {
	files := newCertFiles(t, issue(t, "mine"))
	opts.CertFile, opts.KeyFile = files.cert, files.key
	s := variant{}.serve(t, app, opts)
	tr := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		c, err := s.dial()
		if err != nil {
			return nil, err
		}
		tc, _, err := shake(c, &tls.Config{NextProtos: []string{"h2"}})
		return tc, err
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return s, &http.Client{Transport: tr}
}

// ticking hints, then sends an event every 7 s for a minute, as a page of events does, and echoes what is posted.
var ticking = asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	switch {
	case scope.Type() != asgi.HTTP:
		return errors.ErrUnsupported
	case scope.Method() == http.MethodPost:
		return echoBody(ctx, receive, send)
	}
	header := http.Header{"Content-Type": {"text/event-stream"}, "Version": {scope.HTTPVersion()}, "Scheme": {scope.Scheme()}}
	err := errors.Join(send(ctx, asgi.HTTPResponseEarlyHint{Links: []string{"</app.css>; rel=preload; as=style"}}),
		send(ctx, asgi.HTTPResponseStart{Status: 200, Header: header}))
	for range 9 {
		if err != nil {
			return err
		}
		err = send(ctx, asgi.HTTPResponseBody{Body: []byte("data: tick\n\n"), MoreBody: true})
		select {
		case <-time.After(7 * time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return send(ctx, asgi.HTTPResponseBody{})
})

// echoBody sends back each part of the request as it comes.
func echoBody(ctx context.Context, receive asgi.Receive, send asgi.Send) error {
	if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
		return err
	}
	for {
		event, err := receive(ctx)
		if err != nil {
			return err
		}
		part, ok := event.(asgi.HTTPRequest)
		if !ok {
			return nil
		}
		if err := send(ctx, asgi.HTTPResponseBody(part)); err != nil || !part.MoreBody {
			return err
		}
	}
}

// HTTP/2 carries hints, streams that last longer than any time limit of a write, and both directions at once; many requests
// share a connection.
func TestHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := secure(t, ticking, server.Options{})
		var hint string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
			hint = header.Get("Link")
			return nil
		}})
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://example.org/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.ProtoMajor != 2 || resp.Header.Get("Version") != "2" || resp.Header.Get("Scheme") != "https" || hint == "" {
			t.Errorf("%s, scope says version %q and scheme %q, hint %q", resp.Proto, resp.Header.Get("Version"), resp.Header.Get("Scheme"), hint)
		}
		start, lines := time.Now(), bufio.NewReader(resp.Body)
		for i := range 9 {
			line, err := lines.ReadString('\n')
			lines.ReadString('\n')
			if err != nil || line != "data: tick\n" {
				t.Fatalf("event %d: %q, %v", i, line, err)
			}
			if err := takes(start, time.Duration(i)*7*time.Second); err != nil {
				t.Errorf("event %d: %v", i, err)
			}
			echoOverHTTP2(t, client)
		}
		if _, err := lines.ReadByte(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		resp.Body.Close()
		if st := s.srv.Stats(); st.HTTPRequests != 10 {
			t.Errorf("%d requests, want 10", st.HTTPRequests)
		}
		client.CloseIdleConnections()
	})
}

// echoOverHTTP2 sends a body in two parts, the second after the first came back.
func echoOverHTTP2(t *testing.T, client *http.Client) {
	t.Helper()
	body, parts := io.Pipe()
	go parts.Write([]byte("there"))
	resp, err := client.Post("https://example.org/", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 5)
	io.ReadFull(resp.Body, b)
	go func() {
		parts.Write([]byte(" and back"))
		parts.Close()
	}()
	rest, err := io.ReadAll(resp.Body)
	if got := string(b) + string(rest); got != "there and back" || err != nil {
		t.Errorf("echo %q, %v", got, err)
	}
}

// A shutdown says GOAWAY to an HTTP/2 connection, lets the streams that are open end, and takes no more.
func TestHTTP2Shutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := secure(t, ticking, server.Options{ShutdownWindow: time.Minute})
		resp, err := client.Get("https://example.org/events")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ended := make(chan error, 1)
		start := time.Now()
		go func() { ended <- s.stop() }()
		<-time.After(time.Second)
		if second, err := client.Get("https://example.org/"); err == nil {
			second.Body.Close()
			t.Error("a new stream was taken during the shutdown")
		}
		body, err := io.ReadAll(resp.Body)
		if n := strings.Count(string(body), "tick"); n != 9 || err != nil {
			t.Errorf("%d events, %v, want all 9", n, err)
		}
		resp.Body.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 62*time.Second || took > 70*time.Second {
			t.Errorf("the shutdown took %v, want as long as the stream: 63 s", took)
		}
		client.CloseIdleConnections()
	})
}

// When the time of a shutdown is over, the streams' ctx ends.
func TestHTTP2ShutdownEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := secure(t, ticking, server.Options{})
		resp, err := client.Get("https://example.org/events")
		if err != nil {
			t.Fatal(err)
		}
		ended, start := make(chan error, 1), time.Now()
		go func() { ended <- s.stop() }()
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("a stream that was cut looks complete")
		}
		if took := time.Since(start); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("it was cut after %v, want 5 s", took)
		}
		resp.Body.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		client.CloseIdleConnections()
	})
}

// A WebSocket needs HTTP/1.1. Over HTTP/2 extended CONNECT (RFC 8441) is not announced, and a client that tries it nevertheless,
// or sends the header of HTTP/1.1, is refused by net/http; the connection and others' streams go on.
func TestWebSocketOverHTTP2(t *testing.T) {
	files := newCertFiles(t, issue(t, "mine"))
	s := variant{}.serveTCP(t, pages, server.Options{CertFile: files.cert, KeyFile: files.key})
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	tc, _, err := shake(c, &tls.Config{NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	h2 := &rawHTTP2{tc}
	io.WriteString(h2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	h2.frame(4, 0, 0, nil) // our SETTINGS
	h2.headers(1, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/ws/", ":authority", "example.org",
		"sec-websocket-version", "13", "origin", "https://example.org")
	h2.headers(3, ":method", "GET", ":scheme", "https", ":path", "/ws/", ":authority", "example.org",
		"connection", "Upgrade", "upgrade", "websocket", "sec-websocket-version", "13", "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
	h2.headers(5, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "example.org")
	got := map[uint32]string{}
	for len(got) < 3 {
		kind, stream, payload, err := h2.next()
		switch {
		case err != nil:
			t.Fatal(err)
		case kind == 4 && strings.Contains(string(payload), "\x00\x08\x00\x00\x00\x01"):
			t.Error("the server announces extended CONNECT")
		case kind == 3 && got[stream] == "":
			got[stream] = "reset"
		case kind == 1 && payload[0] == 0x89: // :status 204 of the static table
			got[stream] = "204"
		case kind == 1 && payload[0] == 0x8c: // :status 400
			got[stream] = "400"
		case kind == 1:
			got[stream] = "another"
		}
	}
	if got[1] != "reset" || got[3] != "400" || got[5] != "204" {
		t.Errorf("extended CONNECT: %s, want a reset; upgrade: %s, want 400; a page: %s, want 204", got[1], got[3], got[5])
	}
}

// rawHTTP2 writes and reads frames (RFC 9113 section 4.1).
type rawHTTP2 struct{ net.Conn }

func (h *rawHTTP2) frame(kind, flags byte, stream uint32, payload []byte) {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	h.Write(append(binary.BigEndian.AppendUint32(head, stream), payload...))
}

// headers opens a stream with fields that are not compressed (RFC 7541 section 6.2.2), and ends it where there is no CONNECT.
func (h *rawHTTP2) headers(stream uint32, fields ...string) {
	var block []byte
	for i, s := range fields {
		if i%2 == 0 {
			block = append(block, 0)
		}
		block = append(append(block, byte(len(s))), s...)
	}
	flags := byte(0x4 | 0x1) // END_HEADERS, END_STREAM
	if fields[1] == http.MethodConnect {
		flags = 0x4
	}
	h.frame(1, flags, stream, block)
}

func (h *rawHTTP2) next() (kind byte, stream uint32, payload []byte, err error) {
	var head [9]byte
	if _, err := io.ReadFull(h, head[:]); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(h, payload)
	return head[3], binary.BigEndian.Uint32(head[5:]), payload, err
}
