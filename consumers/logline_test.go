package consumers_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
)

// TestLogLines counts, on a live server, what the log says of an end that a handler or a message has made (C7).
func TestLogLines(t *testing.T) {
	app := socket{
		Connect: func(_ *none, _ context.Context, c *consumers.Conn) error {
			if c.Scope().RawQuery() == "refuse" {
				return asgi.CloseError{Code: 4000}
			}
			return nil
		},
		Text: consumers.JSON(func(_ *none, _ context.Context, _ *consumers.Conn, what string) error {
			switch what {
			case "error":
				return errors.New("no database")
			case "panic":
				panic("no database")
			case "stop":
				return consumers.ErrStop
			case "joined":
				return errors.Join(nil, asgi.CloseError{Code: 4000})
			}
			return asgi.CloseError{Code: 4000}
		}),
	}.App()
	for _, tc := range []struct {
		name, query, message string
		code                 int // 0: refused
		lines                int
		stack                bool
	}{
		{"error", "", `"error"`, 1011, 1, false},
		{"panic", "", `"panic"`, 1011, 1, true},
		{"bad JSON", "", `{`, 1007, 1, false},
		{"empty message", "", ``, 1007, 1, false},
		{"ErrStop", "", `"stop"`, 1000, 0, false},
		{"CloseError", "", `"close"`, 4000, 0, false},
		{"joined CloseError", "", `"joined"`, 4000, 0, false},
		{"CloseError before the accept", "refuse", ``, 0, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			srv := server.New(app, &server.Options{Logger: zap.New(core)})
			front := httptest.NewServer(srv)
			defer front.Close()
			if code := endOf(t, front.Listener.Addr().String(), tc.query, tc.message); code != tc.code {
				t.Errorf("C7: the client heard %d, want %d", code, tc.code)
			}
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			all := logs.All()
			if len(all) != tc.lines {
				t.Fatalf("C7: a handler's error, a panic and bad JSON leave one line each, a deliberate end none; %d lines, want %d: %v", len(all), tc.lines, all)
			}
			for _, line := range all {
				fields := line.ContextMap()
				if _, ok := fields["stack"]; ok != tc.stack || line.Stack != "" {
					t.Errorf("C7: only a panic has a stack: %v", fields)
				}
				if fields["path"] != "/ws/" {
					t.Errorf("the line does not say where: %v", fields)
				}
			}
		})
	}
}

// endOf opens a WebSocket, sends one text message of at most 125 bytes and returns the code of the close frame that comes
// back, or 0 after a refusal.
func endOf(t *testing.T, addr, query, message string) int {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, strings.Join([]string{"GET /ws/?" + query + " HTTP/1.1", "Host: " + addr, "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""}, "\r\n"))
	in := bufio.NewReader(nc)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("refused with %s, want 403", resp.Status)
		}
		return 0
	}
	noMask := []byte{0, 0, 0, 0}
	nc.Write(append(append([]byte{0x81, 0x80 | byte(len(message))}, noMask...), message...))
	var head [4]byte // a close frame's header and code
	if _, err := io.ReadFull(in, head[:]); err != nil || head[0] != 0x88 {
		t.Fatalf("got % x, %v; want a close frame", head, err)
	}
	nc.Write(append(append([]byte{0x88, 0x82}, noMask...), head[2:]...))
	return int(head[2])<<8 | int(head[3])
}
