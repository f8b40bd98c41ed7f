package consumers_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"go.uber.org/zap"
)

// TestSSELive: the streams of a real server, by HTTP/1.1 and by HTTP/2. One client does not read: it is cut, and the others get
// every event.
func TestSSELive(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP/%d", version), func(t *testing.T) {
			layer := memlayer.New(nil)
			whys, begun := make(chan asgi.DisconnectError, 8), make(chan bool, 8)
			app := stream{
				Groups: []string{"room"}, Forward: consumers.Types(ticked),
				Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error { begun <- true; return nil },
				Disconnect: func(_ *none, _ context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
					if strings.HasSuffix(c.Scope().Path(), "slow") {
						whys <- why
					}
					return nil
				},
			}.App()
			s := server.New(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
				return app.Serve(ctx, consumers.LayerKey.With(scope, layer), receive, send)
			}), &server.Options{WriteTimeout: 500 * time.Millisecond, Logger: zap.NewNop()})
			srv := httptest.NewUnstartedServer(s)
			srv.EnableHTTP2 = version == 2
			if version == 2 {
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			open := func(path string) *http.Response {
				t.Helper()
				res, err := srv.Client().Get(srv.URL + path)
				if err != nil || res.ProtoMajor != version || res.Header.Get("Content-Type") != "text/event-stream" {
					t.Fatalf("GET %s: %v, %v", path, res, err)
				}
				<-begun
				return res
			}
			slow, good := open("/slow"), open("/good")
			defer slow.Body.Close()
			lines := bufio.NewReader(good.Body)
			text := strings.Repeat("x", 50_000)
			for n, cut := 0, false; !cut; n++ {
				toRoom(t, layer, ticked.With(note{Text: text, N: n}))
				line, err := lines.ReadString('\n')
				if err != nil || !strings.HasSuffix(line, fmt.Sprintf(`"n":%d}`+"\n", n)) {
					t.Fatalf("event %d: %v", n, err)
				}
				if _, err := lines.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				select {
				case why := <-whys:
					cut = true
					if why.By != asgi.ByServer || !strings.Contains(why.Reason, "does not read") {
						t.Errorf("the client that does not read was cut with %v", why)
					}
				default:
				}
			}
			if err := good.Body.Close(); err != nil {
				t.Error(err)
			}
			if _, err := io.Copy(io.Discard, slow.Body); err == nil {
				t.Error("the response to the client that does not read looks complete")
			}
		})
	}
}
