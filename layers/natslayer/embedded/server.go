package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A Server is a running NATS server and a connection to it. All methods are safe from any goroutine.
type Server struct {
	nats  *server.Server
	log   *serverLog
	store *store // nil: no JetStream here
	conn  *nats.Conn

	started chan struct{} // closed when Start of the server has returned
	ended   chan struct{} // closed when everything has ended
	endErr  error         // set before ended is closed

	life     context.Context // of the watch over the routes
	endWatch context.CancelFunc
	watching sync.WaitGroup

	mu      sync.Mutex // guards what follows
	opts    Options
	shunned map[string]bool // routes that lead to a wrong port
	closed  bool
}

// cleanUp is how long a failed Start may take to remove what it has begun.
const cleanUp = 5 * time.Second

// Start starts a server and waits until it is ready: it listens, JetStream has recovered what it stored and, in a cluster,
// has a leader. If ctx ends before, that is an error. Errors name the field, the port or the path, and leave nothing behind.
func Start(ctx context.Context, opts *Options) (*Server, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	s := &Server{
		opts: o, log: newServerLog(o.Logger), shunned: make(map[string]bool),
		started: make(chan struct{}), ended: make(chan struct{}),
	}
	s.life, s.endWatch = context.WithCancel(context.Background())
	if err := s.start(ctx); err != nil {
		s.endWatch()
		return nil, fmt.Errorf("embedded: start: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.opts.jetStream() {
		if s.store, err = openStore(&s.opts); err != nil {
			return err
		}
	}
	if err = s.checkRoutes(ctx); err != nil {
		return errors.Join(err, s.giveBack())
	}
	if s.nats, err = server.NewServer(s.config()); err != nil {
		return errors.Join(err, s.giveBack())
	}
	s.nats.SetLogger(s.log, false, false)
	go func() { // ends when the server is up or has failed; end waits for it
		defer close(s.started)
		s.nats.Start()
	}()
	if err = s.ready(ctx); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	return errors.Join(err, s.stop(ctx))
}

// ready waits until the server can be used.
func (s *Server) ready(ctx context.Context) error {
	select {
	case <-s.started:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := poll(ctx, func() bool {
		return s.log.fatal() != nil || s.opts.Cluster == nil || s.nats.ClusterAddr() != nil
	})
	if fatal := s.log.fatal(); fatal != nil {
		return fatal
	}
	if err != nil {
		return err
	}
	if s.conn, err = s.connect(); err != nil {
		return err
	}
	if s.opts.Cluster != nil {
		s.watching.Go(func() { s.watch(s.life) }) // ended by end, which waits
	}
	return s.quorum(ctx)
}

// checkRoutes refuses routes to a wrong port, as far as it can be reached now.
func (s *Server) checkRoutes(ctx context.Context) error {
	if s.opts.Cluster == nil {
		return nil
	}
	err := wrongPorts(ctx, s.opts.Cluster.others(), s.opts.Cluster.TLS)
	if err != nil {
		err = fmt.Errorf("Cluster.Routes: %w", err)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// quorum waits until JetStream in a cluster has a leader, and this node its news.
func (s *Server) quorum(ctx context.Context) error {
	if s.opts.Cluster == nil || s.opts.Cluster.JetStreamPeers == 0 {
		return nil
	}
	err := poll(ctx, func() bool {
		if !s.nats.JetStreamIsCurrent() {
			return false
		}
		try, cancel := context.WithTimeout(ctx, 500*time.Millisecond) // a request during an election has no answer
		defer cancel()
		m, err := s.conn.RequestWithContext(try, "$JS.API.INFO", nil)
		return err == nil && !strings.Contains(string(m.Data), `"error"`)
	})
	if err != nil {
		return fmt.Errorf("JetStream has no leader: of its %d peers, only %v and this one are here: %w", s.opts.Cluster.JetStreamPeers, s.Peers(), err)
	}
	return nil
}

// config says to NATS what the options say.
func (s *Server) config() *server.Options {
	o := &server.Options{
		ServerName:             s.opts.Name,
		NoSigs:                 true, // its handler exits the process
		MaxPayload:             int32(s.opts.MaxPayload),
		MaxPending:             maxPending,
		DisableJetStreamBanner: true,
	}
	s.listen(o)
	if s.store != nil {
		o.JetStream = true
		o.StoreDir = s.store.dir
		o.JetStreamMaxMemory = s.opts.MaxMemory
		o.JetStreamMaxStore = s.opts.MaxDisk
	}
	if s.opts.Cluster != nil {
		s.opts.Cluster.put(o)
		o.Routes = slices.DeleteFunc(o.Routes, func(u *url.URL) bool { return s.shunned[u.Host] })
	}
	return o
}

// A program on another machine that loses its power says no goodbye. It is gone, and with it its memberships (L10), after
// the third ping without an answer.
const (
	clientPing    = 3 * time.Second
	clientPingOut = 2
)

// listen sets the port for clients.
func (s *Server) listen(o *server.Options) {
	switch {
	case s.opts.Listen != "":
		o.Host, o.Port, _ = hostPort(s.opts.Listen) // checked before
		o.PingInterval, o.MaxPingsOut = clientPing, clientPingOut
	case s.opts.Cluster != nil:
		o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
	default:
		o.DontListen = true
		return
	}
	o.CustomClientAuthentication = &gate{s.opts.Listen != "", s.opts.User, s.opts.Password}
}

// ClientURL is where other programs reach the server as NATS clients, without user and password; "" unless
// [Options.Listen] is set.
func (s *Server) ClientURL() string {
	if s.opts.Listen == "" { // never changed
		return ""
	}
	return s.nats.ClientURL()
}

// InProcessConn is a new connection that needs no port. It makes a Server a [nats.InProcessConnProvider]:
//
//	conn, err := nats.Connect("", nats.InProcessServer(srv))
//
// Close such connections before the server: afterwards they try to reconnect.
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.InProcessConn() }
