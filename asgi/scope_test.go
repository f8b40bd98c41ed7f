package asgi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/asgi"
)

func fullFields() asgi.Fields {
	type key struct{}
	return asgi.Fields{
		Type: asgi.HTTP, Method: "GET", Scheme: "https", HTTPVersion: "2", Host: "example.org:1", Path: "/r/a b",
		RawPath: "/r/a%20b", RawQuery: "q=1", RootPath: "/r", Header: http.Header{"A": {"1", "2"}}, Client: "192.0.2.1:2",
		Server: "192.0.2.2:3", Subprotocols: []string{"chat"}, Extensions: map[string]map[string]any{"x": {"y": 1}},
		State: map[string]any{"s": 1}, Channel: "c", Watch: new(asgi.Watch), Closing: context.Background(), Context: context.WithValue(context.Background(), key{}, "v"),
	}
}

// Every field has its getter, and no field is forgotten here.
func TestScopeTellsItsFields(t *testing.T) {
	f := fullFields()
	v := reflect.ValueOf(f)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("field %s is not tested", v.Type().Field(i).Name)
		}
	}
	s := asgi.NewScope(f)
	settings, ok := s.Extension("x")
	got := []any{s.Type(), s.Method(), s.Scheme(), s.HTTPVersion(), s.Host(), s.Path(), s.RawPath(), s.RawQuery(), s.RootPath(),
		s.Header(), s.Client(), s.Server(), s.Subprotocols(), settings, ok, s.State(), s.Channel(), s.Watch(), s.Closing()}
	want := []any{f.Type, f.Method, f.Scheme, f.HTTPVersion, f.Host, f.Path, f.RawPath, f.RawQuery, f.RootPath,
		f.Header, f.Client, f.Server, f.Subprotocols, f.Extensions["x"], true, f.State, f.Channel, f.Watch, f.Closing}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("scope says %v\nwant       %v", got, want)
	}
	if a, b, none := s.HeaderValue("a"), s.HeaderValue("A"), s.HeaderValue("None"); a != "1" || b != "1" || none != "" {
		t.Errorf("the first values are %q, %q and %q, want 1, 1 and nothing", a, b, none)
	}
	if _, ok := s.Extension("none"); ok {
		t.Error("scope has an extension that it was not given")
	}
	if s.Value("none") != nil {
		t.Error("scope has a value that it was not given")
	}
}

func TestScopeNeverChanges(t *testing.T) {
	f := fullFields()
	s := asgi.NewScope(f)
	f.Header.Set("A", "9")
	f.Subprotocols[0] = "changed"
	f.State["s"] = 9
	var kept *asgi.Fields
	d := s.Derive(func(f *asgi.Fields) {
		f.Path, f.RootPath = "/changed", "/changed"
		f.Header.Set("A", "8")
		f.Subprotocols = []string{"other"}
		kept = f
	})
	kept.Path = "/changed again"
	if s.Path() != "/r/a b" || s.RootPath() != "/r" || !slices.Equal(s.Header()["A"], []string{"1", "2"}) ||
		s.Subprotocols()[0] != "chat" || s.State()["s"] != 1 {
		t.Errorf("scope changed: %q %q %v %v %v", s.Path(), s.RootPath(), s.Header(), s.Subprotocols(), s.State())
	}
	if d.Path() != "/changed" || d.Header().Get("A") != "8" || d.Subprotocols()[0] != "other" || d.Host() != s.Host() {
		t.Errorf("derived scope is %q %v %v %q", d.Path(), d.Header(), d.Subprotocols(), d.Host())
	}
}

func TestZeroScope(t *testing.T) {
	var s asgi.Scope
	k := asgi.NewKey[int]("k")
	d := k.With(&s, 1).Derive(func(f *asgi.Fields) { f.Path = "/x" })
	if n, ok := k.Get(d); s.Type() != "" || s.Header() != nil || s.HeaderValue("A") != "" || d.Path() != "/x" || n != 1 || !ok {
		t.Errorf("zero scope: %q %v, derived %q %d", s.Type(), s.Header(), d.Path(), n)
	}
}

func TestKeys(t *testing.T) {
	a, b, none := asgi.NewKey[string]("k"), asgi.NewKey[string]("k"), asgi.NewKey[error]("err")
	s := asgi.NewScope(fullFields())
	s1 := a.With(s, "one")
	s2 := a.With(b.With(s1, "b"), "two")
	want := func(s *asgi.Scope, k asgi.Key[string], value string, found bool) {
		t.Helper()
		if v, ok := k.Get(s); v != value || ok != found {
			t.Errorf("%s is %q, %v; want %q, %v", k, v, ok, value, found)
		}
	}
	want(s, a, "", false)
	want(s1, a, "one", true)
	want(s1, b, "", false) // another key, though of the same name
	want(s2, a, "two", true)
	want(s2, b, "b", true)
	want(s2.Derive(func(f *asgi.Fields) {}), a, "two", true)
	if s2.Path() != s.Path() {
		t.Errorf("path became %q", s2.Path())
	}
	if err, ok := none.Get(none.With(s, nil)); err != nil || !ok {
		t.Errorf("a nil interface is a value as any other: got %v, %v", err, ok)
	}
	if a.String() != "k" {
		t.Errorf("name is %q", a)
	}
	if l, ok := asgi.LoggerKey.Get(asgi.LoggerKey.With(s, "logger")); l != "logger" || !ok {
		t.Errorf("logger is %v, %v", l, ok)
	}
	if n := testing.AllocsPerRun(100, func() { a.With(s, "x") }); n > 3 {
		t.Errorf("a value costs %v allocations, want at most 3", n)
	}
}

func TestWrap(t *testing.T) {
	var order []string
	tag := func(name string) asgi.Middleware {
		return func(inner asgi.App) asgi.App {
			return app(func(ctx context.Context, c conn) error {
				order = append(order, name)
				return inner.Serve(ctx, c.scope, c.receive, c.send)
			})
		}
	}
	a := asgi.Wrap(app(func(context.Context, conn) error { order = append(order, "app"); return nil }), tag("outer"), tag("inner"))
	if err := a.Serve(t.Context(), asgi.NewScope(asgi.Fields{}), nil, nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(order, []string{"outer", "inner", "app"}) {
		t.Errorf("order is %v", order)
	}
}

func TestPrepared(t *testing.T) {
	f := asgi.TextFrame("hello")
	p := asgi.Prepare(f)
	if got := p.Frame(); got.Binary || string(got.Data) != "hello" {
		t.Errorf("frame is %v", got)
	}
	for name, other := range map[string]struct {
		f    asgi.Frame
		want bool
	}{
		"itself":            {f, true},
		"equal bytes":       {asgi.TextFrame("hello"), false},
		"the same, binary":  {asgi.BinaryFrame(f.Data), false},
		"a part of it":      {asgi.Frame{Data: f.Data[:2]}, false},
		"an empty frame":    {asgi.Frame{}, false},
		"nothing at all":    {asgi.TextFrame(""), false},
		"the end of itself": {asgi.Frame{Data: f.Data[5:]}, false},
	} {
		if p.Holds(other.f) != other.want {
			t.Errorf("Holds of %s is %v", name, !other.want)
		}
	}
	if (*asgi.Prepared)(nil).Holds(asgi.Frame{}) {
		t.Error("nil holds a frame")
	}

	var calls sync.Map
	results := make([][]byte, 16)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			results[i] = p.Encoded(asgi.Compressed, func(f asgi.Frame) []byte {
				calls.Store(i, true)
				return fmt.Appendf(nil, "%s by %d", f.Data, i)
			})
		})
	}
	wg.Wait()
	for i, r := range results {
		if &r[0] != &results[0][0] {
			t.Errorf("caller %d got %q, caller 0 got %q", i, r, results[0])
		}
	}
	again := p.Encoded(asgi.Compressed, func(asgi.Frame) []byte { t.Error("encoded a second time"); return nil })
	plain := p.Encoded(asgi.Plain, func(f asgi.Frame) []byte { return f.Data })
	if &again[0] != &results[0][0] || string(plain) != "hello" {
		t.Errorf("forms are %q and %q", again, plain)
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{asgi.Deny{}, "asgi: denied: 403 Forbidden"},
		{asgi.Deny{Status: 404}, "asgi: denied: 404 Not Found"},
		{asgi.CloseError{Code: 4000}, "asgi: close 4000"},
		{asgi.CloseError{Code: 4000, Reason: "bye"}, "asgi: close 4000: bye"},
		{asgi.DisconnectError{By: asgi.ByClient}, "asgi: connection ended by the client"},
		{asgi.DisconnectError{By: asgi.ByNetwork, Code: 1006}, "asgi: connection ended by the network, code 1006"},
		{asgi.DisconnectError{By: asgi.ByServer, Code: 1001, Reason: "bye"}, "asgi: connection ended by the server, code 1001: bye"},
		{&asgi.PanicError{Value: 42}, "panic: 42"},
	} {
		if tt.err.Error() != tt.want {
			t.Errorf("got %q, want %q", tt.err, tt.want)
		}
	}
	var deny asgi.Deny
	if !errors.As(fmt.Errorf("x: %w", asgi.Deny{Status: 401}), &deny) || deny.Status != 401 {
		t.Error("a wrapped Deny is not found")
	}
	if !errors.Is(fmt.Errorf("x: %w", asgi.DisconnectError{By: asgi.ByApp}), asgi.ErrClosed) {
		t.Error("the cause of an ended connection is not ErrClosed")
	}
	if errors.Is(asgi.DisconnectError{}, asgi.ErrFull) {
		t.Error("the cause of an ended connection is ErrFull")
	}
	if errors.Unwrap(&asgi.PanicError{Value: "text"}) != nil {
		t.Error("a text is unwrapped as an error")
	}
}

// Every event has the name that the ASGI specification gives it.
func TestEventTypes(t *testing.T) {
	for want, e := range map[string]asgi.Event{
		"http.request":                  asgi.HTTPRequest{},
		"http.disconnect":               asgi.HTTPDisconnect{},
		"http.response.start":           asgi.HTTPResponseStart{},
		"http.response.body":            asgi.HTTPResponseBody{},
		"http.response.trailers":        asgi.HTTPResponseTrailers{},
		"http.response.early_hint":      asgi.HTTPResponseEarlyHint{},
		"http.response.push":            asgi.HTTPResponsePush{},
		"http.response.zerocopysend":    asgi.HTTPResponseZeroCopySend{},
		"http.response.pathsend":        asgi.HTTPResponsePathSend{},
		"http.response.debug":           asgi.HTTPResponseDebug{},
		"websocket.connect":             asgi.WebSocketConnect{},
		"websocket.accept":              asgi.WebSocketAccept{},
		"websocket.receive":             asgi.WebSocketReceive{},
		"websocket.send":                asgi.WebSocketSend{},
		"websocket.flush":               asgi.WebSocketFlush{},
		"websocket.close":               asgi.WebSocketClose{},
		"websocket.disconnect":          asgi.WebSocketDisconnect{},
		"websocket.http.response.start": asgi.WebSocketHTTPResponseStart{},
		"websocket.http.response.body":  asgi.WebSocketHTTPResponseBody{},
		"lifespan.startup":              asgi.LifespanStartup{},
		"lifespan.startup.complete":     asgi.LifespanStartupComplete{},
		"lifespan.startup.failed":       asgi.LifespanStartupFailed{},
		"lifespan.shutdown":             asgi.LifespanShutdown{},
		"lifespan.shutdown.complete":    asgi.LifespanShutdownComplete{},
		"lifespan.shutdown.failed":      asgi.LifespanShutdownFailed{},
	} {
		if got := e.EventType(); got != want {
			t.Errorf("%T is %q, want %q", e, got, want)
		}
	}
}
