package metrics

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// Options are the settings of a [Metrics]. Nil and the zero value are ready.
type Options struct {
	// Buckets are the upper bounds, in seconds, of the buckets of tideway_handler_duration_seconds; default 0.5 ms to 10 s in
	// 14 steps. Each is a series for each handler. They ascend: New panics where they do not.
	Buckets []float64
}

// defaultBuckets are those of [Options.Buckets].
var defaultBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// A Metrics collects what the parts of a site say of themselves. Its methods may be called from any goroutine. Make it with
// [New].
type Metrics struct {
	handlers *handlers

	mu      sync.Mutex
	sources map[string]source // by kind and name
}

// A source is a part of a site.
type source interface {
	collect(ch chan<- prometheus.Metric)
}

// New makes a Metrics. Nil options are the defaults. It panics on buckets that do not ascend.
func New(opts *Options) *Metrics {
	buckets := defaultBuckets
	if opts != nil && opts.Buckets != nil {
		buckets = slices.Clone(opts.Buckets)
		checkBuckets(buckets)
	}
	return &Metrics{handlers: newHandlers(buckets), sources: make(map[string]source)}
}

// checkBuckets panics on what would fail each connection later.
func checkBuckets(buckets []float64) {
	for i, b := range buckets {
		if math.IsNaN(b) || i > 0 && b <= buckets[i-1] {
			panic(fmt.Sprintf("metrics: New: Options.Buckets is %v: write seconds that ascend, such as []float64{.01, .1, 1, 10}", buckets))
		}
	}
}

// Middleware has the consumers of app followed: their connections, mailboxes and handlers. It is an [asgi.Middleware], and
// concerns no other app. For a worker, put it around Worker.App.
func (m *Metrics) Middleware(app asgi.App) asgi.App {
	wrap.NeedApp("metrics: Middleware", app)
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.Lifespan {
			scope = consumers.WithObserver(scope, m.handlers)
		}
		return app.Serve(ctx, scope, receive, send)
	})
}

// AddServer shows a server under a name.
func (m *Metrics) AddServer(name string, s *server.Server) {
	m.add("server", name, s == nil, serverSource{name, s})
}

// AddLayer shows a channel layer, usually under its alias.
func (m *Metrics) AddLayer(name string, l *layers.Layer) {
	m.add("layer", name, l == nil, layerSource{name, l})
}

// AddWorker shows a worker under a name.
func (m *Metrics) AddWorker(name string, w *consumers.Worker) {
	m.add("worker", name, w == nil, workerSource{name, w})
}

// add panics on what would fail each scrape later.
func (m *Metrics) add(kind, name string, isNil bool, s source) {
	if isNil {
		panic(fmt.Sprintf("metrics: the %s %q is nil: add it after it has been made", kind, name))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := kind + " " + name
	if _, ok := m.sources[key]; ok {
		panic(fmt.Sprintf("metrics: there is a %s %q already: give each its own name", kind, name))
	}
	m.sources[key] = s
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		ch <- d.desc
	}
	m.handlers.duration.Describe(ch)
	m.handlers.calls.Describe(ch)
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.handlers.collect(ch)
	m.mu.Lock()
	all := make([]source, 0, len(m.sources))
	for _, s := range m.sources {
		all = append(all, s)
	}
	m.mu.Unlock()
	for _, s := range all {
		s.collect(ch)
	}
}

// Handler answers scrapes with these metrics and those of the Go runtime and the process. It needs no registry and touches
// not that of others ([prometheus.DefaultRegisterer]). Anybody who can reach it can read it: give it to the admin server, not
// to the public one.
func (m *Metrics) Handler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r})
}
