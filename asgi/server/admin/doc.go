// Package admin is what operators ask a site: does it live, is it ready, what are its metrics, where does its time go. It has a
// listener of its own, on the loopback interface by default, and serves nothing on the public one.
//
//	a := admin.Server{
//		Servers: map[string]*server.Server{"public": srv},
//		Layers:  map[string]*layers.Layer{"default": layer},
//		Metrics: m.Handler(), // of package asgi/server/metrics
//	}
//	err := a.Run(ctx) // 127.0.0.1:8001 until ctx ends
//
// # What it answers
//
//   - /live is 200 while the process answers at all. It looks at nothing: a supervisor that restarts a process because a
//     broker is away only makes things worse.
//   - /ready is 200 if every check passes and 503 otherwise. The checks are the servers (started, and not shutting down), the
//     layers (connected to their broker), the workers (running, and their layer answers), and those of the application.
//   - /metrics is Server.Metrics, 404 without.
//   - /debug/pprof/ has the runtime's profiles if Server.Profiles says so, 404 otherwise: for go tool pprof and go tool trace.
//
// /ready names each check, in JSON:
//
//	{"status":"unavailable","checks":{"layer default":"nats: no servers available, since 12s","server public":"ok"}}
//
// List a layer only if the site is of no use without it: when its broker goes, all processes become unready together.
//
// # The end
//
// Give Run a ctx that ends after the public server has ended, so that /ready says no as long as that drains:
//
//	ctx, stop := context.WithCancel(context.Background())
//	done := make(chan error, 1)
//	go func() { done <- a.Run(ctx) }()
//	err := srv.Run(untilSignal)
//	stop()
//	err = errors.Join(err, <-done)
//
// # Who may ask
//
// Anybody who reaches the listener. Profiles show the program's insides, and making one costs time: name an address that
// others can reach only in a network that you trust.
//
// A page in a browser on the same machine can have its own name lead to the loopback interface, and then read what is answered
// there (DNS rebinding). So over that interface metrics and profiles are for requests by localhost, by an address, or by one of
// Server.Hosts; the answer to others is 403. Probes often have other names, and a supervisor that finds no 200 ends the process:
// /live and /ready answer all, but by another name /ready has the status alone, without the checks, whose errors may tell where a
// broker is. Over other interfaces, where Prometheus asks by whatever name it knows, there is no such rule: which machines
// reach them is for the network to say.
//
// The handlers stand on runtime/pprof: net/http/pprof would register itself in http.DefaultServeMux, which may be public.
package admin
