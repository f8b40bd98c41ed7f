package limit_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/limit"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// A client that sends too much is slowed down: nothing is lost, and TCP holds it back.
func TestSlowDown(t *testing.T) {
	for _, tc := range []struct {
		name     string
		opts     limit.Options
		messages []int         // sizes
		took     time.Duration // until the last one is back
	}{
		{"within the burst", limit.Options{Messages: limit.Rate{PerSecond: 1, Burst: 3}}, []int{1, 1, 1}, 0},
		{"messages", limit.Options{Messages: limit.Rate{PerSecond: 2, Burst: 3}}, []int{0, 0, 0, 0, 0}, 500 * time.Millisecond},
		{"the default burst", limit.Options{Messages: limit.Rate{PerSecond: 2}}, []int{0, 0, 0, 0}, 500 * time.Millisecond},
		{"the default burst of a slow rate", limit.Options{Messages: limit.Rate{PerSecond: 0.5}}, []int{0, 0, 0}, 2 * time.Second},
		{"bytes", limit.Options{Bytes: limit.Rate{PerSecond: 10, Burst: 10}}, []int{10, 10, 1}, time.Second},
		{"empty messages have no bytes", limit.Options{Bytes: limit.Rate{PerSecond: 10}}, []int{10, 0, 0, 0}, 0},
		{"longer than the burst", limit.Options{Bytes: limit.Rate{PerSecond: 10, Burst: 10}}, []int{45, 0}, 3500 * time.Millisecond},
		{"the slower of both", limit.Options{Messages: limit.Rate{PerSecond: 1}, Bytes: limit.Rate{PerSecond: 1}}, []int{1, 3, 0}, 3 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ws := asgitest.New(t, limit.New(&tc.opts)(echo)).With(&asgitest.Options{Timeout: time.Minute}).Dial("/")
				begin := time.Now()
				for _, n := range tc.messages {
					ws.SendBinary(make([]byte, n))
				}
				for _, n := range tc.messages {
					ws.ExpectBinary(make([]byte, n))
				}
				if got := time.Since(begin).Round(time.Millisecond); got != tc.took {
					t.Errorf("took %v, want %v", got, tc.took)
				}
				ws.Disconnect()
			})
		})
	}
}

// The times at which messages are handed on, to the millisecond.
func TestSlowDownTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times []time.Duration
		begin := time.Now()
		app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			for {
				event, err := receive(ctx)
				if err != nil {
					return err
				}
				switch event.(type) {
				case asgi.WebSocketConnect:
					if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
						return err
					}
				case asgi.WebSocketReceive:
					times = append(times, time.Since(begin).Round(time.Millisecond))
				default:
					return nil
				}
			}
		})
		o := limit.Options{Messages: limit.Rate{PerSecond: 4, Burst: 2}, Bytes: limit.Rate{PerSecond: 100, Burst: 100}}
		ws := asgitest.New(t, limit.New(&o)(app)).With(&asgitest.Options{Timeout: time.Minute}).Dial("/")
		for _, n := range []int{0, 0, 0, 0, 250, 0} {
			ws.SendBinary(make([]byte, n))
		}
		<-time.After(10 * time.Second)
		ws.SendText("after a pause")
		ws.SendText("the burst is back")
		ws.Disconnect()
		ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
		// The third is the first too many: it is handed on, and the fourth waits for what it owes. The long one owes 1.5 s.
		want := []time.Duration{0, 0, 0, ms(250), ms(500), ms(2000), ms(10000), ms(10000)}
		if len(times) != len(want) {
			t.Fatalf("messages at %v, want %v", times, want)
		}
		for i, got := range times {
			if got != want[i] {
				t.Errorf("message %d at %v, want %v", i, got, want[i])
			}
		}
	})
}

// While a client waits, the app's Receive obeys its ctx and loses nothing, and what the server holds back is written.
func TestWaitingReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("enough")
		app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if err := events(asgi.WebSocketAccept{})(ctx, receive, send); err != nil {
				return err
			}
			for range 2 { // the burst, and one too many
				if _, err := receive(ctx); err != nil {
					return err
				}
			}
			if err := send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame("held back"), More: true}); err != nil {
				return err
			}
			short, cancel := context.WithTimeoutCause(ctx, time.Second, cause)
			defer cancel()
			if event, err := receive(short); err != cause {
				t.Errorf("got %v, %v, want the cause of ctx", event, err)
			}
			event, err := receive(ctx)
			if err != nil {
				return err
			}
			return send(ctx, asgi.WebSocketSend{Frame: event.(asgi.WebSocketReceive).Frame})
		})
		ws := asgitest.New(t, limit.New(&limit.Options{Messages: limit.Rate{PerSecond: 0.1, Burst: 1}})(app)).
			With(&asgitest.Options{Timeout: time.Minute}).Dial("/")
		begin := time.Now()
		ws.SendText("1")
		ws.SendText("2")
		ws.SendText("3")
		ws.ExpectText("held back")
		if got := time.Since(begin); got != 0 {
			t.Errorf("what was held back came after %v", got)
		}
		ws.ExpectText("3")
		if got := time.Since(begin).Round(time.Millisecond); got != 10*time.Second {
			t.Errorf("the third message was handed on after %v", got)
		}
		ws.ExpectClose(1000, "")
	})
}

// events answers the connect.
func events(list ...asgi.Event) func(context.Context, asgi.Receive, asgi.Send) error {
	return func(ctx context.Context, receive asgi.Receive, send asgi.Send) error {
		if _, err := receive(ctx); err != nil {
			return err
		}
		for _, e := range list {
			if err := send(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}
}

// An app that has closed hears of the end at once, whatever the client owes.
func TestCloseEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if err := events(asgi.WebSocketAccept{})(ctx, receive, send); err != nil {
				return err
			}
			for range 2 {
				if _, err := receive(ctx); err != nil {
					return err
				}
			}
			closed := make(chan error, 1)
			time.AfterFunc(time.Second, func() { closed <- send(ctx, asgi.WebSocketClose{Code: 4000}) })
			event, err := receive(ctx)
			if _, ok := event.(asgi.WebSocketDisconnect); !ok || time.Since(begin) >= time.Minute {
				t.Errorf("got %v, %v after %v", event, err, time.Since(begin))
			}
			return errors.Join(err, <-closed)
		})
		ws := asgitest.New(t, limit.New(&limit.Options{Messages: limit.Rate{PerSecond: 0.001}})(app)).Dial("/")
		ws.SendText("1")
		ws.SendText("2")
		ws.ExpectClose(4000, "")
	})
}

// With Close, the message too many is not handed on, and the socket is closed with 1008.
func TestClose(t *testing.T) {
	for _, tc := range []struct {
		name   string
		opts   limit.Options
		sizes  []int
		passed int
		reason string
	}{
		{"messages", limit.Options{Messages: limit.Rate{PerSecond: 1, Burst: 2}}, []int{0, 0, 0}, 2, "too many messages"},
		{"bytes", limit.Options{Bytes: limit.Rate{PerSecond: 1, Burst: 10}}, []int{5, 5, 1}, 2, "too many bytes"},
		{"a message longer than the burst passes", limit.Options{Bytes: limit.Rate{PerSecond: 1, Burst: 10}}, []int{50, 1}, 1, "too many bytes"},
		{"but not when some is taken", limit.Options{Bytes: limit.Rate{PerSecond: 1, Burst: 10}}, []int{1, 50}, 1, "too many bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var disconnect asgi.Event
				tc.opts.Close = true
				app := limit.New(&tc.opts)(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
					return echo.Serve(ctx, scope, func(ctx context.Context) (asgi.Event, error) {
						event, err := receive(ctx)
						disconnect = event
						return event, err
					}, send)
				}))
				ws := asgitest.New(t, app).Dial("/")
				for _, n := range tc.sizes {
					ws.SendBinary(make([]byte, n))
				}
				for _, n := range tc.sizes[:tc.passed] {
					ws.ExpectBinary(make([]byte, n))
				}
				ws.ExpectClose(1008, tc.reason)
				if err := ws.Wait(); err != nil {
					t.Error(err)
				}
				if d, ok := disconnect.(asgi.WebSocketDisconnect); !ok || d.Code != 1008 || d.By != asgi.ByApp {
					t.Errorf("the app received %#v", disconnect)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // a client within its rate is never closed
		ws := asgitest.New(t, limit.New(&limit.Options{Messages: limit.Rate{PerSecond: 1, Burst: 1}, Close: true})(echo)).Dial("/")
		for range 5 {
			ws.SendText("x")
			ws.ExpectText("x")
			<-time.After(time.Second)
		}
		ws.Disconnect()
	})
}

// Messages of an app, with all that they say to the server, and of a client pass as they are, without an allocation.
func TestPassesUnchanged(t *testing.T) {
	frame := asgi.TextFrame("x")
	out := asgi.Event(asgi.WebSocketSend{Frame: frame, Prepared: asgi.Prepare(frame), More: true})
	in := asgi.Event(asgi.WebSocketReceive{Frame: frame, Waited: true})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	scope := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket})
	o := limit.Options{Messages: limit.Rate{PerSecond: 1e9}, Bytes: limit.Rate{PerSecond: 1e9}}
	var sent asgi.Event
	var sentWith context.Context
	app := limit.New(&o)(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if err := send(ended, out); err != asgi.ErrFull || !reflect.DeepEqual(sent, out) || sentWith != ended {
			t.Errorf("sent %#v with %v: %v", sent, sentWith, err)
		}
		if event, err := receive(ctx); err != nil {
			t.Error(err)
		} else if got, ok := event.(asgi.WebSocketReceive); !ok || !got.Waited || string(got.Frame.Data) != "x" {
			t.Errorf("received %#v", event)
		}
		if n := testing.AllocsPerRun(100, func() {
			_, _ = receive(ctx)
			_ = send(ended, out)
		}); n != 0 {
			t.Errorf("a message costs %v allocations", n)
		}
		return nil
	}))
	err := app.Serve(t.Context(), scope, func(context.Context) (asgi.Event, error) { return in, nil },
		func(ctx context.Context, e asgi.Event) error { sent, sentWith = e, ctx; return asgi.ErrFull })
	if err != nil {
		t.Error(err)
	}
}

func BenchmarkReceive(b *testing.B) {
	in := asgi.Event(asgi.WebSocketReceive{Frame: asgi.TextFrame("x")})
	o := limit.Options{Messages: limit.Rate{PerSecond: 1e9}, Bytes: limit.Rate{PerSecond: 1e9}}
	_ = limit.New(&o)(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
		for b.Loop() {
			_, _ = receive(ctx)
		}
		return nil
	})).Serve(b.Context(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), func(context.Context) (asgi.Event, error) { return in, nil }, nil)
}
