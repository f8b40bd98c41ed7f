package asgitest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// feed is an app that sends these bytes as a stream of events, in pieces of n bytes, and then keeps it open or completes it.
func feed(text string, n int, open bool) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		start := asgi.HTTPResponseStart{Status: 200, Header: map[string][]string{"Content-Type": {"text/event-stream; charset=utf-8"}}}
		if err := send(ctx, start); err != nil {
			return err
		}
		for rest := text; rest != ""; {
			m := min(n, len(rest))
			if err := send(ctx, asgi.HTTPResponseBody{Body: []byte(rest[:m]), MoreBody: true}); err != nil {
				return err
			}
			rest = rest[m:]
		}
		if open {
			<-ctx.Done()
			return nil
		}
		return send(ctx, asgi.HTTPResponseBody{})
	})
}

// The stream is interpreted as HTML says, whatever pieces it comes in.
func TestEventSourceReads(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []consumers.SSE
	}{
		{"data", "data: a\n\n", []consumers.SSE{{Data: "a"}}},
		{"no space", "data:a\n\ndata:  b\n\n", []consumers.SSE{{Data: "a"}, {Data: " b"}}},
		{"lines", "data: a\ndata\ndata: b\n\n", []consumers.SSE{{Data: "a\n\nb"}}},
		{"line ends", "data: a\rdata: b\r\ndata: c\r\r\ndata: d\n\n", []consumers.SSE{{Data: "a\nb\nc"}, {Data: "d"}}},
		{"empty data", "data\n\ndata:\n\n", []consumers.SSE{{}, {}}},
		{"name", "event: x\ndata: a\n\ndata: b\n\n", []consumers.SSE{{Event: "x", Data: "a"}, {Data: "b"}}},
		{"a name without data", "event: x\n\ndata: b\n\n", []consumers.SSE{{Data: "b"}}},
		{"id stays", "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", []consumers.SSE{{ID: "1", Data: "a"}, {ID: "1", Data: "b"}, {Data: "c"}}},
		{"id with NUL", "id: 1\nid: \x00\ndata: a\n\n", []consumers.SSE{{ID: "1", Data: "a"}}},
		{"id alone", "id: 1\n\ndata: a\n\n", []consumers.SSE{{ID: "1", Data: "a"}}},
		{"comment, unknown field, case", ": c\nfoo: x\nDATA: x\ndata: a\n\n", []consumers.SSE{{Data: "a"}}},
		{"byte order mark", "\ufeffdata: a\n\n\ufeffdata: b\n\n", []consumers.SSE{{Data: "a"}}},
		{"not UTF-8", "data: a\xffb\n\n", []consumers.SSE{{Data: "a\ufffdb"}}},
		{"not ended", "data: a\n\ndata: b\n", []consumers.SSE{{Data: "a"}}},
	} {
		for _, n := range []int{1, 2, 1000} {
			es := asgitest.New(t, feed(c.text, n, false)).EventSource("/")
			var got []consumers.SSE
			for {
				event, err := es.Next(t.Context())
				if err != nil {
					if !errors.Is(err, asgi.ErrClosed) {
						t.Errorf("%s: the end is %v", c.name, err)
					}
					break
				}
				got = append(got, event)
			}
			if len(got) != len(c.want) {
				t.Errorf("%s, in pieces of %d: %#v, want %#v", c.name, n, got, c.want)
				continue
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("%s, in pieces of %d: %#v, want %#v", c.name, n, got[i], c.want[i])
				}
			}
		}
	}
}

func TestEventSourceRetry(t *testing.T) {
	es := asgitest.New(t, feed(":\nretry: 250\nretry: 1x\nretry: -1\ndata: a\n\n: b\n", 3, false)).EventSource("/")
	es.ExpectData("a")
	es.ExpectEnd()
	if es.Retry() != 250*time.Millisecond || es.Comments() != 2 {
		t.Errorf("retry %v, %d comments; want 250ms and 2", es.Retry(), es.Comments())
	}
	if err := es.Wait(); err != nil {
		t.Error(err)
	}
}

// A client that comes back tells the last id, and no other.
func TestEventSourceReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			ids = append(ids, scope.HeaderValue("last-event-id"))
			return feed("id: 7\ndata: a\n\nid: 8\n", 100, true).Serve(ctx, scope, receive, send)
		})
		es := asgitest.New(t, app).EventSource("/")
		if got := es.Event(); got != (consumers.SSE{ID: "7", Data: "a"}) {
			t.Errorf("got %#v", got)
		}
		es.ExpectNothing()
		es = es.Reconnect()
		es.ExpectData("a")
		es.Close()
		if strings.Join(ids, ",") != ",7" {
			t.Errorf("the ids are %q: 8 was not in force yet", ids)
		}
	})
}

// What is wrong is said in full.
func TestEventSourceFailures(t *testing.T) {
	for want, f := range map[string]func(t testing.TB){
		"status 200 and Content-Type \"\"": func(t testing.TB) { asgitest.New(t, mirror200).EventSource("/") },
		"expected an event (\"b\"), got \"a\"": func(t testing.TB) {
			asgitest.New(t, feed("data: a\n\n", 9, false)).EventSource("/").ExpectData("b")
		},
		"expected nothing, got an event (\"b\")": func(t testing.TB) {
			es := asgitest.New(t, feed(":\n\ndata: a\n\nretry: 1\n\ndata: b\n\n", 99, true)).EventSource("/")
			es.ExpectData("a")
			es.ExpectNothing()
		},
		"proves nothing outside of a bubble": func(t testing.TB) {
			es := asgitest.New(t, feed("data: a\n\nretry: 1\n\n", 99, true)).EventSource("/")
			es.ExpectData("a")
			es.ExpectNothing()
		},
		"got the end of the response": func(t testing.TB) { asgitest.New(t, feed("data: a\n", 9, false)).EventSource("/").Event() },
		"expected the end of the response, got an event": func(t testing.TB) {
			asgitest.New(t, feed("data: a\n\n", 9, false)).EventSource("/").ExpectEnd()
		},
	} {
		if got := record(t, f).text(); !strings.Contains(got, want) {
			t.Errorf("the failure text lacks %q:\n%s", want, got)
		}
	}
}

var mirror200 = asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
	return errors.Join(send(ctx, asgi.HTTPResponseStart{Status: 200}), send(ctx, asgi.HTTPResponseBody{}))
})

// FuzzEventSource: however a stream is cut into pieces, the events are the same, and none has a line end in its id or name.
func FuzzEventSource(f *testing.F) {
	for _, s := range []string{"data: a\n\n", "id: 1\r\ndata\r\r\n", "\ufeff:\nevent: x\ndata: \xff\n\n", "retry: 99999999999999999999\n\n"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, text string, n int) {
		read := func(n int) (events []consumers.SSE) {
			es := asgitest.New(t, feed(text, n, false)).EventSource("/")
			for {
				event, err := es.Next(t.Context())
				if err != nil {
					return events
				}
				events = append(events, event)
			}
		}
		whole, pieces := read(len(text)+1), read(max(1, n%7))
		if !slices.Equal(whole, pieces) {
			t.Errorf("%q: %#v, in pieces %#v", text, whole, pieces)
		}
		for _, e := range whole {
			if strings.ContainsAny(e.ID, "\r\n\x00") || strings.ContainsAny(e.Event, "\r\n") {
				t.Errorf("%q: %#v", text, e)
			}
		}
	})
}
