package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
	"go.uber.org/zap"
)

// A listener writes down what an observer hears of.
type listener struct {
	name string
	mu   sync.Mutex
	all  []string
	last consumers.Result
	conn *consumers.Conn
}

type recordKey struct{ of *listener }

func (r *listener) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, r.name+fmt.Sprintf(format, args...))
}

// lines returns what was written since the last call, without the name of the state's type.
func (r *listener) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.all = nil }()
	return slices.Clone(r.all)
}

func (r *listener) Opened(consumer string, c *consumers.Conn) {
	r.add("opened")
	if consumer != "consumers_test.none" {
		r.add("the consumer is %q", consumer)
	}
	r.conn = c
}

func (r *listener) Closed(consumer string, c *consumers.Conn) {
	if c == r.conn {
		r.add("closed")
	}
}

func (r *listener) Begin(ctx context.Context, call consumers.Call) context.Context {
	return context.WithValue(ctx, recordKey{r}, call.Kind)
}

func (r *listener) End(ctx context.Context, call consumers.Call, result consumers.Result) {
	if ctx.Value(recordKey{r}) != call.Kind {
		r.add("the ctx at the end is not that of the beginning")
	}
	if call.Consumer != "consumers_test.none" || time.Since(call.Began) < result.Took {
		r.add("the call is %+v", call)
	}
	line := strings.TrimSpace(fmt.Sprint(call.Kind, " ", call.Type))
	if result.Outcome != consumers.OutcomeOK {
		line += ": " + string(result.Outcome)
	}
	r.add("%s", line)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = result
}

// middleware brings the listener to what is below.
func (r *listener) middleware(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return app.Serve(ctx, consumers.WithObserver(scope, r), receive, send)
	})
}

func (r *listener) expect(t testing.TB, want ...string) {
	t.Helper()
	if got := r.lines(); !slices.Equal(got, want) {
		t.Errorf("the observer heard\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

var errBroken = errors.New("no database")

// misbehave returns, or does, what a text asks for.
func misbehave(what string) error {
	switch what {
	case "error":
		return errBroken
	case "panic":
		panic(errBroken)
	case "close":
		return asgi.CloseError{Code: 4000}
	case "stop":
		return consumers.ErrStop
	case "deny":
		return asgi.Deny{Status: 404}
	case "deny 503":
		return asgi.Deny{Status: 503}
	}
	return nil
}

// TestObserver: an observer hears of each handler once, and of nothing that has none.
func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(listener)
		app := socket{
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error { return c.GroupAdd(ctx, "room") },
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				if ctx.Value(recordKey{r}) != consumers.KindText {
					t.Error("the handler's ctx is not the observer's")
				}
				rest(ctx, 2*time.Second)
				return c.SendText(ctx, "heard")
			},
			Binary: func(_ *none, ctx context.Context, c *consumers.Conn, data []byte) error { return nil },
			Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				return c.SendText(ctx, v.Text)
			})},
			Forward: consumers.Types(ticked),
			Disconnect: func(_ *none, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
				if ctx.Value(recordKey{r}) != consumers.KindDisconnect {
					t.Error("the ctx of Disconnect is not the observer's")
				}
				return nil
			},
			Logger: zap.NewNop(),
		}.App()
		site, layer := site(t, r.middleware(app))
		ws := site.Dial("/")
		synctest.Wait()
		r.expect(t, "opened", string(consumers.KindConnect))

		ws.SendText("hello")
		ws.ExpectText("heard")
		synctest.Wait()
		r.expect(t, "text")
		if r.last.Took != 2*time.Second {
			t.Errorf("the handler took %v, want 2 s", r.last.Took)
		}

		ws.SendBinary([]byte("hello"))
		const unknown layers.Type[note] = "from.elsewhere"
		const wrong layers.Type[map[string]int] = "test.note"
		for _, m := range []layers.Message{
			unknown.With(note{}), // no handler is listed
			ticked.With(note{}),  // forwarded
			wrong.With(map[string]int{"text": 1}),
			noted.With(note{Text: "news"}),
		} {
			if err := layer.GroupSend(t.Context(), "room", m); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		ws.ExpectText(`{"text":"","n":0}`)
		ws.ExpectText("news")
		r.expect(t, string(consumers.KindBinary), "message test.note: "+string(consumers.OutcomeInvalid), "message test.note")

		ws.Disconnect()
		synctest.Wait()
		r.expect(t, "disconnect", "closed")
	})
}

// TestObserverOutcomes: what a handler returns is sorted as the connection takes it.
func TestObserverOutcomes(t *testing.T) {
	for _, tc := range []struct {
		what string
		want consumers.Outcome
		err  error
	}{
		{"nothing", consumers.OutcomeOK, nil},
		{"error", consumers.OutcomeError, errBroken},
		{"panic", consumers.OutcomePanic, errBroken},
		{"close", consumers.OutcomeEnded, asgi.CloseError{Code: 4000}},
		{"stop", consumers.OutcomeEnded, consumers.ErrStop},
		{"deny", consumers.OutcomeEnded, asgi.Deny{}},
		{"deny 503", consumers.OutcomeError, asgi.Deny{}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			r := new(listener)
			app := r.middleware(socket{
				Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error { return misbehave(text) },
			}.App())
			_ = app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), script(1, tc.what), nowhere)
			if r.last.Outcome != tc.want {
				t.Errorf("the outcome is %q, want %q", r.last.Outcome, tc.want)
			}
			var broken *asgi.PanicError
			var deny asgi.Deny
			switch {
			case tc.want == consumers.OutcomePanic && errors.As(r.last.Err, &broken) && broken.Value == tc.err && len(broken.Stack) > 0:
			case tc.want != consumers.OutcomePanic && errors.Is(r.last.Err, tc.err):
			case errors.As(tc.err, &deny) && errors.As(r.last.Err, &deny):
			default:
				t.Errorf("the observer was told of %v, want %v", r.last.Err, tc.err)
			}
		})
	}
}

// TestObserverGoexit: a handler that ends its goroutine is a failure, too.
func TestObserverGoexit(t *testing.T) {
	r := new(listener)
	app := r.middleware(socket{Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
		(&testing.T{}).FailNow()
		return nil
	}}.App())
	over := make(chan struct{})
	go func() { // ends by the handler's Goexit; waited for below
		defer close(over)
		_ = app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), script(1, ""), nowhere)
	}()
	<-over
	r.expect(t, "opened", "connect", "text: panic", "closed")
}

// TestObservers: several follow one connection, the first of them outside.
func TestObservers(t *testing.T) {
	first, second := &listener{name: "first "}, &listener{name: "second "}
	var all []string
	app := asgi.Wrap(socket{Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
		for _, r := range []*listener{first, second} {
			if ctx.Value(recordKey{r}) != consumers.KindText {
				t.Errorf("the handler's ctx does not have what %s put there", r.name)
			}
		}
		return nil
	}}.App(), first.middleware, second.middleware)
	if err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), script(1, ""), nowhere); err != nil {
		t.Error(err)
	}
	for _, r := range []*listener{first, second} {
		all = append(all, r.lines()...)
	}
	want := []string{"first opened", "first connect", "first text", "first closed", "second opened", "second connect", "second text", "second closed"}
	if !slices.Equal(all, want) {
		t.Errorf("the observers heard %q, want %q", all, want)
	}
	defer func() {
		if v := fmt.Sprint(recover()); !strings.Contains(v, "leave the scope as it is") {
			t.Errorf("an observer that is nil: %v", v)
		}
	}()
	consumers.WithObserver(asgi.NewScope(asgi.Fields{}), nil)
}

// TestObserverHTTP: a request is one call, however many pieces its body has.
func TestObserverHTTP(t *testing.T) {
	r := new(listener)
	srv := httptest.NewServer(server.New(r.middleware(consumers.AsyncHTTPConsumer[none]{
		Handle: func(_ *none, ctx context.Context, c *consumers.Conn, body []byte) error {
			return c.Respond(ctx, http.StatusOK, nil, fmt.Append(nil, len(body), " ", ctx.Value(recordKey{r})))
		},
	}.App()), &server.Options{Logger: zap.NewNop()}))
	answer, err := http.Post(srv.URL, "text/plain", io.LimitReader(zeros{}, 300_000))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	srv.Close()
	if err != nil || string(text) != "300000 http" {
		t.Errorf("the answer is %q, %v", text, err)
	}
	r.expect(t, "opened", string(consumers.KindHTTP), "closed")
}

// TestObserverSSE: a stream of events is a request, then messages, then its hook.
func TestObserverSSE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(listener)
		site, layer := site(t, r.middleware(consumers.AsyncSSEConsumer[none]{
			Groups:     []string{"room"},
			Disconnect: func(*none, context.Context, *consumers.Conn, asgi.DisconnectError) error { return nil },
			Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				return c.SendText(ctx, v.Text)
			})},
			Forward: consumers.Types(ticked),
		}.App()))
		x := site.Stream("GET", "/")
		x.Start()
		for _, m := range []layers.Message{noted.With(note{Text: "news"}), ticked.With(note{})} {
			if err := layer.GroupSend(t.Context(), "room", m); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		x.Abandon()
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
		r.expect(t, "opened", "http", "message test.note", "disconnect", "closed")
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestObserverWorker: jobs are messages; a type that nobody has listed is not told of.
func TestObserverWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(listener)
		layer := memlayer.New(nil)
		ctx, stop := context.WithCancel(t.Context())
		w := consumers.Worker{
			Layer: layer, Channels: []string{"jobs"}, Logger: zap.NewNop(),
			App: r.middleware(consumers.AsyncConsumer[none]{
				Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
					if ctx.Value(recordKey{r}) != consumers.KindMessage {
						t.Error("the handler's ctx is not the observer's")
					}
					return misbehave(v.Text)
				})},
			}.App()),
		}
		over := make(chan error)
		go func() { over <- w.Run(ctx) }() // ends with ctx; waited for below
		const unknown layers.Type[note] = "from.elsewhere"
		for _, m := range []layers.Message{unknown.With(note{}), noted.With(note{}), noted.With(note{Text: "error"})} {
			if err := layer.Send(t.Context(), "jobs", m); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
		got := slices.DeleteFunc(r.lines(), func(s string) bool { return s == "opened" || s == "closed" })
		if want := []string{"message test.note", "message test.note: error"}; !slices.Equal(got, want) {
			t.Errorf("the observer heard %q, want %q", got, want)
		}
	})
}

// TestObserverEvents: an AsyncConsumer's events have the names of what they are.
func TestObserverEvents(t *testing.T) {
	r := new(listener)
	app := r.middleware(consumers.AsyncConsumer[none]{}.App())
	events := []asgi.Event{asgi.WebSocketConnect{}, asgi.LifespanStartup{}, asgi.WebSocketReceive{Frame: asgi.BinaryFrame(nil)},
		asgi.WebSocketDisconnect{Code: 1000}}
	receive := func(context.Context) (asgi.Event, error) {
		ev := events[0]
		events = events[1:]
		return ev, nil
	}
	if err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), receive, nowhere); err != nil {
		t.Error(err)
	}
	r.expect(t, "opened", "connect", string(consumers.KindEvent), "binary", "disconnect", "closed")
}

// TestWaiting: the depth of a mailbox can be asked for while a handler runs.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(listener)
		site, layer := site(t, r.middleware(socket{
			Groups: []string{"room"},
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				if text == "first" {
					rest(ctx, time.Second)
				}
				return nil
			},
			Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				return c.SendText(ctx, v.Text)
			})},
		}.App()))
		ws := site.Dial("/")
		ws.SendText("first")
		synctest.Wait()
		rest(t.Context(), 100*time.Millisecond)
		ws.SendText("second")
		for range 3 {
			if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: "news"})); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if events, messages := r.conn.Waiting(); events != 1 || messages != 3 {
			t.Errorf("%d events and %d messages wait, want 1 and 3", events, messages)
		}
		for range 3 {
			ws.ExpectText("news")
		}
		if events, messages := r.conn.Waiting(); events != 0 || messages != 0 {
			t.Errorf("%d events and %d messages wait, want none", events, messages)
		}
		ws.Disconnect()
	})
}

// TestObservedSync: what a blocking handler sends goes out with the ctx of its call.
func TestObservedSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(listener)
		told := new(watcher)
		var conn *consumers.SyncConn
		layer := memlayer.New(&layers.Options{Propagator: told})
		site := asgitest.New(t, r.middleware(consumers.SyncWebsocketConsumer[none]{
			Text: func(_ *none, c *consumers.SyncConn, text string) error {
				conn = c
				return c.GroupSend("room", noted.With(note{Text: text}))
			},
		}.App())).With(&asgitest.Options{Scope: func(scope *asgi.Scope) *asgi.Scope { return consumers.LayerKey.With(scope, layer) }})
		told.r = r
		ws := site.Dial("/")
		ws.SendText("hello")
		synctest.Wait()
		if want := consumers.KindText; told.kind != want {
			t.Errorf("the message was sent with the ctx of %q, want %q", told.kind, want)
		}
		if err := conn.GroupSend("room", noted.With(note{})); err != nil || told.kind != nil {
			t.Errorf("between handlers, a message was sent with the ctx of %q: %v", told.kind, err)
		}
		ws.Disconnect()
	})
}

// watcher is a propagator that looks at the ctx of who sends.
type watcher struct {
	r    *listener
	kind any
}

func (p *watcher) Inject(ctx context.Context) string {
	p.kind = ctx.Value(recordKey{p.r})
	return ""
}

func (p *watcher) Extract(ctx context.Context, trace string) context.Context { return ctx }
