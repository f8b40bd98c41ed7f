package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/asgi/server/metrics"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

type note struct {
	Text string `json:"text"`
}

const noted layers.Type[note] = "test.note"

// chat is the state of the consumer that most tests here use.
type chat struct{}

func (s *chat) text(ctx context.Context, c *consumers.Conn, text string) error {
	if text == "error" {
		return errors.New("no database")
	}
	return c.GroupSend(ctx, "room", noted.With(note{text}))
}

func (s *chat) note(ctx context.Context, c *consumers.Conn, v note) error {
	return c.SendText(ctx, v.Text)
}

func chatApp() asgi.App {
	return consumers.AsyncWebsocketConsumer[chat]{
		Groups:   []string{"room"},
		Text:     (*chat).text,
		Messages: []consumers.Handler[chat]{consumers.On(noted, (*chat).note)},
		Logger:   zap.NewNop(),
	}.App()
}

func gather(t *testing.T, c prometheus.Collector) []*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// everything is a site of which each metric has a series.
func everything(t *testing.T) *metrics.Metrics {
	t.Helper()
	layer := memlayer.New(nil)
	m := metrics.New(nil)
	app := m.Middleware(chatApp())
	m.AddServer("public", server.New(app, nil))
	m.AddLayer("default", layer)
	m.AddWorker("thumbnails", &consumers.Worker{Layer: layer})
	serve(t, app, layer, "hello")
	return m
}

// serve plays a client who says some texts, one after the other, and leaves.
func serve(t *testing.T, app asgi.App, layer *layers.Layer, texts ...string) {
	t.Helper()
	scope := consumers.LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), layer)
	events := []asgi.Event{asgi.WebSocketConnect{}}
	for _, text := range texts {
		events = append(events, asgi.WebSocketReceive{Frame: asgi.TextFrame(text)})
	}
	events = append(events, asgi.WebSocketDisconnect{Code: 1000, By: asgi.ByClient})
	receive := func(context.Context) (asgi.Event, error) {
		if len(events) == 0 {
			return nil, asgi.ErrClosed
		}
		ev := events[0]
		events = events[1:]
		return ev, nil
	}
	_ = app.Serve(t.Context(), scope, receive, func(context.Context, asgi.Event) error { return nil })
}

func expect(t *testing.T, m *metrics.Metrics, want string, names ...string) {
	t.Helper()
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

// TestHandlers: a call counts for its consumer, kind and type. What others send over the broker makes no series.
func TestHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New(&metrics.Options{Buckets: []float64{0.1, 1}})
		layer := memlayer.New(nil)
		site := asgitest.New(t, m.Middleware(chatApp())).With(&asgitest.Options{Layer: layer})
		ws := site.Dial("/")
		for i := range 50 {
			if err := layer.GroupSend(t.Context(), "room", layers.Type[note](fmt.Sprint("from.elsewhere", i)).With(note{})); err != nil {
				t.Fatal(err)
			}
		}
		ws.SendText("hello")
		ws.ExpectText("hello")
		synctest.Wait()
		expect(t, m, `
			# HELP tideway_consumer_connections connections, and instances of workers, by the type of their state
			# TYPE tideway_consumer_connections gauge
			tideway_consumer_connections{consumer="metrics_test.chat"} 1
			# HELP tideway_handler_duration_seconds how long handlers ran; kind is connect, text, binary, message, disconnect, http or event
			# TYPE tideway_handler_duration_seconds histogram
			tideway_handler_duration_seconds_bucket{consumer="metrics_test.chat",kind="connect",type="",le="0.1"} 1
			tideway_handler_duration_seconds_bucket{consumer="metrics_test.chat",kind="connect",type="",le="1"} 1
			tideway_handler_duration_seconds_bucket{consumer="metrics_test.chat",kind="connect",type="",le="+Inf"} 1
			tideway_handler_duration_seconds_sum{consumer="metrics_test.chat",kind="connect",type=""} 0
			tideway_handler_duration_seconds_count{consumer="metrics_test.chat",kind="connect",type=""} 1
			tideway_handler_duration_seconds_bucket{consumer="metrics_test.chat",kind="message",type="test.note",le="0.1"} 1
			tideway_handler_duration_seconds_bucket{consumer="metrics_test.chat",kind="message",type="test.note",le="1"} 1
			tideway_handler_duration_seconds_bucket{consumer="metrics_test.chat",kind="message",type="test.note",le="+Inf"} 1
			tideway_handler_duration_seconds_sum{consumer="metrics_test.chat",kind="message",type="test.note"} 0
			tideway_handler_duration_seconds_count{consumer="metrics_test.chat",kind="message",type="test.note"} 1
			tideway_handler_duration_seconds_bucket{consumer="metrics_test.chat",kind="text",type="",le="0.1"} 1
			tideway_handler_duration_seconds_bucket{consumer="metrics_test.chat",kind="text",type="",le="1"} 1
			tideway_handler_duration_seconds_bucket{consumer="metrics_test.chat",kind="text",type="",le="+Inf"} 1
			tideway_handler_duration_seconds_sum{consumer="metrics_test.chat",kind="text",type=""} 0
			tideway_handler_duration_seconds_count{consumer="metrics_test.chat",kind="text",type=""} 1
		`, "tideway_consumer_connections", "tideway_handler_duration_seconds")
		ws.SendText("error")
		ws.ExpectClose(1011, "")
		if err := ws.Wait(); err == nil {
			t.Error("the app did not fail")
		}
		m.AddLayer("default", layer)
		expect(t, m, `
			# HELP tideway_consumer_connections connections, and instances of workers, by the type of their state
			# TYPE tideway_consumer_connections gauge
			tideway_consumer_connections{consumer="metrics_test.chat"} 0
			# HELP tideway_handler_calls_total handlers that ran: ok, ended, error, panic, invalid
			# TYPE tideway_handler_calls_total counter
			`+calls("connect", "", 1, 0)+calls("message", "test.note", 1, 0)+calls("text", "", 1, 1)+`
			# HELP tideway_layer_dropped_total messages dropped: full, expired, unlisted, invalid, panic, failed, other
			# TYPE tideway_layer_dropped_total counter
			tideway_layer_dropped_total{layer="default",reason="expired"} 0
			tideway_layer_dropped_total{layer="default",reason="failed"} 0
			tideway_layer_dropped_total{layer="default",reason="full"} 0
			tideway_layer_dropped_total{layer="default",reason="invalid"} 0
			tideway_layer_dropped_total{layer="default",reason="other"} 0
			tideway_layer_dropped_total{layer="default",reason="panic"} 0
			tideway_layer_dropped_total{layer="default",reason="unlisted"} 50
		`, "tideway_consumer_connections", "tideway_handler_calls_total", "tideway_layer_dropped_total")
	})
}

// calls are the lines of one handler.
func calls(kind, typ string, ok, failed int) string {
	const line = "tideway_handler_calls_total{consumer=\"metrics_test.chat\",kind=%q,outcome=%q,type=%q} %d\n"
	return fmt.Sprintf(line, kind, "ended", typ, 0) + fmt.Sprintf(line, kind, "error", typ, failed) +
		fmt.Sprintf(line, kind, "invalid", typ, 0) + fmt.Sprintf(line, kind, "ok", typ, ok) + fmt.Sprintf(line, kind, "panic", typ, 0)
}

// TestMailbox: what waits is seen while it waits.
func TestMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New(nil)
		layer := memlayer.New(nil)
		release := make(chan struct{})
		busy := consumers.AsyncWebsocketConsumer[chat]{
			Groups: []string{"room"},
			Text: func(_ *chat, ctx context.Context, c *consumers.Conn, text string) error {
				<-release
				return nil
			},
			Messages: []consumers.Handler[chat]{consumers.On(noted, (*chat).note)},
		}.App()
		site := asgitest.New(t, m.Middleware(busy)).With(&asgitest.Options{Layer: layer})
		ann, bob := site.Dial("/"), site.Dial("/")
		for i, ws := range []*asgitest.WebSocket{ann, bob} {
			ws.SendText("begins")
			synctest.Wait()
			for range 2 + i {
				if err := layer.GroupSend(t.Context(), "room", noted.With(note{"news"})); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		for range 20 { // connections are asked in any order
			expect(t, m, `
			# HELP tideway_mailbox_waiting what waits in all mailboxes: lane client or layer
			# TYPE tideway_mailbox_waiting gauge
			tideway_mailbox_waiting{consumer="metrics_test.chat",lane="client"} 0
			tideway_mailbox_waiting{consumer="metrics_test.chat",lane="layer"} 8
			# HELP tideway_mailbox_waiting_max what waits in the fullest mailbox
			# TYPE tideway_mailbox_waiting_max gauge
			tideway_mailbox_waiting_max{consumer="metrics_test.chat",lane="client"} 0
			tideway_mailbox_waiting_max{consumer="metrics_test.chat",lane="layer"} 5
		`, "tideway_mailbox_waiting", "tideway_mailbox_waiting_max")
		}
		close(release)
		for range 5 {
			ann.ExpectText("news")
		}
		ann.Disconnect()
		bob.Disconnect()
	})
}

// TestFanOut: group messages and their deliveries are counted by themselves, so that their ratio is exact beside direct messages.
func TestFanOut(t *testing.T) {
	m := metrics.New(nil)
	layer := memlayer.New(nil)
	m.AddLayer("default", layer)
	for range 3 {
		channel, err := layer.NewChannel(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(layer.GroupAdd(t.Context(), "room", channel), layer.Send(t.Context(), channel, noted.With(note{}))); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := layer.GroupSend(t.Context(), "room", noted.With(note{})); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, m, `
		# HELP tideway_layer_delivered_total messages that channels of this process took
		# TYPE tideway_layer_delivered_total counter
		tideway_layer_delivered_total{layer="default"} 9
		# HELP tideway_layer_group_delivered_total messages of groups that channels of this process took, each once for each member
		# TYPE tideway_layer_group_delivered_total counter
		tideway_layer_group_delivered_total{layer="default"} 6
		# HELP tideway_layer_group_sent_total messages sent to a group, each once
		# TYPE tideway_layer_group_sent_total counter
		tideway_layer_group_sent_total{layer="default"} 2
		# HELP tideway_layer_sent_total messages sent to one channel
		# TYPE tideway_layer_sent_total counter
		tideway_layer_sent_total{layer="default"} 3
	`, "tideway_layer_delivered_total", "tideway_layer_group_delivered_total", "tideway_layer_group_sent_total", "tideway_layer_sent_total")
}

// TestLayer: an outage shows, and reasons of the application are one series.
func TestLayer(t *testing.T) {
	m := metrics.New(nil)
	bus := memlayer.NewBus(nil)
	layer := bus.Layer()
	m.AddLayer("default", layer)
	bus.Cut(layer, errors.New("broker gone"))
	for i := range 3 {
		layer.Dropped(layers.Drop{Reason: layers.DropReason(fmt.Sprint("mine ", i))})
	}
	expect(t, m, `
		# HELP tideway_layer_up 1 while the layer is connected to its broker, else 0
		# TYPE tideway_layer_up gauge
		tideway_layer_up{layer="default"} 0
		# HELP tideway_layer_dropped_total messages dropped: full, expired, unlisted, invalid, panic, failed, other
		# TYPE tideway_layer_dropped_total counter
		tideway_layer_dropped_total{layer="default",reason="expired"} 0
		tideway_layer_dropped_total{layer="default",reason="failed"} 0
		tideway_layer_dropped_total{layer="default",reason="full"} 0
		tideway_layer_dropped_total{layer="default",reason="invalid"} 0
		tideway_layer_dropped_total{layer="default",reason="other"} 3
		tideway_layer_dropped_total{layer="default",reason="panic"} 0
		tideway_layer_dropped_total{layer="default",reason="unlisted"} 0
	`, "tideway_layer_up", "tideway_layer_dropped_total")
	bus.Mend(layer)
	if n := testutil.CollectAndCount(m, "tideway_layer_up"); n != 1 {
		t.Errorf("%d series of tideway_layer_up", n)
	}
	expect(t, m, `
		# HELP tideway_layer_up 1 while the layer is connected to its broker, else 0
		# TYPE tideway_layer_up gauge
		tideway_layer_up{layer="default"} 1
	`, "tideway_layer_up")
}

// TestWorker: jobs count by how they ended.
func TestWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New(nil)
		layer := memlayer.New(&layers.Options{Durables: []layers.Durable{{Queues: "jobs"}}})
		w := &consumers.Worker{
			Layer: layer, Channels: []string{"jobs"}, Attempts: 1, Logger: zap.NewNop(),
			App: m.Middleware(consumers.AsyncConsumer[chat]{
				Messages: []consumers.Handler[chat]{consumers.On(noted, func(_ *chat, ctx context.Context, c *consumers.Conn, v note) error {
					if v.Text != "" {
						return errors.New(v.Text)
					}
					return nil
				})},
			}.App()),
		}
		m.AddWorker("thumbnails", w)
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- w.Run(ctx) }() // ends with ctx; waited for below
		for _, text := range []string{"", "", "no database"} {
			if err := layer.Send(t.Context(), "jobs", noted.With(note{text})); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		table := func(running int) string {
			return fmt.Sprintf(`
			# HELP tideway_worker_buried_total jobs that were moved to the dead letters
			# TYPE tideway_worker_buried_total counter
			tideway_worker_buried_total{worker="thumbnails"} 1
			# HELP tideway_worker_busy messages that are handled now
			# TYPE tideway_worker_busy gauge
			tideway_worker_busy{worker="thumbnails"} 0
			# HELP tideway_worker_done_total messages whose handler has succeeded
			# TYPE tideway_worker_done_total counter
			tideway_worker_done_total{worker="thumbnails"} 2
			# HELP tideway_worker_failed_total tries that ended with an error or a panic
			# TYPE tideway_worker_failed_total counter
			tideway_worker_failed_total{worker="thumbnails"} 1
			# HELP tideway_worker_layer_up 1 while the worker's layer answers, else 0
			# TYPE tideway_worker_layer_up gauge
			tideway_worker_layer_up{worker="thumbnails"} 1
			# HELP tideway_worker_running 1 while the worker runs, else 0
			# TYPE tideway_worker_running gauge
			tideway_worker_running{worker="thumbnails"} %d
		`, running)
		}
		names := []string{"tideway_worker_buried_total", "tideway_worker_busy", "tideway_worker_done_total", "tideway_worker_failed_total",
			"tideway_worker_layer_up", "tideway_worker_running"}
		expect(t, m, table(1), names...)
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
		expect(t, m, table(0), names...)
	})
}

// TestScrape asks a live server, over HTTP, while a client is connected.
func TestScrape(t *testing.T) {
	m := metrics.New(nil)
	layer := memlayer.New(nil)
	app := m.Middleware(chatApp())
	srv := server.New(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return app.Serve(ctx, consumers.LayerKey.With(scope, layer), receive, send)
	}), &server.Options{Logger: zap.NewNop()})
	m.AddServer("public", srv)
	site := httptest.NewServer(srv)
	defer site.Close()
	defer srv.Shutdown(t.Context())
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(site.URL, "http")+"/ws/chat/secret-room/?user=ann", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if err := ws.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := ws.ReadMessage(); err != nil || string(text) != "hello" {
		t.Fatalf("%q, %v", text, err)
	}
	const counted = "tideway_websocket_sent_bytes_total{server=\"public\"} 7\n" // when the write has returned, a moment later
	text := scrape(t, m.Handler())
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(text, counted) && time.Now().Before(deadline); {
		text = scrape(t, m.Handler())
	}
	for _, want := range []string{
		"tideway_websocket_connections{server=\"public\"} 1\n",
		"tideway_websocket_handshakes_total{result=\"accepted\",server=\"public\"} 1\n",
		"tideway_websocket_handshakes_total{result=\"origin\",server=\"public\"} 0\n",
		"tideway_websocket_received_messages_total{server=\"public\"} 1\n",
		"tideway_websocket_sent_messages_total{server=\"public\"} 1\n",
		"tideway_websocket_received_bytes_total{server=\"public\"} 11\n", // 2 of header, 4 of mask
		counted,
		"tideway_server_draining{server=\"public\"} 0\n",
		"tideway_handler_calls_total{consumer=\"metrics_test.chat\",kind=\"message\",outcome=\"ok\",type=\"test.note\"} 1\n",
		"\ngo_goroutines ",
		"\nprocess_start_time_seconds ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the scrape does not have %q", want)
		}
	}
	for _, secret := range []string{"secret-room", "ann"} {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "tideway_") && strings.Contains(line, secret) {
				t.Errorf("what the client chose is in a label: %s", line)
			}
		}
	}
}

func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(r.Body)
	if err != nil || r.Code != http.StatusOK {
		t.Fatalf("the scrape: %d, %v", r.Code, err)
	}
	return string(text)
}

// TestMistakes: what would fail each scrape later panics at start.
func TestMistakes(t *testing.T) {
	m := metrics.New(nil)
	m.AddLayer("default", memlayer.New(nil))
	for want, f := range map[string]func(){
		`the server "public" is nil`:          func() { m.AddServer("public", nil) },
		`the layer "default" is nil`:          func() { m.AddLayer("default", nil) },
		`there is a layer "default" already`:  func() { m.AddLayer("default", memlayer.New(nil)) },
		"Options.Buckets is [1 0.5]":          func() { metrics.New(&metrics.Options{Buckets: []float64{1, .5}}) },
		"Options.Buckets is [1 1]":            func() { metrics.New(&metrics.Options{Buckets: []float64{1, 1}}) },
		"Options.Buckets is [NaN]":            func() { metrics.New(&metrics.Options{Buckets: []float64{math.NaN()}}) },
		"Middleware: the app is nil: pass":    func() { m.Middleware(nil) },
		`the worker "thumbnails" is nil: add`: func() { m.AddWorker("thumbnails", nil) },
	} {
		func() {
			defer func() {
				if v := fmt.Sprint(recover()); !strings.Contains(v, want) {
					t.Errorf("got the panic %q, want %q", v, want)
				}
			}()
			f()
		}()
	}
}

// TestNothingOnTheWay: a call costs no allocation.
func TestNothingOnTheWay(t *testing.T) {
	count := func(wrap asgi.Middleware) float64 {
		app := wrap(consumers.AsyncWebsocketConsumer[chat]{
			Frame: func(*chat, context.Context, *consumers.Conn, asgi.Frame) error { return nil },
		}.App())
		texts := make([]string, 2000)
		few := testing.AllocsPerRun(5, func() { serve(t, app, nil, texts[:1000]...) })
		many := testing.AllocsPerRun(5, func() { serve(t, app, nil, texts...) })
		return (many - few) / 1000
	}
	without := count(func(app asgi.App) asgi.App { return app })
	with := count(metrics.New(nil).Middleware)
	if with > without+0.1 {
		t.Errorf("a call allocates %v times with metrics, %v times without", with, without)
	}
}

// BenchmarkHandler is what metrics add to a handler that does nothing.
func BenchmarkHandler(b *testing.B) {
	for _, c := range []struct {
		name string
		wrap asgi.Middleware
	}{{"Metrics", metrics.New(nil).Middleware}, {"None", func(app asgi.App) asgi.App { return app }}} {
		b.Run(c.name, func(b *testing.B) {
			app := c.wrap(consumers.AsyncWebsocketConsumer[chat]{
				Frame: func(*chat, context.Context, *consumers.Conn, asgi.Frame) error { return nil },
			}.App())
			var said asgi.Event = asgi.WebSocketReceive{Frame: asgi.TextFrame("hello")}
			left := b.N
			receive := func(context.Context) (asgi.Event, error) {
				if left--; left < 0 {
					return asgi.WebSocketDisconnect{Code: 1000}, nil
				}
				return said, nil
			}
			b.ReportAllocs()
			send := func(context.Context, asgi.Event) error { return nil }
			if err := app.Serve(b.Context(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), receive, send); err != nil {
				b.Fatal(err)
			}
		})
	}
}
