package middleware

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
)

// Timeout bounds the time from a request to the end of its response. A client that has got nothing by then gets 503 at once;
// where a response has begun, the connection is cut, so that no part is taken for the whole. The app's ctx ends, with an
// [asgi.DisconnectError] as its cause, and so does all that the app may still send. Serve returns an error that matches
// [context.DeadlineExceeded], which the server logs.
//
// An app that ignores its ctx cannot be stopped, and is still a request for the server: it counts for the limits, and a shutdown
// waits for it. The client has its 503 all the same, but a response that has begun hangs until the app sends or returns. Over
// HTTP/1 the 503 says Connection: close, since the next request on the connection would wait for that app. Over HTTP/2 other
// streams of the connection go on, and the status and the body come at once too, but net/http ends a stream only when its handler
// has returned: clients that count the bytes, such as curl, have everything, and browsers show nothing until the app returns.
//
// WebSockets pass: they last, and the server bounds the handshake. Responses that last, such as Server-Sent Events, need a
// route without a Timeout. Timeouts nest; the shortest counts. d below a millisecond panics: it is a number without its unit.
func Timeout(d time.Duration) asgi.Middleware {
	if d < time.Millisecond {
		panic(fmt.Sprintf("asgi/middleware: Timeout: %v is no time for an app: write 30*time.Second", d))
	}
	return func(app asgi.App) asgi.App {
		wrap.NeedApp("asgi/middleware: Timeout", app)
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if scope.Type() != asgi.HTTP {
				return app.Serve(ctx, scope, receive, send)
			}
			l := &limited{limit: d, send: send, closes: strings.HasPrefix(scope.HTTPVersion(), "1.")}
			ctx, l.cancel = context.WithCancelCause(ctx)
			l.start(ctx)
			defer l.stop() // also for a panic
			err := app.Serve(ctx, scope, receive, l.answer)
			if l.stop() {
				return l.late()
			}
			return err
		})
	}
}

// A limited is a request whose time runs.
type limited struct {
	limit  time.Duration
	send   asgi.Send
	closes bool // the connection, with the 503
	cancel context.CancelCauseFunc
	timer  *time.Timer
	fired  chan struct{} // closed when the timer's function has returned
	once   sync.Once

	mu       sync.Mutex
	begun    bool
	trailers bool // they are announced
	complete bool
	over     bool // too late
	cut      bool // too late, and the response had begun
}

func (l *limited) start(ctx context.Context) {
	l.fired = make(chan struct{})
	l.timer = time.AfterFunc(l.limit, func() {
		defer close(l.fired)
		l.expire(ctx)
	})
}

// stop ends the clock, and reports whether it had run out. Nothing is at work afterwards.
func (l *limited) stop() (late bool) {
	l.once.Do(func() {
		if !l.timer.Stop() {
			<-l.fired
		}
		l.cancel(context.Canceled)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// expire answers for the app, if that has not begun. A client that has gone, or has everything, is not late.
func (l *limited) expire(ctx context.Context) {
	l.mu.Lock()
	begun := l.begun
	l.over = !l.complete && ctx.Err() == nil
	l.cut = l.over && begun
	late := l.over
	l.mu.Unlock()
	if !late {
		return
	}
	if !begun {
		header := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
		if l.closes {
			header.Set("Connection", "close")
		}
		if l.send(ctx, asgi.HTTPResponseStart{Status: http.StatusServiceUnavailable, Header: header}) == nil {
			_ = l.send(ctx, asgi.HTTPResponseBody{Body: []byte("Service Unavailable\n")}) // to a client that may have gone
		}
	}
	l.cancel(asgi.DisconnectError{By: asgi.ByServer, Reason: l.late().Error()})
}

// answer is the app's Send.
func (l *limited) answer(ctx context.Context, event asgi.Event) error {
	l.mu.Lock()
	over, begun := l.over, l.begun
	start, starts := event.(asgi.HTTPResponseStart)
	l.begun = l.begun || starts // before it is sent: afterwards it is too late for a 503
	l.mu.Unlock()
	if over {
		return fmt.Errorf("%w: %w", asgi.ErrClosed, l.late())
	}
	err := l.send(ctx, event)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.begun = begun
	case starts:
		l.trailers = start.Trailers
	case l.ends(event):
		l.complete = true
	}
	return err
}

// ends reports whether event is the end of the response.
func (l *limited) ends(event asgi.Event) bool {
	switch e := event.(type) {
	case asgi.HTTPResponseBody:
		return !e.MoreBody && !l.trailers
	case asgi.HTTPResponseZeroCopySend:
		return !e.MoreBody && !l.trailers
	case asgi.HTTPResponsePathSend:
		return !l.trailers
	case asgi.HTTPResponseTrailers:
		return !e.MoreTrailers
	}
	return false
}

// late is the error of a request that is over.
func (l *limited) late() error {
	if l.cut {
		return fmt.Errorf("middleware: the app has not ended its response within %v: %w", l.limit, context.DeadlineExceeded)
	}
	return fmt.Errorf("middleware: the app has not begun its response within %v: %w", l.limit, context.DeadlineExceeded)
}
