package asgitest_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// A panic fails the test with its stack, and the connection ends as on a server.
func TestPanicIsReported(t *testing.T) {
	panics := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		if scope.Path() == "/abort" {
			panic(http.ErrAbortHandler)
		}
		if err := send(ctx, asgi.WebSocketAccept{}); scope.Type() == asgi.WebSocket && err != nil {
			return err
		}
		panic("oh no")
	})
	for _, c := range []struct {
		name string
		use  func(*asgitest.Site)
		want int // failures
	}{
		{"websocket", func(s *asgitest.Site) { s.Dial("/").ExpectClose(1011, "") }, 1},
		{"http", func(s *asgitest.Site) {
			if status, _ := s.Stream("GET", "/").Start(); status != 500 {
				t.Errorf("status %d, want 500", status)
			}
		}, 1},
		{"http.ErrAbortHandler", func(s *asgitest.Site) {
			if chunk, err := s.Stream("GET", "/abort").Next(t.Context()); err == nil || err == asgi.ErrClosed {
				t.Errorf("got %q, %v, want an error about the cut", chunk, err)
			}
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := record(t, func(t testing.TB) { c.use(asgitest.New(t, panics)) })
			if len(got.texts) != c.want {
				t.Fatalf("got failures %q, want %d", got.texts, c.want)
			}
			if want := "(?s)the app panicked: panic: oh no\n.*site_test.go"; c.want > 0 && !regexp.MustCompile(want).MatchString(got.text()) {
				t.Errorf("got %q, want the value and the stack", got.text())
			}
		})
	}
}

// An app that ends its own goroutine, as t.FailNow does, does not hang the test.
func TestGoexitIsReported(t *testing.T) {
	app := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error {
		runtime.Goexit()
		return nil
	})
	got := record(t, func(t testing.TB) { asgitest.New(t, app).Dial("/") }).text()
	if !strings.Contains(got, "ended by runtime.Goexit: call t.Fatal and t.FailNow on the test's own goroutine only") {
		t.Errorf("got %q", got)
	}
}

// What still runs after the end of the test fails it, with its name and where its goroutines are.
func TestLeftoversAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			err := send(ctx, asgi.WebSocketAccept{})
			helper := make(chan struct{})
			go func() { defer close(helper); <-release }()
			<-helper
			return err
		})
		begin := time.Now()
		got := record(t, func(t testing.TB) {
			site := asgitest.New(t, app)
			site.Dial("/ends/not/")
			site.With(&asgitest.Options{Timeout: time.Minute}) // the Site's own limit holds
		})
		want := `^asgitest: websocket /ends/not/: the app still runs 5s after the end of the test; it must end when ctx does` +
			`(\n\tgoroutine:(\n\t\t\S+ \S+site_test.go:\d+)+)`
		if len(got.texts) != 1 || !regexp.MustCompile(want).MatchString(got.text()) || strings.Count(got.text(), "goroutine:") != 2 {
			t.Errorf("got %q, want one text with two stacks", got.texts)
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("it took %v, want 5s", took)
		}
		close(release)
	})
}

// Connections that are open at the end of a test are cut, the youngest first, and waited for.
func TestCleanup(t *testing.T) {
	both(t, func(t *testing.T) {
		var ended []string
		app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if scope.Type() == asgi.WebSocket {
				_ = send(ctx, asgi.WebSocketAccept{})
			}
			<-ctx.Done()
			if scope.Type() == asgi.WebSocket {
				ended = append(ended, fmt.Sprint(context.Cause(ctx)))
			}
			return context.Cause(ctx)
		})
		got := record(t, func(t testing.TB) {
			site := asgitest.New(t, app)
			site.Dial("/")
			site.Stream("GET", "/")
			site.Raw(asgi.NewScope(asgi.Fields{Type: "other"}))
		})
		if got.text() != "" || len(ended) != 1 || ended[0] != "asgi: connection ended by the network, code 1006" {
			t.Errorf("failures %q, ends %q", got.texts, ended)
		}
	})
}

// What is begun after the end of the test does not run.
func TestNothingBeginsAfterTheEnd(t *testing.T) {
	var site *asgitest.Site
	record(t, func(t testing.TB) { site = asgitest.New(t, echo) })
	if err := site.Open("/").Wait(); err == nil || !strings.Contains(err.Error(), "the test is over") {
		t.Errorf("got %v", err)
	}
}

// Every scope has the Site's layer and logger, unless it has others.
func TestLayerAndLogger(t *testing.T) {
	var scope *asgi.Scope
	site := asgitest.New(t, seen(&scope))
	site.Refused("/")
	if layer, _ := consumers.LayerKey.Get(scope); layer == nil || layer != site.Layer() {
		t.Errorf("the layer is %p, want %p", layer, site.Layer())
	}
	if logger, _ := asgi.LoggerKey.Get(scope); logger == nil {
		t.Error("there is no logger")
	}
	layer := memlayer.New(nil)
	defer layer.Close(t.Context())
	core, logs := observer.New(zap.DebugLevel)
	other := site.With(&asgitest.Options{Layer: layer, Logger: zap.New(core)})
	if err := other.Raw(asgi.NewScope(asgi.Fields{})).Wait(); err == nil {
		t.Error("Wait of a Raw connection must return whatever the app returned")
	}
	if got, _ := consumers.LayerKey.Get(scope); got != layer || other.Layer() != layer {
		t.Errorf("the layer is %p, want %p", got, layer)
	}
	logger, _ := asgi.LoggerKey.Get(scope)
	if logger.(*zap.Logger).Info("hi"); logs.Len() != 1 {
		t.Error("the logger is not that of the options")
	}
}

// The default logger writes to the log of the test for as long as that runs.
func TestLog(t *testing.T) {
	var scope *asgi.Scope
	r := record(t, func(t testing.TB) {
		asgitest.New(t, seen(&scope)).Refused("/")
		logger, _ := asgi.LoggerKey.Get(scope)
		logger.(*zap.Logger).Warn("careful")
	})
	logger, _ := asgi.LoggerKey.Get(scope)
	logger.(*zap.Logger).Warn("too late")
	if len(r.logs) != 1 || !strings.Contains(r.logs[0], "careful") {
		t.Errorf("the log is %q", r.logs)
	}
}

// What counts as a failure of the app, and what as one that the test has seen.
func TestFailures(t *testing.T) {
	after := func(err error) asgi.App { // returns err when the client has closed
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if e := echo(ctx, scope, receive, send); e != nil {
				return e
			}
			return err
		})
	}
	leave := func(ws *asgitest.WebSocket) { ws.Close(1000, "") }
	read := func(ws *asgitest.WebSocket) { ws.ReceiveClose() }
	accept := asgi.WebSocketAccept{}
	for _, c := range []struct {
		name     string
		app      asgi.App
		use      func(*asgitest.WebSocket)
		failures int
	}{
		{"canceled after the end", after(fmt.Errorf("handler: %w", context.Canceled)), leave, 0},
		{"canceled before the end", script(context.Canceled, accept), func(*asgitest.WebSocket) { synctest.Wait() }, 1},
		{"closed", after(asgi.ErrClosed), leave, 0},
		{"cause of ctx", after(asgi.DisconnectError{Code: 1000}), leave, 0},
		{"close error", script(asgi.CloseError{Code: 4000}, accept), leave, 0},
		{"panic with a harmless value", after(&asgi.PanicError{Value: asgi.ErrClosed}), leave, 1},
		{"error", after(errBoom), leave, 1},
		{"read as 1011", script(errBoom, accept), read, 0},
		{"read as 1011 of the app", script(errBoom, accept, asgi.WebSocketClose{Code: 1011}), read, 0},
		{"not read from 4000", script(errBoom, accept, asgi.WebSocketClose{Code: 4000}), read, 1},
		{"returned by Wait", after(errBoom), func(ws *asgitest.WebSocket) { leave(ws); _ = ws.Wait() }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := record(t, func(t testing.TB) { c.use(asgitest.New(t, c.app).Dial("/")) })
				if len(got.texts) != c.failures {
					t.Errorf("got failures %q, want %d", got.texts, c.failures)
				}
			})
		})
	}
}
