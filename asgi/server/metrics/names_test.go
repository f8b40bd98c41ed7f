package metrics

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// TestFigureNames: each figure stands under its own name and label, not under another's. TestEveryFigure finds what is missing.
func TestFigureNames(t *testing.T) {
	ch := make(chan prometheus.Metric, 200)
	serverSource{name: "x"}.show(ch, server.Stats{Open: 1, Handshaking: 2, MessagesIn: 3, MessagesOut: 4, BytesIn: 5, BytesOut: 6, Pings: 7,
		PingsUnanswered: 8, SlowReaders: 9, ProtocolErrors: 10, QueueFull: 11, Failures: 12, Overdue: 13, HTTPOpen: 14, HTTPRequests: 15,
		HTTPFailures: 16, HTTPBadRequests: 17, HTTPRefused: 18, HTTPSlowReaders: 19,
		Handshakes: server.Handshakes{Accepted: 21, Denied: 22, Unavailable: 23, Failed: 24, TimedOut: 25, Origin: 26, Malformed: 27, Limited: 28, Draining: 29, Abandoned: 30}})
	layerSource{name: "x"}.show(ch, layers.Stats{Sent: 41, GroupSent: 42, Refused: 43, Delivered: 44, GroupDelivered: 45, Received: 46,
		Dropped: map[layers.DropReason]uint64{layers.DropFull: 51, layers.DropExpired: 52, layers.DropUnlisted: 53, layers.DropInvalid: 54, layers.DropPanic: 55, layers.DropFailed: 56, "mine": 57}})
	workerSource{name: "x"}.show(ch, consumers.WorkerHealth{Running: true, Err: errors.New("away"), Busy: 61, Done: 62, Failed: 63, Buried: 64})
	close(ch)
	got := make(map[string]float64)
	for m := range ch {
		var v dto.Metric
		if err := m.Write(&v); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.Split(m.Desc().String(), `"`)[1], "tideway_")
		for _, l := range v.Label {
			if !slices.Contains([]string{"server", "layer", "worker"}, l.GetName()) {
				name += " " + l.GetValue()
			}
		}
		got[name] = v.GetCounter().GetValue() + v.GetGauge().GetValue()
	}
	want := map[string]float64{
		"websocket_connections": 1, "websocket_handshakes_pending": 2, "websocket_received_messages_total": 3, "websocket_sent_messages_total": 4,
		"websocket_received_bytes_total": 5, "websocket_sent_bytes_total": 6, "websocket_pings_total": 7, "websocket_cuts_total ping": 8,
		"websocket_cuts_total slow_reader": 9, "websocket_cuts_total protocol": 10, "websocket_queue_full_total": 11, "websocket_failures_total": 12,
		"websocket_overdue_total": 13, "http_requests_in_flight": 14, "http_requests_total": 15, "http_failures_total app": 16,
		"http_failures_total bad_request": 17, "http_failures_total refused": 18, "http_failures_total slow_reader": 19,
		"websocket_handshakes_total accepted": 21, "websocket_handshakes_total denied": 22, "websocket_handshakes_total unavailable": 23,
		"websocket_handshakes_total failed": 24, "websocket_handshakes_total timed_out": 25, "websocket_handshakes_total origin": 26,
		"websocket_handshakes_total malformed": 27, "websocket_handshakes_total limited": 28, "websocket_handshakes_total draining": 29,
		"websocket_handshakes_total abandoned": 30,
		"layer_sent_total":                     41, "layer_group_sent_total": 42, "layer_refused_total": 43, "layer_delivered_total": 44,
		"layer_group_delivered_total": 45, "layer_received_total": 46, "layer_dropped_total full": 51, "layer_dropped_total expired": 52,
		"layer_dropped_total unlisted": 53, "layer_dropped_total invalid": 54, "layer_dropped_total panic": 55, "layer_dropped_total failed": 56,
		"layer_dropped_total other": 57,
		"worker_running":            1, "worker_layer_up": 0, "worker_busy": 61, "worker_done_total": 62, "worker_failed_total": 63, "worker_buried_total": 64,
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if v, ok := got[name]; !ok || v != want[name] {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is shown, and not in this table", name)
		}
	}
}
