package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// DefaultAddr is where a [Server] listens unless told otherwise.
const DefaultAddr = "127.0.0.1:8001"

// A Server answers operators. The zero value is ready, and has nothing to check. Fields must not change while it runs.
type Server struct {
	// Addr is where Run listens; default [DefaultAddr]. ":8001" is open to every network that the machine is in.
	Addr string

	// Servers, Layers and Workers are what has to be well for /ready, by the names that it shows.
	Servers map[string]*server.Server
	Layers  map[string]*layers.Layer
	Workers map[string]*consumers.Worker

	// Checks are the application's own, such as a database's Ping. All run for each request of /ready, at once, and have 2 s:
	// a check that does not heed the end of its ctx holds the answer up.
	Checks map[string]func(ctx context.Context) error

	// Hosts are the names by which metrics and profiles may be asked for over the loopback interface, besides localhost and addresses:
	// this machine's own where it leads there, or one that a proxy on the same machine passes on. Default none. Requests over
	// other interfaces may have any name.
	Hosts []string

	// Metrics answers /metrics; default none.
	Metrics http.Handler

	// Profiles opens /debug/pprof/. Default off: it shows the program's insides to whoever reaches Addr.
	Profiles bool

	// Logger is for what goes wrong here. Default: warnings and errors to stderr; zap.NewNop() is silence.
	Logger *zap.Logger
}

// Handler is what Run serves, for an application that has a private mux already. It panics where a server, layer, worker or
// check is nil, or where Hosts has what is no name.
func (s *Server) Handler() http.Handler {
	checks := s.checks()
	s.checkHosts()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, Report{Status: StatusOK})
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		report := run(r.Context(), checks)
		status := http.StatusOK
		if report.Status != StatusOK {
			status = http.StatusServiceUnavailable
		}
		if !s.ownName(r) {
			report.Checks = nil // probes may have any name; what they look at is the status
		}
		answer(w, status, report)
	})
	if s.Metrics != nil {
		mux.Handle("GET /metrics", s.guarded(s.Metrics))
	}
	if s.Profiles {
		mux.Handle("GET /debug/pprof/", s.guarded(profiles()))
	}
	return mux
}

// answer writes a report that nobody may keep.
func answer(w http.ResponseWriter, status int, report Report) {
	text, err := json.Marshal(report)
	if err != nil { // a Report has only text
		panic(fmt.Sprintf("admin: a report is no JSON: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // who has gone need not know
}
