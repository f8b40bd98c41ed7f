package accesslog_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/asgi/middleware/accesslog"
	"github.com/tideway-go/tideway/testing/asgitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sending is an app that takes the first event, a second later sends events, and returns err.
func sending(err error, list ...asgi.Event) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if _, err := receive(ctx); err != nil {
			return err
		}
		<-time.After(time.Second)
		for _, e := range list {
			if err := send(ctx, e); err != nil {
				return err
			}
		}
		return err
	})
}

// logged returns what lines say, without what is the same in all of these tests.
func logged(lines *observer.ObservedLogs) []string {
	var list []string
	for _, e := range lines.TakeAll() {
		f := e.ContextMap()
		var fields []string
		for name, v := range f {
			switch {
			case name == "client" || name == "host" || name == "path" || name == "query" || name == "version":
			case v == "" || v == false || v == int64(0) || v == time.Duration(0):
			default:
				fields = append(fields, fmt.Sprintf("%s=%v", name, v))
			}
		}
		slices.Sort(fields)
		list = append(list, e.Message+" "+strings.Join(fields, " "))
	}
	return list
}

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, lines := observer.New(zap.InfoLevel)
	return zap.New(core), lines
}

func demand(t *testing.T, lines *observer.ObservedLogs, want ...string) {
	t.Helper()
	if got := logged(lines); !slices.Equal(got, want) {
		t.Errorf("the log has\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// One line for a request, with what a server makes of what the app returned.
func TestRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	start := asgi.HTTPResponseStart{Status: 201}
	trailers := asgi.HTTPResponseStart{Status: 200, Trailers: true}
	text := asgi.HTTPResponseBody{Body: []byte("hello")}
	part := asgi.HTTPResponseBody{Body: []byte("hello"), MoreBody: true}
	for _, tc := range []struct {
		name   string
		method string
		app    asgi.App
		want   string // without duration and method
	}{
		{"a page", "GET", sending(nil, start, text), "by=app bytes_in=4 bytes_out=5 status=201"},
		{"two parts", "GET", sending(nil, start, part, text), "by=app bytes_in=4 bytes_out=10 status=201"},
		{"HEAD", "HEAD", sending(nil, start, text), "by=app bytes_in=4 status=201"},
		{"trailers", "GET", sending(nil, trailers, text, asgi.HTTPResponseTrailers{MoreTrailers: true}, asgi.HTTPResponseTrailers{}), "by=app bytes_in=4 bytes_out=5 status=200"},
		{"a file", "GET", sending(nil, start, asgi.HTTPResponsePathSend{Path: file}), "by=app bytes_in=4 bytes_out=10 status=201"},
		{"an open file", "GET", sending(nil, start, asgi.HTTPResponseZeroCopySend{File: open, Offset: 3}), "by=app bytes_in=4 bytes_out=7 status=201"},
		{"a part of it", "GET", sending(nil, start, asgi.HTTPResponseZeroCopySend{File: open, Offset: 3, Count: 2}), "by=app bytes_in=4 bytes_out=2 status=201"},
		{"all of it", "GET", sending(nil, start, asgi.HTTPResponseZeroCopySend{File: open}), "by=app bytes_in=4 bytes_out=10 status=201"},
		{"from where it stands", "GET", sending(nil, start, asgi.HTTPResponseZeroCopySend{File: open, Offset: -1}), "by=app bytes_in=4 status=201"},
		{"only a hint", "GET", sending(nil, start, asgi.HTTPResponseEarlyHint{}), "by=app bytes_in=4 status=500"},
		{"a start, then a failure", "GET", sending(errors.New("broken"), start), "by=app bytes_in=4 status=500"},
		{"Deny", "GET", sending(asgi.Deny{Status: 404}), "by=app bytes_in=4 status=404"},
		{"a failure", "GET", sending(errors.New("broken")), "by=app bytes_in=4 status=500"},
		{"nothing", "GET", sending(nil), "by=app bytes_in=4 status=500"},
		{"a CloseError", "GET", sending(asgi.CloseError{Code: 4000}), "by=app bytes_in=4 status=500"},
		{"a panic with a Deny", "GET", sending(&asgi.PanicError{Value: asgi.Deny{}}), "by=app bytes_in=4 status=500"},
		{"not complete", "GET", sending(nil, start, part), "by=app bytes_in=4 bytes_out=5 cut=true status=201"},
		{"trailers missing", "GET", sending(nil, trailers, text), "by=app bytes_in=4 bytes_out=5 cut=true status=200"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger, lines := observed()
				scope := asgi.NewScope(asgi.Fields{Type: asgi.HTTP, Method: tc.method})
				body := func(context.Context) (asgi.Event, error) { return asgi.HTTPRequest{Body: []byte("body")}, nil }
				app := accesslog.New(&accesslog.Options{Logger: logger})(tc.app)
				_ = app.Serve(t.Context(), scope, body, func(context.Context, asgi.Event) error { return nil })
				before, after, _ := strings.Cut(tc.want, " cut=true")
				if !strings.Contains(tc.want, "cut=true") {
					before, after, _ = strings.Cut(tc.want, " status=")
					after = " status=" + after
				} else {
					before += " cut=true"
				}
				demand(t, lines, "http: request "+before+" duration=1s method="+tc.method+after)
			})
		})
	}
}

// Who left during a request, and that nobody has seen the end of it.
func TestRequestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, lines := observed()
		waiting := func(begin ...asgi.Event) asgi.App {
			return accesslog.New(&accesslog.Options{Logger: logger})(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
				for _, e := range begin {
					if err := send(ctx, e); err != nil {
						return err
					}
				}
				<-ctx.Done()
				return context.Cause(ctx)
			}))
		}
		e := asgitest.New(t, waiting()).Stream("GET", "/")
		synctest.Wait()
		e.Abandon()
		_ = e.Wait()
		demand(t, lines, "http: request by=client cut=true method=GET")
		e = asgitest.New(t, waiting(asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{Body: []byte("x"), MoreBody: true})).Stream("GET", "/")
		e.ExpectChunk("x")
		e.Abandon()
		_ = e.Wait()
		demand(t, lines, "http: request by=client bytes_out=1 cut=true method=GET status=200")
	})
}

// Two lines for a WebSocket, and who ended it how.
func TestWebSocket(t *testing.T) {
	accept := asgi.WebSocketAccept{Subprotocol: "chat"}
	const opened = "websocket: open duration=1s subprotocol=chat"
	ended := func(end func(ctx context.Context, receive asgi.Receive, send asgi.Send) error) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if err := sending(nil, accept, asgi.WebSocketSend{Frame: asgi.TextFrame("hello")}).Serve(ctx, scope, receive, send); err != nil {
				return err
			}
			if _, err := receive(ctx); err != nil { // "hi"
				return err
			}
			return end(ctx, receive, send)
		})
	}
	returning := func(err error) asgi.App {
		return ended(func(context.Context, asgi.Receive, asgi.Send) error { return err })
	}
	listening := ended(func(ctx context.Context, receive asgi.Receive, _ asgi.Send) error { _, err := receive(ctx); return err })
	deaf := ended(func(ctx context.Context, _ asgi.Receive, _ asgi.Send) error { <-ctx.Done(); return context.Cause(ctx) })
	const traffic = "bytes_in=2 bytes_out=5 "
	for _, tc := range []struct {
		name string
		app  asgi.App
		do   func(*asgitest.WebSocket)
		want string
	}{
		{"by the client", listening, func(ws *asgitest.WebSocket) { ws.Close(4001, "bye") }, "by=client " + traffic + "code=4001"},
		{"lost", listening, (*asgitest.WebSocket).Drop, "by=network " + traffic + "code=1006"},
		{"lost, unheard", deaf, (*asgitest.WebSocket).Drop, "by=network " + traffic + "code=1006"},
		{"by the app", ended(func(ctx context.Context, receive asgi.Receive, send asgi.Send) error {
			if err := send(ctx, asgi.WebSocketClose{Code: 4002, Reason: "bye"}); err != nil {
				return err
			}
			_, err := receive(ctx)
			return err
		}), func(ws *asgitest.WebSocket) { ws.ExpectClose(4002, "bye") }, "by=app " + traffic + "code=4002"},
		{"by the app, which leaves", ended(func(ctx context.Context, _ asgi.Receive, send asgi.Send) error {
			return send(ctx, asgi.WebSocketClose{Reason: "bye"})
		}), func(*asgitest.WebSocket) {}, "by=app " + traffic + "code=1000"},
		{"by its return", returning(nil), func(*asgitest.WebSocket) {}, "by=app " + traffic + "code=1000"},
		{"by a code", returning(fmt.Errorf("bad: %w", asgi.CloseError{Code: 1007, Reason: "bye"})), func(*asgitest.WebSocket) {}, "by=app " + traffic + "code=1007"},
		{"by a code that is 0", returning(asgi.CloseError{Reason: "bye"}), func(*asgitest.WebSocket) {}, "by=app " + traffic + "code=1000"},
		{"by a failure", returning(errors.New("broken")), func(ws *asgitest.WebSocket) { ws.ExpectText("hello"); ws.ReceiveClose() }, "by=app " + traffic + "code=1011"},
		{"by a panic", returning(&asgi.PanicError{Value: asgi.CloseError{Code: 4000}}), func(*asgitest.WebSocket) {}, "by=app " + traffic + "code=1011"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger, lines := observed()
				site := asgitest.New(t, accesslog.New(&accesslog.Options{Logger: logger})(tc.app)).With(&asgitest.Options{Subprotocols: []string{"chat"}})
				ws := site.Dial("/")
				if tc.name == "by the app" || strings.Contains(tc.name, "failure") {
					defer ws.Drop()
				}
				<-time.After(time.Second)
				ws.SendText("hi")
				synctest.Wait()
				if strings.HasPrefix(tc.name, "by the app") && tc.name != "by the app, which leaves" {
					ws.ExpectText("hello")
				}
				tc.do(ws)
				_ = ws.Wait()
				got := logged(lines)
				if len(got) != 2 || got[0] != opened {
					t.Fatalf("the log has %q", got)
				}
				want := "websocket: close " + tc.want + " duration=1s messages_in=1 messages_out=1"
				if strings.Contains(tc.want, "4001") || strings.Contains(tc.name, "by the app") || strings.Contains(tc.name, "by a code") {
					want += " reason=bye"
				}
				if got[1] != want {
					t.Errorf("the log has\n\t%s\nwant\n\t%s", got[1], want)
				}
			})
		})
	}
}

// away is the error of a broker that is away.
type away struct{ error }

func (away) StatusCode() int { return 503 }

// A handshake without a socket is one line.
func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		app  asgi.App
		want string
	}{
		{"Deny", sending(asgi.Deny{Status: 401}), "status=401"},
		{"a close", sending(nil, asgi.WebSocketClose{Code: 4000}), "status=403"},
		{"a CloseError", sending(asgi.CloseError{Code: 4000}), "status=403"},
		{"a denial response", sending(nil, asgi.WebSocketHTTPResponseStart{Status: 404}, asgi.WebSocketHTTPResponseBody{}), "status=404"},
		{"a failure", sending(errors.New("broken")), "status=500"},
		{"a failure that says its status", sending(away{errors.New("broken")}), "status=503"},
		{"nothing", sending(nil), "status=500"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger, lines := observed()
				asgitest.New(t, accesslog.New(&accesslog.Options{Logger: logger})(tc.app)).Refused("/")
				synctest.Wait()
				demand(t, lines, "websocket: refused by=app duration=1s "+tc.want)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		logger, lines := observed()
		site := asgitest.New(t, accesslog.New(&accesslog.Options{Logger: logger})(asgi.AppFunc(
			func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
				<-ctx.Done()
				return context.Cause(ctx)
			})))
		ws := site.Open("/")
		synctest.Wait()
		ws.Drop()
		_ = ws.Wait()
		demand(t, lines, "websocket: refused by=network status=503")
	})
}

// An app that panics, or ends its goroutine, has its line too, and the panic goes on.
func TestUnwinding(t *testing.T) {
	logger, lines := observed()
	for name, end := range map[string]func(){"panic": func() { panic("broken") }, "Goexit": (&testing.T{}).SkipNow} {
		app := accesslog.New(&accesslog.Options{Logger: logger})(asgi.AppFunc(
			func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { end(); return nil }))
		done := make(chan any)
		go func() { // ends with the app, and sends what it panicked with on its way
			var value any
			defer func() { done <- value }()
			defer func() { value = recover() }()
			_ = app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), nil, nil)
			t.Error("Serve returned")
		}()
		if got := <-done; (got == "broken") != (name == "panic") {
			t.Errorf("%s: recovered %v", name, got)
		}
		all := lines.TakeAll()
		if len(all) != 1 || all[0].ContextMap()["status"] != int64(500) {
			t.Errorf("%s: the log has %v", name, all)
		}
	}
}

// What identifies a connection, in a line and in what consumers log; of a query only the names, unless asked for.
func TestFields(t *testing.T) {
	logger, lines := observed()
	for _, tc := range []struct {
		name    string
		logger  *zap.Logger // of the options
		query   []string
		raw     string
		want    string
		scope   *zap.Logger
		nothing bool
	}{
		{"values are hidden", logger, nil, "room=1&token=x&flag&%zz=1&a=", "room=-&token=-&-&-&a=-", nil, false},
		{"but those asked for", logger, []string{"room", "a b"}, "room=1&token=x&a%20b=2", "room=1&token=-&a%20b=2", nil, false},
		{"all of them", logger, []string{"*"}, "room=1&flag", "room=1&flag", nil, false},
		{"no query", logger, nil, "", "", nil, false},
		{"the scope's logger", nil, nil, "a=1", "a=-", logger, false},
		{"no logger", nil, nil, "a=1", "", nil, true},
		{"a logger of errors", logger.WithOptions(zap.IncreaseLevel(zap.WarnLevel)), nil, "a=1", "", nil, true},
	} {
		app := asgi.Wrap(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if v, ok := asgi.LoggerKey.Get(scope); ok && tc.scope != nil {
				v.(*zap.Logger).Info("from a handler")
			}
			return asgi.Deny{Status: 404}
		}), middleware.RequestID(nil), accesslog.New(&accesslog.Options{Logger: tc.logger, Query: tc.query, Header: []string{"user-agent", "Referer"}}))
		scope := asgi.NewScope(asgi.Fields{Type: asgi.HTTP, Method: "GET", HTTPVersion: "1.1", Client: "127.0.0.1:1", Host: "a.com", Path: "/p", RawQuery: tc.raw,
			Header: http.Header{"User-Agent": {"curl", "x"}, "Other": {"secret"}, "X-Request-Id": {"id"}}})
		if tc.scope != nil {
			scope = asgi.LoggerKey.With(scope, tc.scope)
		}
		_ = app.Serve(t.Context(), scope, nil, nil)
		all := lines.TakeAll()
		if tc.scope != nil {
			if len(all) == 0 || all[0].Message != "from a handler" || all[0].ContextMap()["request_id"] != "id" {
				t.Fatalf("%s: a handler's line is %v", tc.name, all)
			}
			all = all[1:]
		}
		if tc.nothing {
			if len(all) != 0 {
				t.Errorf("%s: the log has %v", tc.name, all)
			}
			continue
		}
		if len(all) != 1 {
			t.Fatalf("%s: the log has %v", tc.name, all)
		}
		got := all[0].ContextMap()
		delete(got, "duration")
		want := map[string]any{"client": "127.0.0.1:1", "host": "a.com", "path": "/p", "query": tc.want, "method": "GET", "version": "1.1", "status": int64(404),
			"by": "app", "cut": false, "bytes_in": int64(0), "bytes_out": int64(0), "user-agent": "curl, x", "request_id": "id"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the line has\n%v\nwant\n%v", tc.name, got, want)
		}
		if n := strings.Count(fmt.Sprint(all[0].Context), "request_id"); n != 1 {
			t.Errorf("%s: the id is there %d times", tc.name, n)
		}
	}
}

// One in so many, and every failure.
func TestEveryAndSkip(t *testing.T) {
	logger, lines := observed()
	o := &accesslog.Options{Logger: logger, Every: 3, Skip: func(s *asgi.Scope) bool { return s.Path() == "/health" }}
	serve := func(kind, path string, err error, list ...asgi.Event) {
		app := accesslog.New(o)(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			for _, e := range list {
				if err := send(ctx, e); err != nil {
					return err
				}
			}
			return err
		}))
		for range 7 {
			_ = app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: kind, Path: path}), nil, func(context.Context, asgi.Event) error { return nil })
		}
	}
	for _, tc := range []struct {
		kind, path string
		err        error
		events     []asgi.Event
		lines      int
	}{
		{asgi.HTTP, "/", asgi.Deny{Status: 404}, nil, 3},
		{asgi.HTTP, "/", errors.New("broken"), nil, 7},
		{asgi.HTTP, "/", asgi.Deny{Status: 503}, nil, 7},
		{asgi.HTTP, "/", nil, []asgi.Event{asgi.HTTPResponseStart{Status: 200}}, 7}, // cut
		{asgi.HTTP, "/health", errors.New("broken"), nil, 0},
		{asgi.WebSocket, "/", asgi.Deny{}, nil, 3},
		{asgi.WebSocket, "/", errors.New("broken"), nil, 7},
		{asgi.WebSocket, "/", nil, []asgi.Event{asgi.WebSocketAccept{}}, 6},
		{asgi.WebSocket, "/", errors.New("broken"), []asgi.Event{asgi.WebSocketAccept{}}, 10}, // three opened, all closed
		{asgi.WebSocket, "/health", nil, nil, 0},
	} {
		serve(tc.kind, tc.path, tc.err, tc.events...)
		if got := len(lines.TakeAll()); got != tc.lines {
			t.Errorf("%s %s, %v, %v: %d lines, want %d", tc.kind, tc.path, tc.err, tc.events, got, tc.lines)
		}
	}
	left, leave := context.WithCancelCause(t.Context())
	leave(asgi.DisconnectError{By: asgi.ByClient})
	log := accesslog.New(o)
	for range 6 { // clients that leave are no failures
		_ = log(asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return asgi.ErrClosed })).
			Serve(left, asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), nil, nil)
	}
	if got := lines.Len(); got != 2 {
		t.Errorf("of clients that left: %d lines", got)
	}
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "Options.Every is negative") {
			t.Errorf("panicked with %s", got)
		}
	}()
	accesslog.New(&accesslog.Options{Every: -1})
}

// What cannot be meant says so at start.
func TestMistakes(t *testing.T) {
	for want, f := range map[string]func(){
		`Options.Header[1] is "a b", which is no name of a header: write`: func() { accesslog.New(&accesslog.Options{Header: []string{"Accept", "a b"}}) },
		`Options.Header[0] is ""`:      func() { accesslog.New(&accesslog.Options{Header: []string{""}}) },
		"the app is nil: pass the one": func() { accesslog.New(nil)(nil) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("panicked with %q, want %q", got, want)
				}
			}()
			f()
		}()
	}
}

// Scopes of other types pass untouched, and so does every event, without an allocation.
func TestPassesUnchanged(t *testing.T) {
	logger, lines := observed()
	m := accesslog.New(&accesslog.Options{Logger: logger})
	failed := errors.New("failed")
	for _, kind := range []string{asgi.Lifespan, asgi.Channel, "mqtt"} {
		scope := asgi.NewScope(asgi.Fields{Type: kind})
		if err := m(asgi.AppFunc(func(_ context.Context, s *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
			if s != scope {
				t.Errorf("%s: another scope", kind)
			}
			return failed
		})).Serve(t.Context(), scope, nil, nil); err != failed {
			t.Errorf("%s: got %v", kind, err)
		}
	}
	if lines.Len() != 0 {
		t.Errorf("the log has %v", lines.All())
	}
	frame := asgi.TextFrame("x")
	out := asgi.Event(asgi.WebSocketSend{Frame: frame, Prepared: asgi.Prepare(frame), More: true})
	in := asgi.Event(asgi.WebSocketReceive{Frame: frame, Waited: true})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var sent asgi.Event
	var with context.Context
	full := asgi.ErrFull
	app := m(m(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if err := send(ended, out); err != asgi.ErrFull || !reflect.DeepEqual(sent, out) || with != ended {
			t.Errorf("sent %#v with %v: %v", sent, with, err)
		}
		full = nil
		if n := testing.AllocsPerRun(100, func() {
			if event, err := receive(ctx); err != nil || !event.(asgi.WebSocketReceive).Waited {
				t.Error(event, err)
			}
			_ = send(ended, out)
		}); n != 0 {
			t.Errorf("a message costs %v allocations", n)
		}
		return nil
	})))
	err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), func(context.Context) (asgi.Event, error) { return in, nil },
		func(ctx context.Context, e asgi.Event) error { sent, with = e, ctx; return full })
	if err != nil {
		t.Error(err)
	}
}
