package metrics

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tideway-go/tideway/consumers"
)

var (
	consumerConnections = gauge("tideway_consumer_connections", "connections, and instances of workers, by the type of their state", "consumer")
	mailboxWaiting      = gauge("tideway_mailbox_waiting", "what waits in all mailboxes: lane client or layer", "consumer", "lane")
	mailboxMax          = gauge("tideway_mailbox_waiting_max", "what waits in the fullest mailbox", "consumer", "lane")
)

// handlers is the observer of consumers.
type handlers struct {
	duration *prometheus.HistogramVec
	calls    *prometheus.CounterVec

	series atomic.Pointer[map[handlerKey]*handlerSeries] // read for each call without a lock; replaced to add to it
	adding sync.Mutex

	mu    sync.Mutex
	conns map[string]map[*consumers.Conn]struct{} // by consumer; those without any stay, so that their gauges go to 0
}

// A handlerKey is one handler of one consumer.
type handlerKey struct {
	consumer string
	kind     consumers.Kind
	typ      string
}

// handlerSeries are the series of one handler.
type handlerSeries struct {
	duration prometheus.Observer
	calls    map[consumers.Outcome]prometheus.Counter
}

var outcomes = []consumers.Outcome{consumers.OutcomeOK, consumers.OutcomeEnded, consumers.OutcomeError, consumers.OutcomePanic,
	consumers.OutcomeInvalid}

func newHandlers(buckets []float64) *handlers {
	labels := []string{"consumer", "kind", "type"}
	h := &handlers{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tideway_handler_duration_seconds",
			Help:    "how long handlers ran; kind is connect, text, binary, message, disconnect, http or event",
			Buckets: buckets,
		}, labels),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tideway_handler_calls_total",
			Help: "handlers that ran: ok, ended, error, panic, invalid",
		}, append(labels, "outcome")),
		conns: make(map[string]map[*consumers.Conn]struct{}),
	}
	h.series.Store(&map[handlerKey]*handlerSeries{})
	return h
}

// Opened implements consumers.Observer.
func (h *handlers) Opened(consumer string, c *consumers.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.conns[consumer]
	if of == nil {
		of = make(map[*consumers.Conn]struct{})
		h.conns[consumer] = of
	}
	of[c] = struct{}{}
}

// Closed implements consumers.Observer.
func (h *handlers) Closed(consumer string, c *consumers.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns[consumer], c)
}

// Begin implements consumers.Observer.
func (h *handlers) Begin(ctx context.Context, _ consumers.Call) context.Context { return ctx }

// End implements consumers.Observer.
func (h *handlers) End(_ context.Context, call consumers.Call, result consumers.Result) {
	key := handlerKey{call.Consumer, call.Kind, call.Type}
	s := (*h.series.Load())[key]
	if s == nil {
		s = h.add(key)
	}
	s.duration.Observe(result.Took.Seconds())
	s.calls[result.Outcome].Inc()
}

// add makes the series of a handler. Their number is that of the handlers in the program.
func (h *handlers) add(key handlerKey) *handlerSeries {
	h.adding.Lock()
	defer h.adding.Unlock()
	old := *h.series.Load()
	if s := old[key]; s != nil {
		return s
	}
	s := &handlerSeries{
		duration: h.duration.WithLabelValues(key.consumer, string(key.kind), key.typ),
		calls:    make(map[consumers.Outcome]prometheus.Counter, len(outcomes)),
	}
	for _, o := range outcomes {
		s.calls[o] = h.calls.WithLabelValues(key.consumer, string(key.kind), key.typ, string(o))
	}
	all := maps.Clone(old)
	all[key] = s
	h.series.Store(&all)
	return s
}

func (h *handlers) collect(ch chan<- prometheus.Metric) {
	h.duration.Collect(ch)
	h.calls.Collect(ch)
	for consumer, d := range h.depths() {
		consumerConnections.send(ch, float64(d.conns), consumer)
		mailboxWaiting.send(ch, float64(d.events), consumer, "client")
		mailboxWaiting.send(ch, float64(d.messages), consumer, "layer")
		mailboxMax.send(ch, float64(d.maxEvents), consumer, "client")
		mailboxMax.send(ch, float64(d.maxMessages), consumer, "layer")
	}
}

// A depth is what waits in the mailboxes of a consumer.
type depth struct{ conns, events, messages, maxEvents, maxMessages int }

func (h *handlers) depths() map[string]depth {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]depth, len(h.conns))
	for consumer, conns := range h.conns {
		d := depth{conns: len(conns)}
		for c := range conns {
			events, messages := c.Waiting()
			d.events, d.messages = d.events+events, d.messages+messages
			d.maxEvents, d.maxMessages = max(d.maxEvents, events), max(d.maxMessages, messages)
		}
		all[consumer] = d
	}
	return all
}
