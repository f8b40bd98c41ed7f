package auth_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// On a real server: a socket with its token among the subprotocols, and a stream, until both are revoked. Nothing of it
// is worth a line in the log.
func TestLive(t *testing.T) {
	core, logged := observer.New(zap.WarnLevel)
	p := start(t, newManager(), newAccounts(), memlayer.New(nil), nil)
	live := p.With(&asgitest.Options{Logger: zap.New(core)}).Live()

	dialer := websocket.Dialer{Subprotocols: []string{"bearer", "bearer.ann"}}
	ws, response, err := dialer.Dial(live.WebSocketURL+"/ws/private", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if got := response.Header.Get("Sec-Websocket-Protocol"); got != "bearer" || strings.Contains(strings.Join(response.Header["Sec-Websocket-Protocol"], ""), "ann") {
		t.Errorf("A2: the subprotocol is %q", got)
	}
	dialer.Subprotocols = []string{"bearer.eve"}
	if _, response, err := dialer.Dial(live.WebSocketURL+"/ws", nil); err == nil || response.StatusCode != 401 || response.Header.Get("Www-Authenticate") == "" {
		t.Errorf("A1: bad credentials: %v, %v", response, err)
	}

	r, err := http.NewRequestWithContext(t.Context(), "GET", live.URL+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer ann")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	stream, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	lines := bufio.NewReader(stream.Body)
	if line, err := lines.ReadString('\n'); line != "data: ann\n" {
		t.Fatalf("the stream says %q, %v", line, err)
	}

	if err := auth.Revoke(context.Background(), p.Layer(), auth.Revocation{User: "ann"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, 4401) {
		t.Errorf("A5: the socket ends with %v", err)
	}
	if rest, err := io.ReadAll(lines); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("A5: the stream ends with %q, %v; want a cut", rest, err)
	}
	ws.Close()
	for _, entry := range logged.All() {
		t.Errorf("the server logged %q %v", entry.Message, entry.ContextMap())
	}
}
