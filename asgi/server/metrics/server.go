package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tideway-go/tideway/asgi/server"
)

var (
	draining         = gauge("tideway_server_draining", "1 while the server shuts down, else 0", "server")
	connections      = gauge("tideway_websocket_connections", "open WebSockets", "server")
	pending          = gauge("tideway_websocket_handshakes_pending", "handshakes that the application has not answered yet", "server")
	handshakes       = counter("tideway_websocket_handshakes_total", "answered handshakes: "+handshakeResults(), "server", "result")
	receivedMessages = counter("tideway_websocket_received_messages_total", "messages from clients", "server")
	sentMessages     = counter("tideway_websocket_sent_messages_total", "messages to clients", "server")
	receivedBytes    = counter("tideway_websocket_received_bytes_total", "bytes of frames from clients, as on the wire", "server")
	sentBytes        = counter("tideway_websocket_sent_bytes_total", "bytes of frames that sockets have taken", "server")
	pings            = counter("tideway_websocket_pings_total", "pings sent after silence", "server")
	cuts             = counter("tideway_websocket_cuts_total", "connections cut: ping (no answer), slow_reader, protocol (1002, 1007, 1009)", "server", "cause")
	queueFull        = counter("tideway_websocket_queue_full_total", "messages that a full outbound queue did not take", "server")
	failures         = counter("tideway_websocket_failures_total", "applications that failed after the accept", "server")
	overdue          = counter("tideway_websocket_overdue_total", "applications that went on long after the end of their connection", "server")

	requestsInFlight = gauge("tideway_http_requests_in_flight", "HTTP requests that are being answered", "server")
	requests         = counter("tideway_http_requests_total", "HTTP requests that have begun", "server")
	requestFailures  = counter("tideway_http_failures_total", "HTTP requests that failed: app, bad_request, refused, slow_reader", "server", "cause")
)

// A serverSource shows a server.
type serverSource struct {
	name string
	srv  *server.Server
}

func (s serverSource) collect(ch chan<- prometheus.Metric) {
	draining.send(ch, truth(s.srv.Draining()), s.name)
	s.show(ch, s.srv.Stats())
}

// handshakeResults are the ways in which a handshake may be answered.
func handshakeResults() string {
	var names []string
	for name := range (server.Handshakes{}).All() {
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// show makes a metric of each figure.
func (s serverSource) show(ch chan<- prometheus.Metric, st server.Stats) {
	connections.send(ch, float64(st.Open), s.name)
	pending.send(ch, float64(st.Handshaking), s.name)
	for result, n := range st.Handshakes.All() {
		handshakes.send(ch, float64(n), s.name, result)
	}
	receivedMessages.send(ch, float64(st.MessagesIn), s.name)
	sentMessages.send(ch, float64(st.MessagesOut), s.name)
	receivedBytes.send(ch, float64(st.BytesIn), s.name)
	sentBytes.send(ch, float64(st.BytesOut), s.name)
	pings.send(ch, float64(st.Pings), s.name)
	cuts.send(ch, float64(st.PingsUnanswered), s.name, "ping")
	cuts.send(ch, float64(st.SlowReaders), s.name, "slow_reader")
	cuts.send(ch, float64(st.ProtocolErrors), s.name, "protocol")
	queueFull.send(ch, float64(st.QueueFull), s.name)
	failures.send(ch, float64(st.Failures), s.name)
	overdue.send(ch, float64(st.Overdue), s.name)
	requestsInFlight.send(ch, float64(st.HTTPOpen), s.name)
	requests.send(ch, float64(st.HTTPRequests), s.name)
	requestFailures.send(ch, float64(st.HTTPFailures), s.name, "app")
	requestFailures.send(ch, float64(st.HTTPBadRequests), s.name, "bad_request")
	requestFailures.send(ch, float64(st.HTTPRefused), s.name, "refused")
	requestFailures.send(ch, float64(st.HTTPSlowReaders), s.name, "slow_reader")
}
