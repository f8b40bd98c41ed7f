package asgitest

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"sync/atomic"

	"github.com/tideway-go/tideway/asgi"
)

// A run is one call of [asgi.App.Serve], or of something else that a Site has started and waits for.
type run struct {
	name  string // such as "websocket /ws/chat/lobby/"
	label string // name and number; its goroutines carry it
	cut   func() // ends it, at the end of the test

	done   chan struct{} // closed when the rest is final
	err    error         // what it returned
	failed error         // err, if that is a failure
	shown  atomic.Bool   // a test has been told of err
}

// errGoexit is the error of an app whose goroutine ended without returning.
var errGoexit = errors.New("asgitest: the app's goroutine was ended by runtime.Goexit: call t.Fatal and t.FailNow on the test's own goroutine only, t.Error in an app")

// errOver is the error of what is begun when the test has ended.
var errOver = errors.New("asgitest: the test is over")

// begin starts work on a goroutine that the Site waits for. When it has ended, for whatever reason, settle is called
// before anyone else is told; it judges the error. cut must make the work end.
func (c *core) begin(ctx context.Context, name string, cut func(), work func(context.Context) error, settle func(*run)) *run {
	r := &run{name: name, cut: cut, done: make(chan struct{})}
	if !c.adopt(r) {
		r.err = errOver
		settle(r)
		close(r.done)
		return r
	}
	// The Site ends it by cut, at the end of the test at the latest, and waits for done.
	go pprof.Do(ctx, pprof.Labels(labelKey, r.label), func(labelled context.Context) {
		defer close(r.done)
		r.err = errGoexit
		defer func() {
			v := recover()
			if v != nil {
				r.err = &asgi.PanicError{Value: v, Stack: debug.Stack()}
			}
			settle(r)
			if v != nil && r.failed != nil {
				r.shown.Store(true)
				c.errorf("asgitest: %s: the app panicked: %s", r.name, describeError(r.err))
			}
		}()
		r.err = work(labelled)
	})
	return r
}

// failure is err where an app has failed, nil if it ended well: refusing, closing and noticing the end are no failures.
// Closing includes an [asgi.CloseError] that is wrapped, such as that of a message which is no JSON. A server logs it, but the
// code is one that the app chose for its peer, and a test sees it there. over says that the connection had ended.
func failure(err error, over bool) error {
	var panicked *asgi.PanicError
	var deny asgi.Deny
	var closing asgi.CloseError
	switch {
	case errors.As(err, &panicked):
		return err
	case err == nil, errors.Is(err, asgi.ErrClosed), errors.As(err, &deny), errors.As(err, &closing):
		return nil
	case over && errors.Is(err, context.Canceled):
		return nil
	}
	return err
}

// describeError is an app's error in the words of a failure text, with the stack of a panic.
func describeError(err error) string {
	var p *asgi.PanicError
	if errors.As(err, &p) {
		return fmt.Sprintf("%v\n%s", err, p.Stack)
	}
	return err.Error()
}
