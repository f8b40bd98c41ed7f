package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/testing/asgitest"
)

var errBroken = errors.New("broken")

// failing panics with an error, or returns it.
func failing(panics bool, err error, answer ...asgi.Event) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		if err := events(answer...)(ctx, send); err != nil {
			return err
		}
		if panics {
			panic(err)
		}
		return err
	})
}

// A page of one's own, for a panic and for an error, over HTTP and for a handshake.
func TestRecoverAnswers(t *testing.T) {
	for _, panics := range []bool{false, true} {
		var heard []error
		app := middleware.Recover(func(_ context.Context, scope *asgi.Scope, err error) error {
			heard = append(heard, err)
			return asgi.Deny{Status: 500, Body: []byte("sorry, " + scope.Path())}
		})(failing(panics, errBroken))
		site := asgitest.New(t, app)
		if r := site.Request("GET", "/a"); r.Status != 500 || string(r.Body) != "sorry, /a" {
			t.Errorf("panics %v: got %d %q", panics, r.Status, r.Body)
		}
		if r := site.Refused("/b"); r.Status != 500 || string(r.Body) != "sorry, /b" {
			t.Errorf("panics %v: got %v", panics, r)
		}
		var p *asgi.PanicError
		for _, err := range heard {
			if !errors.Is(err, errBroken) || errors.As(err, &p) != panics || panics && !strings.Contains(string(p.Stack), "recover_test.go") {
				t.Errorf("panics %v: heard %#v", panics, err)
			}
		}
		if len(heard) != 2 {
			t.Errorf("panics %v: heard %d failures", panics, len(heard))
		}
	}
}

// What handle returns is what the server sees: the failure itself, or a code for the client.
func TestRecoverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			instead func(error) error
			code    int
			failed  bool
		}{
			{func(err error) error { return err }, 1011, true},
			{func(error) error { return asgi.CloseError{Code: 4000} }, 4000, false},
			{func(error) error { return asgi.Deny{Status: 500} }, 1011, true}, // too late
			{func(error) error { return nil }, 1000, false},
		} {
			app := middleware.Recover(func(_ context.Context, _ *asgi.Scope, err error) error { return tc.instead(err) })(
				failing(false, errBroken, asgi.WebSocketAccept{}))
			ws := asgitest.New(t, app).Dial("/")
			if got := ws.ReceiveClose(); got.Code != tc.code {
				t.Errorf("closed with %v, want %d", got, tc.code)
			}
			if err := ws.Wait(); errors.Is(err, errBroken) != tc.failed {
				t.Errorf("the server sees %v", err)
			}
		}
	})
}

// An answer that the server did not take was none, nor is any other event, so there can still be another.
func TestRecoverAfterARefusedAnswer(t *testing.T) {
	app := middleware.Recover(func(context.Context, *asgi.Scope, error) error { return asgi.Deny{Status: 500, Body: []byte("sorry")} })(
		failing(false, errBroken, asgi.WebSocketAccept{Subprotocol: "not offered"}))
	if r := asgitest.New(t, app).Refused("/"); string(r.Body) != "sorry" {
		t.Errorf("got %v", r)
	}
	app = middleware.Recover(func(context.Context, *asgi.Scope, error) error { return asgi.Deny{Status: 500, Body: []byte("sorry")} })(
		failing(false, errBroken, asgi.HTTPResponseDebug{Info: map[string]any{"a": 1}}))
	if r := asgitest.New(t, app).Request("GET", "/"); string(r.Body) != "sorry" {
		t.Errorf("after an event that is no answer: %d %q", r.Status, r.Body)
	}
}

// What an app means to return is no failure.
func TestRecoverHearsOnlyFailures(t *testing.T) {
	ended, end := context.WithCancelCause(t.Context())
	cause := errors.New("shutting down")
	end(cause)
	for _, tc := range []struct {
		ctx   context.Context
		err   error
		heard bool
	}{
		{t.Context(), nil, false},
		{t.Context(), asgi.Deny{Status: 404}, false},
		{t.Context(), fmt.Errorf("wrapped: %w", asgi.Deny{}), false},
		{t.Context(), asgi.CloseError{Code: 4000}, false},
		{t.Context(), fmt.Errorf("wrapped: %w", asgi.CloseError{Code: 1007}), false},
		{t.Context(), asgi.ErrClosed, false},
		{t.Context(), asgi.DisconnectError{By: asgi.ByClient}, false},
		{t.Context(), fmt.Errorf("wrapped: %w", http.ErrAbortHandler), false},
		{t.Context(), &asgi.PanicError{Value: http.ErrAbortHandler}, false},
		{t.Context(), &asgi.PanicError{Value: asgi.Deny{}}, true},
		{t.Context(), context.Canceled, true},
		{t.Context(), errBroken, true},
		{ended, context.Canceled, false},
		{ended, fmt.Errorf("wrapped: %w", cause), false},
		{ended, errBroken, true},
	} {
		heard := false
		app := middleware.Recover(func(_ context.Context, _ *asgi.Scope, err error) error { heard = true; return err })(failing(false, tc.err))
		err := app.Serve(tc.ctx, asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), nil, nil)
		if heard != tc.heard || fmt.Sprint(err) != fmt.Sprint(tc.err) {
			t.Errorf("%#v: heard %v, returned %v", tc.err, heard, err)
		}
	}
}

// The whole stack of a test that gives up (runtime.Goexit) unwinds; it is no panic.
func TestRecoverLeavesGoexitAlone(t *testing.T) {
	done, heard := make(chan bool), false
	app := middleware.Recover(func(context.Context, *asgi.Scope, error) error { heard = true; return nil })(asgi.AppFunc(
		func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error {
			(&testing.T{}).SkipNow()
			return nil
		}))
	go func() { // ends by Goexit, and closes done on its way
		defer close(done)
		_ = app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), nil, nil)
		t.Error("Serve returned")
	}()
	<-done
	if heard {
		t.Error("handle was called")
	}
}

func TestRecoverPanics(t *testing.T) {
	panicsWith(t, "asgi/middleware: Recover: ", "pass a function", func() { middleware.Recover(nil) })
}
