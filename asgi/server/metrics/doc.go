// Package metrics shows a site to Prometheus: its servers, consumers, layers and workers.
//
//	m := metrics.New(nil)
//	srv := server.New(asgi.Wrap(app, m.Middleware), nil)
//	m.AddServer("public", srv)
//	m.AddLayer(layers.Default, layer)
//	admin := admin.Server{Metrics: m.Handler()} // 127.0.0.1:8001/metrics
//
// A Metrics is a [prometheus.Collector]: register it where other metrics of the application are, or use its
// [Metrics.Handler], which adds those of the Go runtime and of the process.
//
// # Cost
//
// Servers, layers and workers count by themselves, and are asked when Prometheus asks: nothing is added to the way of a
// message. A scrape looks at each open WebSocket, and at each connection's mailbox, which is 20 ms for 100,000. The middleware
// is for the handlers of consumers: it reads the clock twice for each call and allocates nothing, some 300 ns, and remembers
// each connection, about 100 bytes. Without it there are no metrics of consumers, mailboxes and handlers.
//
// # Labels
//
// The number of series is bounded by the program, not by its clients. A consumer is the Go type of its state, and a type
// of message is one that the consumer lists: what others send over the broker makes no series. Paths, rooms and users are
// never labels. Servers, layers and workers have the names that they were added with.
//
// # Fan-out
//
// A group send counts once where it is sent, and each member that takes it counts where that lives. So the mean number of members
// that a group's message reaches, over all processes, is
//
//	sum by (layer) (rate(tideway_layer_group_delivered_total[5m])) / sum by (layer) (rate(tideway_layer_group_sent_total[5m]))
//
// The groups themselves are not told apart: their names are often made by clients, and each would be a series.
//
// # All metrics
//
//	name                                       kind       labels                  what it is
//	tideway_server_draining                    gauge      server                  1 while the server shuts down, else 0
//	tideway_websocket_connections              gauge      server                  open WebSockets
//	tideway_websocket_handshakes_pending       gauge      server                  handshakes that the application has not answered yet
//	tideway_websocket_handshakes_total         counter    server result           answered handshakes: accepted, denied, unavailable, failed, timed_out, origin, malformed, limited, draining, abandoned
//	tideway_websocket_received_messages_total  counter    server                  messages from clients
//	tideway_websocket_sent_messages_total      counter    server                  messages to clients
//	tideway_websocket_received_bytes_total     counter    server                  bytes of frames from clients, as on the wire
//	tideway_websocket_sent_bytes_total         counter    server                  bytes of frames that sockets have taken
//	tideway_websocket_pings_total              counter    server                  pings sent after silence
//	tideway_websocket_cuts_total               counter    server cause            connections cut: ping (no answer), slow_reader, protocol (1002, 1007, 1009)
//	tideway_websocket_queue_full_total         counter    server                  messages that a full outbound queue did not take
//	tideway_websocket_failures_total           counter    server                  applications that failed after the accept
//	tideway_websocket_overdue_total            counter    server                  applications that went on long after the end of their connection
//	tideway_http_requests_in_flight            gauge      server                  HTTP requests that are being answered
//	tideway_http_requests_total                counter    server                  HTTP requests that have begun
//	tideway_http_failures_total                counter    server cause            HTTP requests that failed: app, bad_request, refused, slow_reader
//	tideway_consumer_connections               gauge      consumer                connections, and instances of workers, by the type of their state
//	tideway_handler_duration_seconds           histogram  consumer kind type      how long handlers ran; kind is connect, text, binary, message, disconnect, http or event
//	tideway_handler_calls_total                counter    consumer kind type outcome  handlers that ran: ok, ended, error, panic, invalid
//	tideway_mailbox_waiting                    gauge      consumer lane           what waits in all mailboxes: lane client or layer
//	tideway_mailbox_waiting_max                gauge      consumer lane           what waits in the fullest mailbox
//	tideway_layer_up                           gauge      layer                   1 while the layer is connected to its broker, else 0
//	tideway_layer_sent_total                   counter    layer                   messages sent to one channel
//	tideway_layer_group_sent_total             counter    layer                   messages sent to a group, each once
//	tideway_layer_refused_total                counter    layer                   messages that were not sent because the channel was full
//	tideway_layer_delivered_total              counter    layer                   messages that channels of this process took
//	tideway_layer_group_delivered_total        counter    layer                   messages of groups that channels of this process took, each once for each member
//	tideway_layer_received_total               counter    layer                   messages taken by Receive and Take
//	tideway_layer_dropped_total                counter    layer reason            messages dropped: full, expired, unlisted, invalid, panic, failed, other
//	tideway_worker_running                     gauge      worker                  1 while the worker runs, else 0
//	tideway_worker_layer_up                    gauge      worker                  1 while the worker's layer answers, else 0
//	tideway_worker_busy                        gauge      worker                  messages that are handled now
//	tideway_worker_done_total                  counter    worker                  messages whose handler has succeeded
//	tideway_worker_failed_total                counter    worker                  tries that ended with an error or a panic
//	tideway_worker_buried_total                counter    worker                  jobs that were moved to the dead letters
package metrics
