package consumers_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"context"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// stream is the table of server-sent events that most tests here fill in.
type stream = consumers.AsyncSSEConsumer[none]

// TestSSEText is what stands on the wire for an event, byte by byte.
func TestSSEText(t *testing.T) {
	for _, c := range []struct {
		name  string
		event consumers.SSE
		text  string // "": an error
		err   string
	}{
		{"data", consumers.SSE{Data: "hello"}, "data: hello\n\n", ""},
		{"everything", consumers.SSE{ID: "7", Event: "price", Data: "1", Retry: 3 * time.Second}, "id: 7\nevent: price\nretry: 3000\ndata: 1\n\n", ""},
		{"lines", consumers.SSE{Data: "a\nb\rc\r\nd"}, "data: a\ndata: b\ndata: c\ndata: d\n\n", ""},
		{"a last line break", consumers.SSE{Data: "a\n"}, "data: a\ndata: \n\n", ""},
		{"only line breaks", consumers.SSE{Data: "\r\n\r"}, "data: \ndata: \ndata: \n\n", ""},
		{"leading space and colon", consumers.SSE{Data: " :x"}, "data:  :x\n\n", ""},
		{"a field within data", consumers.SSE{Data: "x\nid: 9"}, "data: x\ndata: id: 9\n\n", ""},
		{"a name without data", consumers.SSE{Event: "done"}, "event: done\ndata: \n\n", ""},
		{"an id alone", consumers.SSE{ID: "7"}, "id: 7\n\n", ""},
		{"retry alone, rounded up", consumers.SSE{Retry: time.Microsecond}, "retry: 1\n\n", ""},
		{"nothing", consumers.SSE{}, ":\n\n", ""},
		{"NUL in data", consumers.SSE{Data: "a\x00b"}, "data: a\x00b\n\n", ""},
		{"LF in the id", consumers.SSE{ID: "a\nb"}, "", "line break"},
		{"CR in the id", consumers.SSE{ID: "a\rb"}, "", "line break"},
		{"NUL in the id", consumers.SSE{ID: "a\x00"}, "", "browsers ignore"},
		{"CR in the name", consumers.SSE{Event: "a\r"}, "", "line break"},
		{"not UTF-8", consumers.SSE{Data: "\xff"}, "", "not UTF-8"},
		{"negative retry", consumers.SSE{Retry: -1}, "", "negative"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := make(chan error, 1)
				site, _ := site(t, stream{Connect: func(_ *none, ctx context.Context, conn *consumers.Conn) error {
					sent <- conn.SendSSE(ctx, c.event)
					return consumers.ErrStop
				}}.App())
				x := site.Stream("GET", "/")
				status, _ := x.Start()
				if c.text != "" {
					x.ExpectChunk(c.text)
					if err := told(t, sent); err != nil {
						t.Errorf("send: %v", err)
					}
				} else if err := told(t, sent); err == nil || !strings.Contains(err.Error(), c.err) || status != 204 {
					t.Errorf("status %d, send: %v; want 204 and an error with %q", status, err, c.err)
				}
				if err := x.Wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// FuzzSSE writes an event and reads it as a browser does.
func FuzzSSE(f *testing.F) {
	for _, s := range []string{"", "a", "a\nb", "\r\n", "a\r", ": x", "id: 3\n\ndata: y", "\ufeffa", " a", "\x00", "\u2028"} {
		f.Add("7", "price", s)
		f.Add(s, s, "x")
	}
	f.Fuzz(func(t *testing.T, id, name, data string) {
		synctest.Test(t, func(t *testing.T) {
			want := consumers.SSE{ID: id, Event: name, Data: data}
			site, _ := site(t, stream{Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				if err := c.StartSSE(ctx, nil); err != nil {
					return err
				}
				if c.SendSSE(ctx, want) != nil { // it says why; nothing of it may reach the client
					return consumers.ErrStop
				}
				return c.SendSSE(ctx, consumers.SSE{Data: "marker"})
			}}.App())
			es := site.EventSource("/")
			got := readSSE(es)
			es.Close()
			want.Data = strings.ReplaceAll(strings.ReplaceAll(want.Data, "\r\n", "\n"), "\r", "\n")
			switch {
			case len(got) == 0: // refused
			case len(got) == 1 && data == "" && name == "": // no event
				if got[0] != (consumers.SSE{ID: id, Data: "marker"}) {
					t.Errorf("%#v arrived as %#v", want, got)
				}
			case len(got) != 2 || got[0] != want || got[1].Data != "marker":
				t.Errorf("%#v arrived as %#v", want, got)
			}
		})
	})
}

// readSSE reads what has come when everything is at rest.
func readSSE(es interface {
	Next(context.Context) (consumers.SSE, error)
}) (events []consumers.SSE) {
	synctest.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		event, err := es.Next(ctx)
		if err != nil {
			return events
		}
		events = append(events, event)
	}
}

var _ asgi.App = stream{}.App()
