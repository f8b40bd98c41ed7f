package consumers_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
)

// A promise of the package comment: how it is checked, and how it looks when it is broken.
type promise struct {
	number, text string
	// check demands the promise of consumers that wrap may have broken.
	check func(t testing.TB, wrap asgi.Middleware)
	// broken are ways to break just this promise.
	broken []breaker
}

// A breaker stands between server and consumer.
type breaker struct {
	says string // by the check, of what it breaks
	wrap asgi.Middleware
}

var promises = []promise{
	{"C1", "Handlers of one connection never overlap; state needs no lock. All methods of Conn are safe from any goroutine.", checkC1, []breaker{
		{"two handlers ran at the same time", twins},
	}},
	{"C2", "Each lane in order; neither starves the other.", checkC2, []breaker{
		{"client events were handled as", swapped},
	}},
	{"C3", "Only listed handlers are reachable. A message of an unlisted type is dropped and counted.", checkC3, []breaker{
		{"of the layer", impersonated},
	}},
	{"C4", "Client events read before a close are still handled, in order; then, or 1 s after the close, ctx ends with a cause that tells code, reason and who.", checkC4, []breaker{
		{"these were handled: 1 2", forgetful},
		{"cause asgi: connection ended by the client, code 1000: enough, want", misreported(func(end *asgi.WebSocketDisconnect) { end.Code = 1000 })},
		{"cause asgi: connection ended by the client, code 4002, want", misreported(func(end *asgi.WebSocketDisconnect) { end.Reason = "" })},
		{"cause asgi: connection ended by the server, code 4002: enough, want", misreported(func(end *asgi.WebSocketDisconnect) { end.By = asgi.ByServer })},
		{"client close: the handler's ctx ended after 10ms, want 1.01s", hurried},
		{"client close: the handler's ctx ended after 2.01s, want 1.01s", tardy},
	}},
	{"C5", "Disconnect runs exactly once if and only if Connect returned nil or called Accept; groups are left after it.", checkC5, []breaker{
		{"Disconnect ran 2 times", twice},
	}},
	{"C6", "Nil from Connect accepts. asgi.Deny refuses with that HTTP response.", checkC6, []breaker{
		{"reached the client as", plainRefusal},
	}},
	{"C7", "A handler's error closes with 1011, or with the code it carries; a panic closes with 1011; no other connection notices.", checkC7, []breaker{
		{"closed with", closesNormally},
	}},
	{"C8", "Nothing from a group is written before the accept.", checkC8, []breaker{
		{"want the accept", lateAccept},
	}},
	{"C9", "The memory that a client which never reads holds is bounded, and nobody else waits for it.", checkC9, []breaker{
		{"holds", bottomless},
		{"senders waited", patient},
	}},
	{"C10", "Every goroutine that a connection started has ended when Serve returns. A handler that ignores its ctx is named by one line after 10 s.", checkC10, []breaker{
		{"Serve returned while work of the connection went on", hasty},
		{"the log has 0 lines", unlogged},
		{"names <nil>", nameless},
	}},
}

func TestPromises(t *testing.T) {
	for _, p := range promises {
		t.Run(p.number, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { p.check(&promised{t, p}, whole) })
		})
	}
}

// TestBrokenPromises shows that each check can fail: on a consumer that breaks the promise, it names it and says how.
func TestBrokenPromises(t *testing.T) {
	for _, p := range promises {
		for _, b := range p.broken {
			t.Run(p.number+" "+b.says, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := &recorder{TB: t}
					r.run(func() { p.check(&promised{r, p}, b.wrap) })
					if !strings.HasPrefix(r.first(), p.number+" broken: ") || !strings.Contains(r.first(), b.says) {
						t.Errorf("the check of %s did not notice a consumer that breaks it; it said %q, want %q", p.number, r.failures, b.says)
					}
				})
			})
		}
	}
}

// whole breaks nothing.
func whole(app asgi.App) asgi.App { return app }

// promised puts the promise in front of every failure.
type promised struct {
	testing.TB
	p promise
}

func (t *promised) Errorf(format string, args ...any) {
	t.Helper()
	t.TB.Errorf("%s broken: %s: %s", t.p.number, t.p.text, fmt.Sprintf(format, args...))
}

func (t *promised) Fatalf(format string, args ...any) {
	t.Helper()
	t.TB.Fatalf("%s broken: %s: %s", t.p.number, t.p.text, fmt.Sprintf(format, args...))
}

func (t *promised) Error(args ...any) { t.Helper(); t.Errorf("%s", fmt.Sprint(args...)) }
func (t *promised) Fatal(args ...any) { t.Helper(); t.Fatalf("%s", fmt.Sprint(args...)) }

// A recorder is a testing.TB whose failures are kept instead of failing the test.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

// run calls check as a test of its own, cleanups included.
func (r *recorder) run(check func()) {
	r.apart(check)
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.apart(r.cleanups[i])
	}
}

// apart calls f on a goroutine that Fatalf may end.
func (r *recorder) apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func (r *recorder) first() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failures) == 0 {
		return ""
	}
	return r.failures[0]
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }
func (r *recorder) FailNow()          { r.Fatalf("failed") }
func (r *recorder) Fail()             { r.Errorf("failed") }
func (r *recorder) Cleanup(f func())  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool      { return r.first() != "" }
func (r *recorder) Logf(string, ...any) {
}
