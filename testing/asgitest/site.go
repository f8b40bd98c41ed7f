package asgitest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// A Site is an app under test, with the server that runs it. Its methods may be called from any goroutine as far as
// they cannot fail the test; see the package comment.
type Site struct {
	*core
	options Options // of this view of the site
}

// core is what all views of one site share.
type core struct {
	t   testing.TB
	app asgi.App // with what this package puts around it

	mu       sync.Mutex
	count    int             // of runs, to tell them apart
	runs     []*run          // in the order in which they began
	state    map[string]any  // from Startup
	lifespan *Raw            // from Startup
	sockets  []*wsServer     // of WebSockets, ended or not
	down     bool            // Shutdown was called
	going    context.Context // ends then
	goAway   context.CancelFunc
	closing  bool // nothing may begin any more
	over     bool // t must not be used any more
}

// New makes a Site of app. It registers a cleanup that ends what the Site has started, waits for it and fails the test
// with what does not end. In a bubble, call it inside of the bubble, with the bubble's t.
func New(t testing.TB, app asgi.App) *Site {
	t.Helper()
	if app == nil {
		t.Fatalf("asgitest: New: the app is nil: pass the application under test")
	}
	s := &Site{core: &core{t: t, app: app}, options: defaults}
	s.going, s.goAway = context.WithCancel(context.Background())
	s.options.Layer = memlayer.New(nil)
	s.options.Logger = s.logger()
	t.Cleanup(func() {
		t.Helper()
		s.end()
	})
	return s
}

// With returns the same Site with other options, laid over those that it has. Headers, for instance:
//
//	site.With(&asgitest.Options{Header: http.Header{"Origin": {"https://example.org"}}}).Dial("/ws/")
func (s *Site) With(o *Options) *Site {
	return &Site{core: s.core, options: o.over(s.options)}
}

// adopt lists r among the runs, unless the test is over.
func (c *core) adopt(r *run) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.count++
	r.label = fmt.Sprintf("%s #%d", r.name, c.count)
	c.runs = append(c.runs, r)
	return true
}

// errorf fails the test from any goroutine, and is silent once the test is over.
func (c *core) errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.t.Errorf(format, args...)
	}
}

// startState is the state that a new scope begins with.
func (s *Site) startState() map[string]any {
	if s.options.State != nil {
		return s.options.State
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// end cuts what still runs, waits for it, and reports what does not end and what failed unseen. The lifespan, if there
// is one, ends after the connections, and the layer last.
func (s *Site) end() {
	s.t.Helper()
	s.mu.Lock()
	s.closing = true
	runs := s.runs
	s.mu.Unlock()
	if s.lifespan != nil {
		runs = slices.DeleteFunc(slices.Clone(runs), func(r *run) bool { return r == s.lifespan.run })
	}
	s.finish(runs...)
	if s.lifespan != nil {
		s.shutdown()
		s.finish(s.lifespan.run)
	}
	ctx, cancel := s.limit()
	defer cancel()
	if err := s.options.Layer.Close(ctx); err != nil {
		s.t.Errorf("asgitest: close the layer: %v", err)
	}
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
}

// finish cuts runs, the youngest first, and waits for all of them.
func (s *Site) finish(runs ...*run) {
	s.t.Helper()
	for i := len(runs) - 1; i >= 0; i-- {
		runs[i].cut()
	}
	ctx, cancel := s.limit()
	defer cancel()
	for _, r := range runs {
		select {
		case <-r.done:
			if r.failed != nil && !r.shown.Load() {
				s.t.Errorf("asgitest: %s: the app failed, and no expectation has shown it: %s", r.name, describeError(r.failed))
			}
		case <-ctx.Done():
			s.t.Errorf("asgitest: %s: the app still runs %v after the end of the test; it must end when ctx does%s",
				r.name, s.options.Timeout, stacks(r.label))
		}
	}
}

// limit is a ctx for one wait.
func (s *Site) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), s.options.Timeout)
}
