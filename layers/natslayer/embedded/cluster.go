package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A Cluster says how a server finds the other nodes and is found by them.
type Cluster struct {
	// Listen is the address for the other nodes, "host:port". Required. Port 0 takes a free one, which
	// [Server.ClusterAddr] tells. Name a private address: ":6222" is reachable from everywhere.
	Listen string

	// Advertise is the address that other nodes are told to use, where it is not Listen: behind a translation of
	// addresses, or with a host that stands for all ("0.0.0.0"). Default: Listen, or the addresses of the machine.
	Advertise string

	// Name is the name of the cluster, without spaces; default "tideway". Nodes of another name are refused.
	Name string

	// Routes are the addresses of other nodes, "host:port"; one that is reachable is enough. The own address may be
	// among them, so that all nodes can have the same list. Nodes that are not there yet are tried again for ever; the
	// log names, each minute, those that are missing for more than 10 s. Start looks at all of them, for half a
	// second: one that leads to another port of a NATS server, such as that for clients, is an error; one found out
	// later is logged and left alone.
	Routes []string

	// User and Password are what nodes ask of each other; the same everywhere. Default: whoever reaches the port may do
	// everything.
	User, Password string

	// TLS encrypts the routes. It serves both ends of each: Certificates, RootCAs and, if it is another,
	// ClientCAs. Both ends must show a certificate. It must be good for the host of the route; a node that is heard of
	// from another is expected to have the name of the first route that has one, or else its IP address. Default: no
	// encryption.
	TLS *tls.Config

	// JetStreamPeers is how many nodes hold JetStream, 3 or 5; set it on those nodes only. Routes must then list the
	// others of them and no other nodes, and [Options.Name] must be set. Start waits until most of them are there.
	// Default: this node holds nothing.
	JetStreamPeers int
}

const (
	defaultClusterName = "tideway"

	// firstReportOnly makes the server report the first failure of an episode, then one per hour of retries.
	firstReportOnly = 3600

	// gossipRetries is how often, once a second, a node is tried that was heard of from another and is lost. The server's
	// default is once, and two nodes whose link fails for a second would stay apart for good: messages go from node to
	// node, never over a third.
	gossipRetries = 3600

	// A node that says nothing for 6 to 9 s is lost. The server's default is a minute and more.
	routePing    = 3 * time.Second
	routePingOut = 2
)

func (c *Cluster) withDefaults(o *Options) (*Cluster, error) {
	r := *c
	if r.Name == "" {
		r.Name = defaultClusterName
	}
	r.Routes = slices.Clone(c.Routes)
	if err := r.check(o); err != nil {
		return nil, err
	}
	return &r, nil
}

func (c *Cluster) check(o *Options) error {
	if c.Listen == "" {
		return errors.New(`Cluster.Listen is empty: name the address for the other nodes, such as "10.0.0.1:6222"`)
	}
	if _, _, err := hostPort(c.Listen); err != nil {
		return fmt.Errorf("Cluster.Listen: %w", err)
	}
	if c.Advertise != "" {
		if err := dialable(c.Advertise); err != nil {
			return fmt.Errorf("Cluster.Advertise: %w", err)
		}
	}
	for i, r := range c.Routes {
		if err := dialable(r); err != nil {
			return fmt.Errorf("Cluster.Routes[%d]: %w", i, err)
		}
	}
	switch {
	case strings.ContainsAny(c.Name, " \t\n"):
		return fmt.Errorf("Cluster.Name is %q: it must not contain spaces", c.Name)
	case (c.User == "") != (c.Password == ""):
		return errors.New("Cluster.User and Cluster.Password: set both or none")
	}
	return c.checkPeers(o)
}

// checkPeers refuses sets of JetStream peers that lose data or never come up.
func (c *Cluster) checkPeers(o *Options) error {
	others := c.others()
	switch n := c.JetStreamPeers; {
	case n == 0 && o.Dir != "":
		return errors.New("Options.Dir is set, but this node holds no JetStream: set Cluster.JetStreamPeers to 3 or 5, or leave Dir empty")
	case n == 0:
		return nil
	case n == 2:
		return errors.New("Cluster.JetStreamPeers is 2: with two, the death of either stops both; use 3 or 5, or run the server alone")
	case n != 3 && n != 5:
		return fmt.Errorf("Cluster.JetStreamPeers is %d: it must be 3 or 5, so that most are left when one or two die; other nodes leave it at 0", n)
	case o.Name == "":
		return errors.New("Options.Name is empty: a JetStream peer needs a name that is unique in the cluster and stays the same")
	case len(others) != n-1 && len(others) != n: // n: the own address may be there in a form that is not recognized
		return fmt.Errorf("Cluster.Routes lists %d other nodes: with JetStreamPeers %d it must list the other %d peers, and only them", len(others), n, n-1)
	case c.own() == "":
		return errors.New("Cluster.Listen has port 0: a JetStream peer needs an address that the other peers know beforehand")
	}
	return nil
}

// own is the address by which other nodes know this one, if it is known beforehand.
func (c *Cluster) own() string {
	if c.Advertise != "" {
		return c.Advertise
	}
	if err := dialable(c.Listen); err != nil {
		return ""
	}
	return c.Listen
}

// others are the distinct routes to other nodes.
func (c *Cluster) others() []string {
	var r []string
	for _, route := range c.Routes {
		if route != c.Listen && route != c.Advertise && !slices.Contains(r, route) {
			r = append(r, route)
		}
	}
	return r
}

// routes are the routes as the server wants them. A JetStream peer lists itself, because the server takes the length of
// the list for the number of peers, when it counts what a majority is.
func (c *Cluster) routes() []*url.URL {
	list := c.others()
	if c.JetStreamPeers > len(list) {
		list = append(list, c.own())
	}
	var urls []*url.URL
	for _, route := range list {
		u := &url.URL{Scheme: "nats-route", Host: route}
		if c.User != "" {
			u.User = url.UserPassword(c.User, c.Password)
		}
		urls = append(urls, u)
	}
	return urls
}

// put writes the cluster into the configuration of the server.
func (c *Cluster) put(o *server.Options) {
	host, port, _ := hostPort(c.Listen) // checked before
	o.Routes = c.routes()
	o.ReconnectErrorReports = firstReportOnly
	o.Cluster = server.ClusterOpts{
		Name:        c.Name,
		Host:        host,
		Port:        port,
		Username:    c.User,
		Password:    c.Password,
		Advertise:   c.Advertise,
		NoAdvertise: true, // of the ports for clients

		ConnectRetries: gossipRetries,
		PingInterval:   routePing,
		MaxPingsOut:    routePingOut,
	}
	if c.TLS != nil {
		t := c.TLS.Clone()
		t.ClientAuth = tls.RequireAndVerifyClientCert
		if t.ClientCAs == nil {
			t.ClientCAs = t.RootCAs
		}
		o.Cluster.TLSConfig = t
	}
}

// hostPort splits an address to listen on. Port -1 is NATS's word for any.
func hostPort(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is no address: write host:port", addr)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no port from 0 to 65535: write host:port", addr)
	}
	if port == 0 {
		port = -1
	}
	return host, port, nil
}

// dialable says whether addr can be connected to: it has a host and a port.
func dialable(addr string) error {
	host, port, err := hostPort(addr)
	if err == nil && (host == "" || port == -1) {
		err = fmt.Errorf("%q cannot be connected to: write host:port with the host and the port of a node", addr)
	}
	return err
}

// ClusterAddr is the address where the server listens for other nodes, "" when it is alone.
func (s *Server) ClusterAddr() string {
	if a := s.nats.ClusterAddr(); a != nil {
		return a.String()
	}
	return ""
}

// AddRoutes adds addresses of other nodes while the server runs. It returns when the server has begun to connect to them,
// which it does for ever: [Server.WaitPeers] waits for success. A port that can be reached and is not one for other nodes
// is an error, and then none is added.
func (s *Server) AddRoutes(ctx context.Context, routes ...string) error {
	if err := s.addRoutes(ctx, routes); err != nil {
		return fmt.Errorf("embedded: add routes: %w", err)
	}
	return nil
}

func (s *Server) addRoutes(ctx context.Context, routes []string) error {
	cluster := s.cluster()
	switch {
	case cluster == nil:
		return errors.New("the server runs alone: set Options.Cluster at its start")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	for _, r := range routes {
		if err := dialable(r); err != nil {
			return err
		}
	}
	if err := wrongPorts(ctx, routes, cluster.TLS); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	c := *s.opts.Cluster
	c.Routes = append(slices.Clone(c.Routes), routes...)
	before := s.opts.Cluster
	s.opts.Cluster = &c
	if err := s.nats.ReloadOptions(s.config()); err != nil {
		s.opts.Cluster = before
		return err
	}
	return nil
}

// Peers are the names of the nodes that this one is connected to now, sorted.
func (s *Server) Peers() []string {
	z, err := s.nats.Routez(nil)
	if err != nil { // none is asked for
		return nil
	}
	var names []string
	for _, r := range z.Routes {
		if r.RemoteName != "" {
			names = append(names, r.RemoteName)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// WaitPeers waits until this node is connected to n others, or more. Starting does not wait for them, except as
// [Cluster.JetStreamPeers] says. A message to a node that is not connected is lost.
func (s *Server) WaitPeers(ctx context.Context, n int) error {
	if err := poll(ctx, func() bool { return len(s.Peers()) >= n }); err != nil {
		return fmt.Errorf("embedded: wait for %d peers: have %d: %w", n, len(s.Peers()), err)
	}
	return nil
}

// poll waits until ok says yes.
func poll(ctx context.Context, ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
