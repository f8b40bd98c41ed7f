package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/asgi/server/admin"
	"github.com/tideway-go/tideway/asgi/server/metrics"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// get asks a handler.
func get(t testing.TB, h http.Handler, path string) (status int, header http.Header, body string) {
	t.Helper()
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, nil))
	return r.Code, r.Header(), r.Body.String()
}

// ready asks for the report.
func ready(t testing.TB, h http.Handler) (status int, report admin.Report) {
	t.Helper()
	status, header, body := get(t, h, "/ready")
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	if header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("the header is %v", header)
	}
	if (status == http.StatusOK) != (report.Status == admin.StatusOK) || report.Status != admin.StatusOK && status != http.StatusServiceUnavailable {
		t.Errorf("the status is %d, the body says %q", status, report.Status)
	}
	return status, report
}

// wantProblem demands that one check fails and all others pass; "" that all pass.
func wantProblem(t testing.TB, h http.Handler, name, text string) {
	t.Helper()
	status, report := ready(t, h)
	if (name == "") != (status == http.StatusOK) {
		t.Errorf("the status is %d: %v", status, report.Checks)
	}
	for check, said := range report.Checks {
		switch {
		case check == name && !strings.Contains(said, text):
			t.Errorf("%s says %q, want %q", check, said, text)
		case check != name && said != admin.StatusOK:
			t.Errorf("%s says %q", check, said)
		}
	}
	if _, ok := report.Checks[name]; !ok && name != "" {
		t.Errorf("there is no %q in %v", name, report.Checks)
	}
}

func nothing(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error {
	return errors.ErrUnsupported
}

// TestReadyServer: a server is ready when it listens, and not any more when it drains.
func TestReadyServer(t *testing.T) {
	srv := server.New(asgi.AppFunc(nothing), &server.Options{Logger: zap.NewNop()})
	h := (&admin.Server{Servers: map[string]*server.Server{"public": srv}}).Handler()
	ctx, stop := context.WithCancel(t.Context())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error)
	go func() { over <- srv.Serve(ctx, ln) }() // ends with ctx; received below
	awaitServing(t, ln)
	wantProblem(t, h, "", "")
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
	wantProblem(t, h, "server public", "it shuts down")
	if status, _, _ := get(t, h, "/live"); status != http.StatusOK {
		t.Errorf("a process that drains lives, /live says %d", status)
	}
}

// awaitServing returns when a server answers at ln.
func awaitServing(t *testing.T, ln net.Listener) {
	t.Helper()
	answer, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}

// TestReadyServerStarts: a server whose application gets ready is not, and says so.
func TestReadyServerStarts(t *testing.T) {
	asked, complete := make(chan struct{}), make(chan struct{})
	srv := server.New(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.Lifespan {
			return asgi.Deny{}
		}
		if _, err := receive(ctx); err != nil {
			return err
		}
		close(asked)
		<-complete
		if err := send(ctx, asgi.LifespanStartupComplete{}); err != nil {
			return err
		}
		_, err := receive(ctx)
		return errors.Join(err, send(ctx, asgi.LifespanShutdownComplete{}))
	}), &server.Options{Logger: zap.NewNop()})
	h := (&admin.Server{Servers: map[string]*server.Server{"public": srv}}).Handler()
	wantProblem(t, h, "", "") // it may be mounted in a mux, and never run by itself
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- srv.Serve(ctx, ln) }() // ends with ctx; received below
	<-asked
	wantProblem(t, h, "server public", "it has not started")
	close(complete)
	awaitServing(t, ln)
	wantProblem(t, h, "", "")
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// TestReadyLayerAndWorker: an outage of the broker, and a worker that does not run, are named.
func TestReadyLayerAndWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		layer := bus.Layer()
		other := memlayer.New(nil)
		w := &consumers.Worker{Layer: other, App: asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
			_, err := receive(ctx)
			return err
		}), Channels: []string{"jobs"}, Logger: zap.NewNop()}
		h := (&admin.Server{
			Layers:  map[string]*layers.Layer{"default": layer, "other": other},
			Workers: map[string]*consumers.Worker{"thumbnails": w},
		}).Handler()
		wantProblem(t, h, "worker thumbnails", "it does not run")

		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- w.Run(ctx) }() // ends with ctx; received below
		synctest.Wait()
		wantProblem(t, h, "", "")
		bus.Cut(layer, errors.New("broker gone"))
		<-time.After(3 * time.Second)
		wantProblem(t, h, "layer default", "broker gone, since 3s")
		bus.Mend(layer)
		wantProblem(t, h, "", "")
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// TestChecks: the application's own run at once, for 2 s at most, and harm nobody.
func TestChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		h := (&admin.Server{Checks: map[string]func(context.Context) error{
			"well":  func(context.Context) error { return nil },
			"ill":   func(context.Context) error { return errors.New("no database") },
			"panic": func(context.Context) error { panic("no database") },
			"exit":  func(context.Context) error { runtime.Goexit(); return nil },
			"slow":  waits, "slower": waits,
		}}).Handler()
		began := time.Now()
		_, report := ready(t, h)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the checks took %v, want 2 s", took)
		}
		for name, want := range map[string]string{
			"well": admin.StatusOK, "ill": "no database", "panic": "no database", "exit": "return an error instead",
			"slow": "deadline exceeded", "slower": "deadline exceeded",
		} {
			if got := report.Checks["check "+name]; !strings.Contains(got, want) {
				t.Errorf("%s says %q, want %q", name, got, want)
			}
		}
		if report.Status != admin.StatusUnavailable || len(report.Checks) != 6 {
			t.Errorf("the report is %+v", report)
		}
	})
}

// TestPaths: what was not asked for is not there.
func TestPaths(t *testing.T) {
	bare := (&admin.Server{}).Handler()
	full := (&admin.Server{Metrics: metrics.New(nil).Handler(), Profiles: true}).Handler()
	for _, tc := range []struct {
		handler http.Handler
		path    string
		status  int
		body    string
	}{
		{bare, "/live", 200, `{"status":"ok"}` + "\n"},
		{bare, "/ready", 200, `{"status":"ok"}` + "\n"},
		{bare, "/metrics", 404, ""},
		{bare, "/debug/pprof/", 404, ""},
		{bare, "/debug/pprof/heap", 404, ""},
		{bare, "/debug/vars", 404, ""},
		{bare, "/", 404, ""},
		{full, "/metrics", 200, "go_goroutines"},
		{full, "/debug/pprof/", 200, "goroutine?debug=1"},
		{full, "/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total"},
		{full, "/debug/pprof/heap?gc=1", 200, "\x1f\x8b"}, // gzip
		{full, "/debug/pprof/cmdline", 404, ""},           // it may have secrets
		{full, "/debug/pprof/nothing", 404, "there is no such profile"},
		{full, "/debug/pprof/heap?seconds=5", 400, "-base"},
		{full, "/debug/pprof/profile?seconds=x", 400, "give a number"},
		{full, "/debug/pprof/profile?seconds=-1", 400, "give a number"},
		{full, "/debug/pprof/profile?seconds=NaN", 400, "give a number"},
		{full, "/debug/pprof/trace?seconds=601", 400, "give a number"},
		{full, "/debug/pprof/trace?seconds=0.01", 200, "go 1."},
		{full, "/debug/pprof/profile?seconds=0.01", 200, "\x1f\x8b"},
	} {
		if status, _, body := get(t, tc.handler, tc.path); status != tc.status || !strings.Contains(body, tc.body) {
			t.Errorf("%s is %d %.200q, want %d %q", tc.path, status, body, tc.status, tc.body)
		}
	}
	r := httptest.NewRecorder()
	full.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/ready", nil))
	if r.Code != http.StatusMethodNotAllowed {
		t.Errorf("a POST is %d", r.Code)
	}
	if status, _, _ := get(t, http.DefaultServeMux, "/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("http.DefaultServeMux answers /debug/pprof/ with %d: somebody imports net/http/pprof", status)
	}
}

// TestOneProfile: two at once are refused as what they are.
func TestOneProfile(t *testing.T) {
	h := (&admin.Server{Profiles: true}).Handler()
	ctx, cancel := context.WithCancel(t.Context())
	began := make(writes, 1)
	over := make(chan struct{})
	go func() { // ends with ctx; waited for below
		defer close(over)
		h.ServeHTTP(began, httptest.NewRequest(http.MethodGet, "/debug/pprof/trace?seconds=600", nil).WithContext(ctx))
	}()
	<-began // the first bytes of the trace
	if status, header, _ := get(t, h, "/debug/pprof/trace"); status != http.StatusConflict || header.Get("Content-Disposition") != "" {
		t.Errorf("the second one is %d %v", status, header)
	}
	cancel()
	<-over
	if status, _, _ := get(t, h, "/debug/pprof/trace?seconds=0.01"); status != http.StatusOK {
		t.Errorf("a third one, after the client has gone, is %d", status)
	}
}

// writes tells of the first write.
type writes chan struct{}

func (w writes) Header() http.Header { return http.Header{} }
func (w writes) WriteHeader(int)     {}
func (w writes) Write(p []byte) (int, error) {
	select {
	case w <- struct{}{}:
	default:
	}
	return len(p), nil
}

// live starts s on a port of its own.
func live(t testing.TB, s *admin.Server) (addr string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- s.Serve(ctx, ln) }() // ends with ctx; received by stop
	return ln.Addr().String(), func() error {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		return <-over
	}
}

// ask asks a live server under some name.
func ask(t testing.TB, addr, host, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return answer.StatusCode, string(b)
}

// TestRebinding: a name that somebody else has led to the loopback interface gets no profile, no metrics, and no details. Probes may have
// any name.
func TestRebinding(t *testing.T) {
	addr, stop := live(t, &admin.Server{Profiles: true, Metrics: metrics.New(nil).Handler(), Hosts: []string{"app1.internal"}, Logger: zap.NewNop(),
		Checks: map[string]func(context.Context) error{"database": func(context.Context) error { return errors.New("dial 10.0.0.7: refused") }}})
	for host, own := range map[string]bool{
		"": true, "localhost:8001": true, "LOCALHOST": true, "127.0.0.1": true, "[::1]:8001": true, "[::1]": true, "192.0.2.1": true, "[2001:db8::1]:80": true,
		"app1.internal": true, "App1.internal:8001": true,
		"rebound.example": false, "rebound.example:8001": false, "localhost.example": false, "127.0.0.1.example": false, "xapp1.internal": false,
		"app1.internal.example": false, "127.0.0.1.": false, "[rebound.example]": false, "2130706433": false,
	} {
		guarded, details := http.StatusForbidden, `{"status":"unavailable"}`+"\n"
		if own {
			guarded, details = http.StatusOK, `{"status":"unavailable","checks":{"check database":"dial 10.0.0.7: refused"}}`+"\n"
		}
		for path, want := range map[string]int{"/debug/pprof/": guarded, "/debug/pprof/heap": guarded, "/metrics": guarded, "/live": http.StatusOK, "/ready": http.StatusServiceUnavailable} {
			status, body := ask(t, addr, host, path)
			if status != want || path == "/ready" && body != details {
				t.Errorf("%s of %q is %d %.200q, want %d", path, host, status, body, want)
			}
			if status == http.StatusForbidden && !strings.Contains(body, "to admin.Server.Hosts") {
				t.Errorf("%s of %q says %q", path, host, body)
			}
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestRebindingElsewhere: over other interfaces, and in a mux of the application's own, any name will do.
func TestRebindingElsewhere(t *testing.T) {
	h := (&admin.Server{Profiles: true, Metrics: metrics.New(nil).Handler()}).Handler()
	for local, want := range map[net.Addr]int{
		&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8001}: http.StatusOK,
		&net.TCPAddr{IP: net.IPv4(127, 0, 1, 1)}:            http.StatusForbidden,
		&net.TCPAddr{IP: net.IPv6loopback}:                  http.StatusForbidden,
		nil:                                                 http.StatusOK,
	} {
		for _, path := range []string{"/metrics", "/debug/pprof/"} {
			r := httptest.NewRequest(http.MethodGet, "http://app1.internal:8001"+path, nil)
			if local != nil {
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
			}
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%s at %v is %d, want %d", path, local, w.Code, want)
			}
		}
	}
}

// TestHostsRefused: what is no name of a host is found at the start.
func TestHostsRefused(t *testing.T) {
	for _, name := range []string{"", "app1.internal:8001", "http://app1.internal", "*.internal", "a, b"} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, fmt.Sprintf("admin: Server.Hosts has %q: write a name alone", name)) {
					t.Errorf("%q: panic %q", name, got)
				}
			}()
			(&admin.Server{Hosts: []string{name}}).Handler()
		}()
	}
}

// TestEnd: a profile that is being made ends with the server.
func TestEnd(t *testing.T) {
	addr, stop := live(t, &admin.Server{Profiles: true, Logger: zap.NewNop()})
	answer, err := http.Get("http://" + addr + "/debug/pprof/trace?seconds=600")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	over := make(chan error)
	go func() { over <- stop() }() // received below
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Errorf("the rest of the trace: %v", err)
	}
	answer.Body.Close()
	if err := <-over; err != nil || time.Since(began) > time.Minute {
		t.Errorf("the end took %v: %v", time.Since(began), err)
	}
}

// TestRun: an address that is taken is an error and a line, and so is a listener that fails.
func TestRun(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.ErrorLevel)
	s := &admin.Server{Addr: ln.Addr().String(), Logger: zap.New(core)}
	if err := s.Run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "admin: listen: ") {
		t.Errorf("an address that is taken: %v", err)
	}
	ln.Close()
	if err := s.Serve(t.Context(), ln); err == nil || !strings.HasPrefix(err.Error(), "admin: serve: ") {
		t.Errorf("a listener that is closed: %v", err)
	}
	if logs.FilterMessage("admin: cannot listen").Len() != 1 || logs.FilterMessage("admin: the listener failed").Len() != 1 || logs.Len() != 2 {
		t.Errorf("the lines are %v, want one for each", logs.All())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&admin.Server{Addr: "127.0.0.1:0", Logger: s.Logger}).Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a ctx that has ended: %v", err)
	}
	if logs.Len() != 2 {
		t.Errorf("a ctx that has ended left a line: %v", logs.All())
	}
	if admin.DefaultAddr != "127.0.0.1:8001" {
		t.Errorf("the default is %s", admin.DefaultAddr)
	}
}

// TestOpenProfiles: profiles for every network leave a line.
func TestOpenProfiles(t *testing.T) {
	for _, profiles := range []bool{false, true} {
		core, logs := observer.New(zapcore.WarnLevel)
		ln, err := net.Listen("tcp", "0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := (&admin.Server{Profiles: profiles, Logger: zap.New(core)}).Serve(ctx, ln); err != nil {
			t.Error(err)
		}
		if n := logs.Len(); (n == 1) != profiles {
			t.Errorf("profiles %v: %d lines, %v", profiles, n, logs.All())
		}
	}
}

// TestMistakes: what is nil panics at start, and says which.
func TestMistakes(t *testing.T) {
	for want, s := range map[string]*admin.Server{
		`Server.Servers["public"] is nil`: {Servers: map[string]*server.Server{"public": nil}},
		`Server.Layers["default"] is nil`: {Layers: map[string]*layers.Layer{"default": nil}},
		`Server.Workers["w"] is nil`:      {Workers: map[string]*consumers.Worker{"w": nil}},
		`Server.Checks["db"] is nil`:      {Checks: map[string]func(context.Context) error{"db": nil}},
	} {
		func() {
			defer func() {
				if v := fmt.Sprint(recover()); !strings.Contains(v, want) {
					t.Errorf("the panic is %q, want %q", v, want)
				}
			}()
			s.Handler()
		}()
	}
}
