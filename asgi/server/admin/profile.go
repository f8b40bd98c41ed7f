package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

// profiles answers below /debug/pprof/ as net/http/pprof does, as far as go tool pprof and go tool trace ask.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/{$}", profileIndex)
	mux.HandleFunc("/debug/pprof/{name}", profileNamed)
	mux.HandleFunc("/debug/pprof/profile", func(w http.ResponseWriter, r *http.Request) {
		record(w, r, 30*time.Second, pprof.StartCPUProfile, pprof.StopCPUProfile)
	})
	mux.HandleFunc("/debug/pprof/trace", func(w http.ResponseWriter, r *http.Request) {
		record(w, r, time.Second, trace.Start, trace.Stop)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// profileIndex lists what there is.
func profileIndex(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "profile?seconds=30\tCPU")
	fmt.Fprintln(w, "trace?seconds=1\texecution, for go tool trace")
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(w, "%s?debug=1\t%d\n", p.Name(), p.Count())
	}
}

// profileNamed writes one of the runtime's profiles.
func profileNamed(w http.ResponseWriter, r *http.Request) {
	p := pprof.Lookup(r.PathValue("name"))
	if p == nil {
		http.Error(w, "there is no such profile: /debug/pprof/ lists them", http.StatusNotFound)
		return
	}
	if r.FormValue("seconds") != "" {
		http.Error(w, "differences of profiles are not made here: take two, and compare them by go tool pprof -base", http.StatusBadRequest)
		return
	}
	debug, _ := strconv.Atoi(r.FormValue("debug"))
	if r.FormValue("gc") != "" && p.Name() == "heap" {
		runtime.GC()
	}
	if debug > 0 {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	} else {
		attach(w, p.Name())
	}
	extend(w, 0)
	_ = p.WriteTo(w, debug) // who has gone need not know
}

// attach says that the answer is a file.
func attach(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

// maxRecord is the longest profile.
const maxRecord = 10 * time.Minute

// record writes what is recorded for some seconds, or until the client or the server has gone.
func record(w http.ResponseWriter, r *http.Request, lasts time.Duration, start func(io.Writer) error, stop func()) {
	if text := r.FormValue("seconds"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds > 0 && seconds <= maxRecord.Seconds()) {
			http.Error(w, fmt.Sprintf("seconds is %q: give a number up to %v", text, maxRecord.Seconds()), http.StatusBadRequest)
			return
		}
		lasts = time.Duration(seconds * float64(time.Second))
	}
	extend(w, lasts)
	attach(w, r.URL.Path[len("/debug/pprof/"):])
	if err := start(w); err != nil { // another one runs
		w.Header().Del("Content-Disposition")
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	defer stop()
	ctx, cancel := context.WithTimeout(r.Context(), lasts)
	defer cancel()
	<-ctx.Done()
}

// extend gives the answer the time of a write after it has been made.
func extend(w http.ResponseWriter, lasts time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(lasts + writeTime)) // where there is none, there is no limit
}
