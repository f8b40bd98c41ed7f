package server

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// A Server serves one application. Make it with [New]; it must not be copied.
//
// It is an [http.Handler], so that it can be mounted in any mux behind any net/http middleware; or it listens by itself:
// [Server.Run], [Server.Serve].
type Server struct {
	app     asgi.App
	opts    Options
	log     *zap.Logger
	origins origins
	proxies peers
	believe asgi.App // see clientSeen; nil without Options.ProxyHeaders
	http    asgi.Handler
	rawRoot string         // Options.RootPath, percent-encoded
	state   map[string]any // what the application left at startup; not written afterwards

	entries   sync.Pool // *entryList
	scratch   scratchPool
	writers   writerPool
	responses responsePool
	deflate   deflater
	flushers  *flushers
	pulse     pulse
	begun     time.Time // when New was called
	watch     asgi.Watch
	helpers   sync.WaitGroup // goroutines that connections start

	counts    counters
	goodbye   asgi.DisconnectError // what a shutdown says
	draining  atomic.Bool
	listening atomic.Bool
	unflushed atomic.Bool   // the line about that is written
	closing   chan struct{} // closed when the shutdown begins
	ending    ending
	running   sync.WaitGroup // HTTP sides of Run and Serve; no Add after closing

	mu      sync.Mutex
	newest  *conn         // of all connections, which are a list
	joined  int           // their number
	open    int           // those that are accepted
	gone    Stats         // what those counted that have left
	idle    chan struct{} // closed when the last connection has gone; made on demand
	down    bool          // closing is closed
	startup *startup      // of the first Run or Serve
}

// New makes a Server of an application. Nil options are the defaults. It panics, naming the line to change, when app is
// nil or an option is nonsense.
func New(app asgi.App, opts *Options) *Server {
	if app == nil {
		panic("asgi/server: New: app is nil: pass the application as the first argument")
	}
	if f, ok := app.(asgi.AppFunc); ok && f == nil {
		panic("asgi/server: New: app is asgi.AppFunc(nil): the function that it was made of is nil")
	}
	s := &Server{
		app:     app,
		opts:    opts.resolve(),
		begun:   time.Now(),
		closing: make(chan struct{}),
		ending:  newEnding(),
	}
	s.log = s.opts.Logger
	s.rawRoot = rawRootPath(s.opts.RootPath)
	s.origins = parseOrigins(s.opts.Origins)
	s.proxies = parsePeers(s.opts.TrustedProxies)
	s.proxies.warn(&s.opts)
	if s.opts.ProxyHeaders {
		s.believe = s.proxies.believing()
	}
	s.goodbye = asgi.DisconnectError{Code: s.opts.ShutdownCode, Reason: reasonShutdown, By: asgi.ByServer}
	s.flushers = newFlushers(runtime.GOMAXPROCS(0), &s.writers)
	s.deflate = newDeflater(&s.opts)
	s.pulse.interval = s.opts.PingInterval
	s.http = asgi.Handler{App: s.app, Describe: s.describe, Derive: s.completed, OnError: s.httpError, WriteTimeout: s.opts.WriteTimeout}
	return s
}

// ServeHTTP serves one request. For a WebSocket it returns after the handshake: [Server.Shutdown] waits for the sockets,
// which http.Server.Shutdown does not, and the request's context ends with ServeHTTP while its values stay in the scope.
//
// Whoever runs the http.Server calls its Shutdown and this Server's at once (see the example), never its own first: it waits for
// streams of server-sent events, which end when [Server.Shutdown] says so.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.serveRequest(w, r, context.WithoutCancel, false)
}

// serveRequest is ServeHTTP. What keep makes of the request's context stays in memory with a socket. Whether this server runs
// net/http itself is direct.
func (s *Server) serveRequest(w http.ResponseWriter, r *http.Request, keep func(context.Context) context.Context, direct bool) {
	if !websocket.IsWebSocketUpgrade(r) { // anything else is plain HTTP and the application's business
		s.serveHTTP(w, r)
		return
	}
	if status, problem := s.checkRequest(r); status != 0 {
		s.reject(w, r, status, problem)
		return
	}
	values := keep(r.Context())
	c, problem := s.join(values, s.websocketScope(r, values))
	if c == nil {
		s.reject(w, r, http.StatusServiceUnavailable, problem)
		return
	}
	c.direct = direct
	go c.runner()() // join has counted it; Shutdown waits
	c.negotiate(w, r)
}

// serveHTTP serves what is no WebSocket.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	s.counts.httpRequests.Add(1)
	if s.refuses(w, r) {
		return
	}
	defer s.counts.httpOpen.Add(-1)
	if open := s.counts.httpOpen.Add(1); s.opts.MaxRequests > 0 && open > int64(s.opts.MaxRequests) {
		s.counts.httpRefused.Add(1)
		s.refuseRequest(r, http.StatusServiceUnavailable, "there are as many requests as Options.MaxRequests allows")
		full(w)
		return
	}
	if r = s.limitBody(w, r); r != nil {
		s.http.ServeHTTP(w, r)
	}
}

// refuses answers a request that no application is to see. A function of its own, because a response may take long, and should
// wait on a small stack.
//
//go:noinline
func (s *Server) refuses(w http.ResponseWriter, r *http.Request) bool {
	switch problem := requestProblem(r); {
	case problem != "":
		s.log.Warn("http: bad request", zap.String("path", r.URL.Path), zap.String("client", r.RemoteAddr), zap.String("reason", problem))
		http.Error(w, problem, http.StatusBadRequest)
	case s.tooMany(r.Header):
		s.refuseRequest(r, http.StatusRequestHeaderFieldsTooLarge, errManyHeaders, zap.Int("Options.MaxHeaders", s.opts.MaxHeaders))
		http.Error(w, errManyHeaders, http.StatusRequestHeaderFieldsTooLarge)
	default:
		return false
	}
	s.counts.httpBadRequests.Add(1)
	return true
}

// refuseRequest is the line about a request that is over a limit.
//
//go:noinline
func (s *Server) refuseRequest(r *http.Request, status int, problem string, more ...zap.Field) {
	s.log.Warn("http: request refused", append([]zap.Field{zap.String("path", r.URL.Path), zap.String("client", r.RemoteAddr),
		zap.Int("status", status), zap.String("problem", problem)}, more...)...)
}

// direct is the handler where this server itself runs net/http, with nothing between but Options.Wrap. Without that the values
// of a request's context are known, and need not keep the whole chain of contexts that net/http makes for a request.
func (s *Server) direct(hs *http.Server) http.Handler {
	base := context.WithValue(context.Background(), http.ServerContextKey, hs)
	keep := func(ctx context.Context) context.Context {
		return context.WithValue(base, http.LocalAddrContextKey, ctx.Value(http.LocalAddrContextKey))
	}
	var served http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serveRequest(w, r, keep, true) })
	if s.opts.Wrap != nil {
		keep = context.WithoutCancel
		served = s.opts.Wrap(served)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.opts.ServerHeader != "" {
			w.Header()["Server"] = []string{s.opts.ServerHeader}
		}
		var body *countedBody
		if r.Body != http.NoBody && r.ProtoMajor == 1 {
			body = &countedBody{ReadCloser: r.Body}
			r = withBody(r, body)
		}
		served.ServeHTTP(w, r)
		if !websocket.IsWebSocketUpgrade(r) { // for what net/http has still to write; it sets its own with the next request
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.opts.WriteTimeout))
			settle(w, r, body)
		}
	})
}

// Draining reports whether the end has begun: the ctx of Run or Serve has ended, or [Server.Shutdown] was called. During
// Options.DrainDelay everything is still served.
func (s *Server) Draining() bool { return s.draining.Load() }

// Ready reports whether clients should be sent here: the application has started, Run or Serve listens, and the end has not
// begun. A Server that is mounted in a mux, and never ran by itself, is ready until Shutdown.
func (s *Server) Ready() bool {
	s.mu.Lock()
	own := s.startup != nil
	s.mu.Unlock()
	return !s.draining.Load() && (!own || s.listening.Load())
}

// join makes a connection, or says why there is no room for one.
func (s *Server) join(values context.Context, scope *asgi.Scope) (c *conn, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down:
		return nil, reasonShutdown
	case s.opts.MaxWebSockets > 0 && s.joined >= s.opts.MaxWebSockets:
		return nil, "there are as many WebSockets as Options.MaxWebSockets allows"
	case s.opts.MaxHandshakes > 0 && s.joined-s.open >= s.opts.MaxHandshakes:
		return nil, "there are as many handshakes as Options.MaxHandshakes allows"
	}
	s.joined++
	if s.newest == nil {
		s.flushers.rest(false)
	}
	c = &conn{srv: s, scope: scope, hs: newHandshake()}
	c.ctx, c.cancel = context.WithCancelCause(values)
	if c.older = s.newest; c.older != nil {
		c.older.newer = c
	}
	s.newest = c
	return c, ""
}

// leave forgets a connection whose goroutine ends.
func (s *Server) leave(c *conn) {
	c.mu.Lock()
	accepted := c.open
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	c.traffic.addTo(&s.gone)
	s.joined--
	if accepted {
		s.open--
	}
	if c.older != nil {
		c.older.newer = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		s.newest = c.older
	}
	if s.newest != nil {
		return
	}
	s.flushers.rest(true)
	if s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// websocketScope describes a handshake.
func (s *Server) websocketScope(r *http.Request, values context.Context) *asgi.Scope {
	f := asgi.FieldsOf(r)
	f.Context = values
	f.Type, f.Method = asgi.WebSocket, ""
	f.Header = withoutUnderscores(f.Header)
	if f.Scheme == "https" {
		f.Scheme = "wss"
	} else {
		f.Scheme = "ws"
	}
	f.Subprotocols = subprotocols(r.Header)
	f.Extensions = websocketExtensions
	f.State = s.state
	f.Watch = &s.watch
	f.Closing = s.ending.begun
	s.mount(&f)
	return s.completed(asgi.NewScope(f))
}

var websocketExtensions = map[string]map[string]any{"websocket.http.response": {}, "websocket.flush": {}}

// describe adds to the fields of an HTTP scope what only this server knows.
func (s *Server) describe(f *asgi.Fields) {
	f.State = s.state
	f.Header = withoutUnderscores(f.Header)
	f.Watch = &s.watch
	f.Closing = s.ending.begun
	s.mount(f)
}

// completed adds the logger, and the client that trusted proxies name.
func (s *Server) completed(scope *asgi.Scope) *asgi.Scope {
	return asgi.LoggerKey.With(s.clientSeen(scope), s.log)
}

// httpError is the one line about a failed HTTP application, a client that reads nothing or sends nonsense, or, once for all requests,
// a ResponseWriter that holds streams back.
func (s *Server) httpError(scope *asgi.Scope, err error) {
	if end, ok := err.(asgi.DisconnectError); ok {
		message := "http: cut"
		if end.By == asgi.ByClient {
			s.counts.httpBadRequests.Add(1)
			message = "http: bad request"
		} else {
			s.counts.httpSlowReaders.Add(1)
		}
		s.log.Warn(message, about(scope, zap.String("reason", end.Reason))...)
		return
	}
	if errors.Is(err, asgi.ErrUnflushed) {
		if !s.unflushed.Swap(true) { // it is the program's mistake, and the same for all requests
			s.log.Warn("http: a response in parts is held back", about(scope, zap.Error(err))...)
		}
		return
	}
	s.counts.httpFailures.Add(1)
	if status, ok := asgi.StatusOf(err); ok {
		s.log.Warn("http: refused because of an error", about(scope, zap.Int("status", status), zap.Error(err))...)
		return
	}
	s.log.Error("http: application failed", failure(scope, err)...)
}
