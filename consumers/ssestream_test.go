package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// TestSSESlowReader: what a client that does not read holds is bounded, by number and by bytes; what does not fit is dropped
// and counted; others get everything; after the server's time for a write the client is cut.
func TestSSESlowReader(t *testing.T) {
	for _, size := range []int{10, 200_000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				whys := make(chan asgi.DisconnectError, 2)
				site, layer := site(t, stream{
					Groups: []string{"room"}, Forward: consumers.Types(ticked),
					Disconnect: func(_ *none, _ context.Context, _ *consumers.Conn, why asgi.DisconnectError) error {
						whys <- why
						return nil
					},
				}.App())
				slow := site.With(&asgitest.Options{Queue: 1}).EventSource("/")
				good := site.EventSource("/")
				synctest.Wait()
				const sent = 300
				text := strings.Repeat("x", size)
				for i := range sent {
					toRoom(t, layer, ticked.With(note{Text: text, N: i}))
					if !strings.HasSuffix(good.Event().Data, fmt.Sprintf(`"n":%d}`, i)) {
						t.Fatal("another client had to wait, or missed something")
					}
				}
				dropped, room := layer.Stats().Dropped[layers.DropFull], 100
				if size > 10 {
					room = 2 << 20 / (2 * size)
				}
				if kept := sent - int(dropped); kept < room/2 || kept > room+3 {
					t.Errorf("%d of %d messages were kept for a client that does not read, want about %d", kept, sent, room)
				}
				rest(t.Context(), 11*time.Second)
				if why := told(t, whys); why.By != asgi.ByNetwork {
					t.Errorf("it ended with %v", why)
				}
				_ = slow.Wait()
				good.Close()
			})
		})
	}
}

// TestSSEBeforeTheStream: nothing of a group comes before Connect has decided.
func TestSSEBeforeTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		joined, decide := make(chan bool), make(chan error)
		site, layer := site(t, stream{
			Groups: []string{"room"}, Forward: consumers.Types(ticked),
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				joined <- true
				return <-decide
			},
		}.App())
		x := site.Stream("GET", "/")
		<-joined
		toRoom(t, layer, ticked.With(note{Text: "early"}))
		x.ExpectNothing()
		decide <- nil
		x.ExpectChunk("data: {\"text\":\"early\",\"n\":0}\n\n")
		x.Abandon()
		_ = x.Wait()

		x = site.Stream("GET", "/")
		<-joined
		toRoom(t, layer, ticked.With(note{Text: "early"}))
		decide <- asgi.Deny{Status: 404}
		if status, _ := x.Start(); status != 404 {
			t.Errorf("got %d, want 404", status)
		}
	})
}

// TestSSEBinary: what is not text is an error to a handler, and dropped where Forward renders it.
func TestSSEBinary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan error, 1)
		site, layer := site(t, stream{
			Groups: []string{"room"},
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				sent <- c.SendBinary(ctx, []byte{1})
				return nil
			},
			Forward: append(consumers.Types(ticked), consumers.Render(noted, func(note) (asgi.Frame, error) {
				return asgi.BinaryFrame([]byte{1}), nil
			})),
		}.App())
		es := site.EventSource("/")
		if err := told(t, sent); err == nil || !strings.Contains(err.Error(), "base64") {
			t.Errorf("SendBinary: %v", err)
		}
		synctest.Wait()
		toRoom(t, layer, noted.With(note{}))
		toRoom(t, layer, ticked.With(note{Text: "marker"}))
		es.ExpectData(`{"text":"marker","n":0}`)
		if n := layer.Stats().Dropped[layers.DropInvalid]; n != 1 {
			t.Errorf("%d messages were dropped as invalid, want 1", n)
		}
		es.Close()
	})
}

// TestSSEOfPost: an answer to a POST may be a stream, from a handler, from Go and from messages.
func TestSSEOfPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, layer := site(t, request{
			Handle: func(_ *none, ctx context.Context, c *consumers.Conn, body []byte) error {
				if err := c.StartSSE(ctx, http.Header{"X-Model": {"m"}}); err != nil {
					return err
				}
				if err := c.StartSSE(ctx, nil); err == nil || !strings.Contains(err.Error(), "begun before") {
					t.Errorf("a second start: %v", err)
				}
				return errors.Join(c.GroupAdd(ctx, "room"), c.SendSSE(ctx, consumers.SSE{Event: "got", Data: string(body)}), c.SendText(ctx, "text"))
			},
			Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				if err := c.SendSSE(ctx, consumers.SSE{Data: v.Text}); err != nil {
					return err
				}
				return consumers.ErrStop
			})},
		}.App())
		x := site.Stream("POST", "/", "question")
		if status, header := x.Start(); status != 200 || header.Get("X-Model") != "m" {
			t.Errorf("got %d %v", status, header)
		}
		x.ExpectChunk("event: got\ndata: question\n\n")
		x.ExpectChunk("data: text\n\n")
		rest(t.Context(), 16*time.Second)
		x.ExpectChunk(":\n\n")
		toRoom(t, layer, noted.With(note{Text: "done"}))
		x.ExpectChunk("data: done\n\n")
		x.Response() // complete
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestSSEWorkBeside: events from many goroutines at once arrive whole, and the stream begins once.
func TestSSEWorkBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, each = 8, 50
		site, _ := site(t, stream{Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
			for w := range workers {
				c.Go(func(ctx context.Context) error {
					for i := range each {
						if err := c.SendSSE(ctx, consumers.SSE{ID: strconv.Itoa(w), Data: strconv.Itoa(i)}); err != nil {
							return err
						}
					}
					return nil
				})
			}
			return nil
		}}.App())
		es := site.EventSource("/")
		next := map[string]int{}
		for range workers * each {
			event := es.Event()
			if event.Data != strconv.Itoa(next[event.ID]) {
				t.Fatalf("worker %s: got %s, want %d", event.ID, event.Data, next[event.ID])
			}
			next[event.ID]++
		}
		es.ExpectNothing()
		es.Close()
	})
}

// TestSSEShutdown: a server that shuts down completes its streams within a second, and tells their handlers why.
func TestSSEShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams = 20
		whys := make(chan asgi.DisconnectError, streams)
		site, _ := site(t, stream{
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				if err := c.SendText(ctx, "begun"); err != nil || c.Scope().Path() != "/busy" {
					return err
				}
				<-ctx.Done()
				return ctx.Err()
			},
			Disconnect: func(_ *none, _ context.Context, _ *consumers.Conn, why asgi.DisconnectError) error {
				whys <- why
				return nil
			},
		}.App())
		var all []*asgitest.EventSource
		for i := range streams {
			es := site.EventSource([]string{"/", "/busy"}[i%2])
			es.ExpectData("begun")
			all = append(all, es)
		}
		begun := time.Now()
		site.Shutdown()
		ends := map[time.Duration]bool{}
		for range streams {
			if why := told(t, whys); why.By != asgi.ByServer || why.Reason == "" {
				t.Errorf("it ended with %v", why)
			}
			ends[time.Since(begun)] = true
		}
		if took := time.Since(begun); took > time.Second || len(ends) < streams/2 {
			t.Errorf("the streams ended within %v, at %d different times", took, len(ends))
		}
		for _, es := range all {
			es.ExpectEnd()
			if err := es.Wait(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestSSEBehind: what waits for a client that is behind goes out together, in order, and handlers keep their place in it.
func TestSSEBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, layer := site(t, stream{
			Groups: []string{"room"}, Forward: consumers.Types(ticked),
			Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				return c.SendText(ctx, v.Text)
			})},
		}.App())
		x := site.With(&asgitest.Options{Queue: 1}).Stream("GET", "/")
		x.Start()
		const sent = 60
		for i := range sent {
			if i == sent/2 {
				toRoom(t, layer, noted.With(note{Text: "half"}))
			}
			toRoom(t, layer, ticked.With(note{N: i}))
		}
		synctest.Wait()
		var want, got strings.Builder
		for i := range sent {
			if i == sent/2 {
				want.WriteString("data: half\n\n")
			}
			fmt.Fprintf(&want, "data: {\"text\":\"\",\"n\":%d}\n\n", i)
		}
		writes := 0
		for ; got.Len() < want.Len(); writes++ {
			got.Write(x.Chunk())
		}
		if got.String() != want.String() {
			t.Errorf("the client got\n%s", &got)
		}
		if writes > 5 {
			t.Errorf("what waited came in %d writes, want a few", writes)
		}
		if dropped := layer.Stats().Dropped; len(dropped) > 0 {
			t.Errorf("dropped: %v", dropped)
		}
		x.Abandon()
	})
}

// TestSSECloseBeforeTheStream: a Close in Connect refuses, as it does for a WebSocket: 403, and no Disconnect.
func TestSSECloseBeforeTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, _ := site(t, stream{
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error { return c.Close(ctx, 4401, "who?") },
		}.App())
		x := site.Stream("GET", "/")
		if status, _ := x.Start(); status != 403 {
			t.Errorf("got %d, want 403", status)
		}
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
	})
}
