package consumers_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// TestLimit: at most n at once among all tables that name it, hooks and layer messages included.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := consumers.NewLimit(2)
		var mu sync.Mutex
		var inside, most, runs int
		work := func() error {
			mu.Lock()
			inside++
			runs++
			most = max(most, inside)
			mu.Unlock()
			<-time.After(time.Second)
			mu.Lock()
			inside--
			mu.Unlock()
			return nil
		}
		messages := []consumers.Handler[none]{consumers.OnSync(noted, func(*none, *consumers.SyncConn, note) error { return work() })}
		sockets, layer := site(t, syncSocket{
			Limit: pool, Groups: []string{"room"}, Messages: messages,
			Connect: func(*none, *consumers.SyncConn) error { return work() },
			Text:    func(*none, *consumers.SyncConn, string) error { return work() },
			Binary:  func(*none, *consumers.SyncConn, []byte) error { return work() },
		}.App())
		requests, _ := site(t, consumers.SyncHTTPConsumer[none]{
			Limit: pool,
			Handle: func(_ *none, c *consumers.SyncConn, body []byte) error {
				return errors.Join(work(), c.Respond(200, nil, nil))
			},
		}.App())
		events, _ := site(t, consumers.SyncConsumer[none]{
			Limit: pool,
			Event: func(_ *none, c *consumers.SyncConn, ev asgi.Event) error {
				if _, ok := ev.(asgi.HTTPRequest); !ok {
					return nil
				}
				return errors.Join(work(), c.Respond(200, nil, nil))
			},
		}.App())
		var all sync.WaitGroup
		for _, s := range []*asgitest.Site{requests, requests, events} {
			x := s.Stream("GET", "/")
			all.Go(func() { _ = x.Wait() })
		}
		var open []*asgitest.WebSocket
		for range 3 {
			ws := sockets.With(&asgitest.Options{Timeout: time.Minute}).Dial("/")
			ws.SendText("x")
			ws.SendBinary(nil)
			open = append(open, ws)
		}
		if err := layer.GroupSend(t.Context(), "room", noted.With(note{})); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		rest(t.Context(), 30*time.Second)
		for _, ws := range open {
			ws.Drop()
			_ = ws.Wait()
		}
		if most != 2 {
			t.Errorf("%d handlers ran at once, want 2", most)
		}
		if runs != 3+3+6+3 {
			t.Errorf("%d handlers ran, want 3 requests, 3 Connects, 6 client events and 3 layer messages", runs)
		}
	})
}

// TestLimitWaits: waiting for a slot ends with the connection, and Disconnect needs none.
func TestLimitWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := consumers.NewLimit(1)
		release := make(chan struct{})
		var ran, ended atomic.Int32
		site, _ := site(t, syncSocket{
			Limit: pool,
			Text: func(*none, *consumers.SyncConn, string) error {
				ran.Add(1)
				<-release
				return nil
			},
			Disconnect: func(*none, *consumers.SyncConn, asgi.DisconnectError) error {
				ended.Add(1)
				return nil
			},
		}.App())
		holder, waiter := site.Dial("/"), site.Dial("/")
		holder.SendText("hold")
		synctest.Wait()
		waiter.SendText("wait")
		rest(t.Context(), 50*time.Millisecond)
		begun := time.Now()
		waiter.Drop()
		if err := waiter.Wait(); err != nil {
			t.Errorf("waiting for a slot ended with %v", err)
		}
		if d := time.Since(begun); d != 0 {
			t.Errorf("waiting for a slot went on for %v after the end of the connection", d)
		}
		if ran.Load() != 1 || ended.Load() != 1 {
			t.Errorf("%d handlers and %d Disconnects ran, want 1 and 1: Disconnect has a slot of its own", ran.Load(), ended.Load())
		}
		close(release)
		holder.Disconnect()
	})
}

// TestLimitAfterTheEnd: C4, client events that were read before the end are handled after it, though a limit is set and
// ctx has ended: their slots are free.
func TestLimitAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled []string
		site, _ := site(t, syncSocket{
			Limit: consumers.NewLimit(1),
			Text: func(_ *none, _ *consumers.SyncConn, text string) error {
				<-time.After(100 * time.Millisecond)
				handled = append(handled, text)
				return nil
			},
		}.App())
		ws := site.Dial("/")
		var said []string
		for i := range 20 { // a choice between a free slot and an ended ctx would take the slot now and then
			said = append(said, string(rune('a'+i)))
			ws.SendText(said[i])
		}
		rest(t.Context(), 50*time.Millisecond) // all but the first wait
		ws.Drop()
		if err := ws.Wait(); err != nil {
			t.Error(err)
		}
		if !slices.Equal(handled, said) {
			t.Errorf("C4 broken: %q were read before the end and %q handled", said, handled)
		}
	})
}

// TestLimitSparesTheEnd: C5, what tells of the end has a slot of its own in every table, because it may have to give
// back what others wait for.
func TestLimitSparesTheEnd(t *testing.T) {
	dial := func(s *asgitest.Site) (drop func(), wait func() error) {
		ws := s.Dial("/")
		return ws.Drop, ws.Wait
	}
	stream := func(s *asgitest.Site) (drop func(), wait func() error) {
		x := s.Stream("GET", "/")
		return x.Abandon, x.Wait
	}
	for _, c := range []struct {
		name string
		app  func(*consumers.Limit, *farewells) asgi.App
		open func(*asgitest.Site) (drop func(), wait func() error)
		want string
	}{
		{"SyncWebsocketConsumer", func(pool *consumers.Limit, f *farewells) asgi.App {
			return syncSocket{Limit: pool, Disconnect: f.disconnect}.App()
		}, dial, "Disconnect"},
		{"SyncHTTPConsumer", func(pool *consumers.Limit, f *farewells) asgi.App {
			return consumers.SyncHTTPConsumer[none]{Limit: pool, Disconnect: f.disconnect, Handle: func(_ *none, c *consumers.SyncConn, _ []byte) error {
				c.Go(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
				return c.StartResponse(200, nil)
			}}.App()
		}, stream, "Disconnect"},
		{"SyncConsumer, WebSocket", func(pool *consumers.Limit, f *farewells) asgi.App {
			return consumers.SyncConsumer[none]{Limit: pool, Event: f.event}.App()
		}, dial, "websocket.disconnect"},
		{"SyncConsumer, HTTP", func(pool *consumers.Limit, f *farewells) asgi.App {
			return consumers.SyncConsumer[none]{Limit: pool, Event: f.event}.App()
		}, stream, "http.disconnect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool, release, told := consumers.NewLimit(1), make(chan struct{}), new(farewells)
				taking, _ := site(t, syncSocket{Limit: pool, Text: func(*none, *consumers.SyncConn, string) error {
					<-release
					return nil
				}}.App())
				ending, _ := site(t, c.app(pool, told))
				drop, wait := c.open(ending)
				holder := taking.Dial("/")
				synctest.Wait() // both have given back the slots of their first handlers
				holder.SendText("hold")
				synctest.Wait()
				begun := time.Now()
				drop()
				if err := wait(); err != nil {
					t.Error(err)
				}
				if d := time.Since(begun); d != 0 || !slices.Equal(told.names, []string{c.want}) {
					t.Errorf("C5 broken: while all slots are taken, %q told of the end within %v; want %s at once", told.names, d, c.want)
				}
				close(release)
				holder.Disconnect()
			})
		})
	}
}

// farewells are the names of what has told a connection of its end.
type farewells struct{ names []string }

func (f *farewells) disconnect(*none, *consumers.SyncConn, asgi.DisconnectError) error {
	f.names = append(f.names, "Disconnect")
	return nil
}

func (f *farewells) event(_ *none, c *consumers.SyncConn, ev asgi.Event) error {
	switch ev.(type) {
	case asgi.WebSocketConnect:
		return c.SendEvent(asgi.WebSocketAccept{})
	case asgi.WebSocketDisconnect, asgi.HTTPDisconnect:
		f.names = append(f.names, ev.EventType())
	}
	return nil
}
