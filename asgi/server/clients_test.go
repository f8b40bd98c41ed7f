package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// Clients that others have written, each a process of its own, talk to a live server.

// forClients is the application that they talk to: an echo, pages and a stream of events.
func forClients(ends chan<- asgi.WebSocketDisconnect) asgi.AppFunc {
	return func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		switch {
		case scope.Type() == asgi.Lifespan:
			return errors.ErrUnsupported
		case scope.Type() == asgi.HTTP && scope.Path() == "/events":
			return events(ctx, send)
		case scope.Type() == asgi.HTTP:
			return witness(ctx, scope, receive, send)
		case scope.Path() != "/ws/":
			return asgi.Deny{}
		}
		accept := asgi.WebSocketAccept{}
		if slices.Contains(scope.Subprotocols(), "chat.v2") {
			accept.Subprotocol = "chat.v2"
		}
		if _, err := receive(ctx); err != nil {
			return err
		}
		if err := send(ctx, accept); err != nil {
			return err
		}
		return talk(ctx, receive, send, ends)
	}
}

// talk echoes. A text "close 4001 bye" is an order.
func talk(ctx context.Context, receive asgi.Receive, send asgi.Send, ends chan<- asgi.WebSocketDisconnect) error {
	for {
		event, err := receive(ctx)
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case asgi.WebSocketDisconnect:
			ends <- e
			return nil
		case asgi.WebSocketReceive:
			var order asgi.CloseError
			if n, _ := fmt.Sscanf(string(e.Frame.Data), "close %d %s", &order.Code, &order.Reason); n == 2 {
				return order
			}
			if err := send(ctx, asgi.WebSocketSend{Frame: e.Frame}); err != nil {
				return err
			}
		}
	}
}

// events is a stream of Server-Sent Events.
func events(ctx context.Context, send asgi.Send) error {
	if err := send(ctx, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}}); err != nil {
		return err
	}
	for i := range 3 {
		if err := send(ctx, asgi.HTTPResponseBody{Body: fmt.Appendf(nil, "id: %d\ndata: tick\n\n", i), MoreBody: true}); err != nil {
			return err
		}
	}
	return send(ctx, asgi.HTTPResponseBody{})
}

// clientSites are servers of forClients: plain, with compression, and with TLS.
func clientSites(t *testing.T) (sites map[string]string, ends chan asgi.WebSocketDisconnect) {
	ends = make(chan asgi.WebSocketDisconnect, 100)
	port := func(ln net.Listener) string { return ln.Addr().String() }
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	plain, compressed := listen(), listen()
	secure, _ := listenTLS(t)
	variant{}.serveOn(t, plain, nil, forClients(ends), server.Options{})
	variant{}.serveOn(t, compressed, nil, forClients(ends), server.Options{Compression: true})
	variant{}.serveOn(t, secure, nil, forClients(ends), server.Options{})
	return map[string]string{"plain": port(plain), "compressed": port(compressed), "secure": port(secure)}, ends
}

// missing skips a test for want of something that the machine lacks. Where everything must run, it fails instead.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("TIDEWAY_REQUIRE") == "all" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// program finds a program and, by a run with these arguments, that it has what it needs.
func program(t *testing.T, path, debian string, probe ...string) string {
	t.Helper()
	found, err := exec.LookPath(path)
	if err != nil {
		missing(t, "%s is not installed: apt-get install %s", path, debian)
	}
	if out, err := client(t, found, probe...); err != nil {
		missing(t, "%s lacks something: apt-get install %s\n%s", path, debian, out)
	}
	return found
}

// client runs a program to its end. It is killed when it is stuck.
func client(t *testing.T, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "NODE_PATH=/usr/share/nodejs:/usr/lib/nodejs", "NODE_NO_WARNINGS=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Node's and Python's most used clients find a good server: text, binary, empty and large messages, fragments, compression, pings,
// close codes both ways, subprotocols, refusals.
func TestWebSocketClients(t *testing.T) {
	for _, tc := range []struct {
		name, path, debian string
		probe, args        []string
		code               int // with which it closes
	}{
		{"Node", "node", "nodejs node-ws", []string{"-e", "require('ws')"}, []string{"testdata/client.js"}, 4002},
		{"Python", "/usr/bin/python3", "python3-websockets", []string{"-c", "import websockets"}, []string{"testdata/client.py"}, 4003},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := program(t, tc.path, tc.debian, tc.probe...)
			sites, ends := clientSites(t)
			for _, run := range [][]string{
				{"ws://" + sites["plain"], "plain"}, {"ws://" + sites["compressed"], "compressed"}, {"ws://" + sites["compressed"], "plain"},
				{"wss://" + sites["secure"], "plain"},
			} {
				out, err := client(t, path, append(tc.args, run...)...)
				if passed := strings.Count(out, "passed "); err != nil || passed != 7 {
					t.Errorf("%v: %d checks passed, want 7: %v\n%s", run, passed, err, out)
				}
				heard := false
				for !heard {
					select {
					case e := <-ends:
						heard = e.Code == tc.code && e.Reason == "from "+tc.name && e.By == asgi.ByClient
					case <-time.After(10 * time.Second):
						t.Fatalf("%v: the application did not hear of %d", run, tc.code)
					}
				}
			}
		})
	}
}

// curl gets pages over HTTP/1.1 and HTTP/2, posts, reads a stream of events and upgrades.
func TestCurl(t *testing.T) {
	curl := program(t, "curl", "curl", "--version")
	sites, _ := clientSites(t)
	large := strings.Repeat("x", 100_000)
	for _, tc := range []struct {
		name string
		args []string
		want string // part of what is printed
	}{
		{"GET", []string{"http://" + sites["plain"] + "/page"}, "GET /page"},
		{"HEAD", []string{"-I", "http://" + sites["plain"] + "/page"}, "HTTP/1.1 200 OK"},
		{"POST", []string{"-d", "said", "http://" + sites["plain"] + "/page"}, "POST /page said"},
		{"POST in chunks", []string{"-H", "Transfer-Encoding: chunked", "-d", large, "http://" + sites["plain"] + "/page"}, "POST /page " + large},
		{"two on one connection", []string{"-w", "%{num_connects} ", "http://" + sites["plain"] + "/a", "http://" + sites["plain"] + "/b"}, "GET /a1 GET /b0 "},
		{"HTTP/1.0", []string{"-0", "http://" + sites["plain"] + "/page"}, "GET /page"},
		{"HTTP/2", []string{"-k", "--http2", "-w", " by HTTP/%{http_version}", "https://" + sites["secure"] + "/page"}, "GET /page by HTTP/2"},
		{"POST by HTTP/2", []string{"-k", "--http2", "-d", large, "https://" + sites["secure"] + "/page"}, "POST /page " + large},
		{"HTTP/1.1 with TLS", []string{"-k", "--http1.1", "-w", " by HTTP/%{http_version}", "https://" + sites["secure"] + "/page"}, "GET /page by HTTP/1.1"},
		{"events", []string{"-N", "http://" + sites["plain"] + "/events"}, "id: 2\ndata: tick\n\n"},
		{"events by HTTP/2", []string{"-k", "--http2", "-N", "https://" + sites["secure"] + "/events"}, "id: 2\ndata: tick\n\n"},
		{"an upgrade", append(upgradeByCurl, "http://"+sites["plain"]+"/ws/"), "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		{"an upgrade with TLS", append(upgradeByCurl, "-k", "https://"+sites["secure"]+"/ws/"), "HTTP/1.1 101 Switching Protocols"},
		{"a refused upgrade", append(upgradeByCurl, "http://"+sites["plain"]+"/"), "HTTP/1.1 403 Forbidden"},
		{"an upgrade to HTTP/2 without TLS", []string{"--http2", "-w", " by HTTP/%{http_version}", "http://" + sites["plain"] + "/page"}, "GET /page by HTTP/1.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// After an upgrade curl waits for what the server says; --max-time ends that.
			if out, err := client(t, curl, append([]string{"-sS"}, tc.args...)...); !strings.Contains(out, tc.want) {
				t.Errorf("curl printed %.300q (%v), want %.100q", out, err, tc.want)
			}
		})
	}
}

// upgradeByCurl are the arguments of a handshake. Clipped, so that each append copies.
var upgradeByCurl = slices.Clip([]string{"-i", "-N", "--http1.1", "--max-time", "1", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket",
	"-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="})

// h2load's thousands of requests in streams of HTTP/2 are all answered.
func TestH2load(t *testing.T) {
	h2load := program(t, "h2load", "nghttp2-client", "--version")
	sites, _ := clientSites(t)
	for name, args := range map[string][]string{
		"GET":      {"https://" + sites["secure"] + "/page"},
		"POST":     {"-d", "testdata/client.py", "https://" + sites["secure"] + "/page"},
		"HTTP/1.1": {"--h1", "https://" + sites["secure"] + "/page"},
	} {
		out, err := client(t, h2load, append([]string{"-n", "2000", "-c", "10", "-m", "20"}, args...)...)
		if err != nil || !strings.Contains(out, "2000 succeeded, 0 failed") || !strings.Contains(out, "status codes: 2000 2xx") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if protocol := map[bool]string{true: "http/1.1", false: "h2"}[name == "HTTP/1.1"]; !strings.Contains(out, "Application protocol: "+protocol) {
			t.Errorf("%s: no %s\n%s", name, protocol, out)
		}
	}
}
