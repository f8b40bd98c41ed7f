package embedded

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// A greeting is what a NATS server says first on a new connection, as far as it tells what is behind the port.
type greeting struct {
	ID       string `json:"server_id"`
	Name     string `json:"server_name"`
	Cluster  string `json:"cluster"`
	ClientID uint64 `json:"client_id"`       // on a port for clients, which number them from 1
	Gateway  string `json:"gateway"`         // on a port for other clusters
	LeafURLs any    `json:"leafnode_urls"`   // on a port for leaf nodes
	PoolSize int    `json:"route_pool_size"` // on a port for routes, if the node has a pool
}

// errWrongPort says that something answered, and that it cannot be a node of any cluster.
var errWrongPort = errors.New("name the address that the node has as Cluster.Listen, which nats-server calls -cluster, usually port 6222")

const (
	lookTime     = 500 * time.Millisecond // for all routes at once, while somebody waits
	watchLook    = time.Second            // and while nobody does
	greetingSize = 64 << 10
)

// look connects to a route and reads the greeting. The server is not to find out for itself that a route leads to a port
// for clients: it takes that for a node without a pool, and connects again without any pause.
func look(ctx context.Context, addr string, c *tls.Config) (greeting, error) {
	var g greeting
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return g, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var from io.Reader = conn
	if c != nil {
		t := c.Clone()
		t.InsecureSkipVerify = true // nothing is told, and what is heard is public
		secure := tls.Client(conn, t)
		var plain tls.RecordHeaderError
		switch err := secure.HandshakeContext(ctx); {
		case err == nil:
			from = secure
		case errors.As(err, &plain) && ctx.Err() == nil:
			return look(ctx, addr, nil)
		default:
			return g, err
		}
	}
	line, err := bufio.NewReader(io.LimitReader(from, greetingSize)).ReadBytes('\n')
	said, isInfo := bytes.CutPrefix(line, []byte("INFO "))
	switch {
	case len(line) == 0 && ctx.Err() != nil:
		return g, errors.New("it takes connections and says nothing: it is no node, or it stands still, or wants TLS")
	case len(line) == 0:
		return g, fmt.Errorf("it ends connections without a word: %w", err)
	case !isInfo:
		return g, fmt.Errorf("no NATS server is there, it says %.20q: %w", line, errWrongPort)
	case err != nil:
		return g, err
	}
	if err := json.Unmarshal(said, &g); err != nil {
		return g, fmt.Errorf("its greeting cannot be read: %w", err)
	}
	return g, g.check()
}

// check says what kind of port it is, if not one for routes.
func (g *greeting) check() error {
	kind := ""
	switch {
	case g.ClientID != 0:
		kind = "clients"
	case g.LeafURLs != nil && g.PoolSize == 0:
		kind = "leaf nodes"
	case g.Gateway != "" && g.PoolSize == 0:
		kind = "other clusters"
	default:
		return nil
	}
	return fmt.Errorf("this is a server's port for %s: %w", kind, errWrongPort)
}

// A seen is what a look at a route found.
type seen struct {
	route string
	greeting
	err error
}

// lookAll looks at several routes at once.
func lookAll(ctx context.Context, routes []string, c *tls.Config, limit time.Duration) []seen {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	all := make([]seen, len(routes))
	var looking sync.WaitGroup
	for i, r := range routes {
		looking.Go(func() { // ends with ctx; waited for below
			g, err := look(ctx, r, c)
			all[i] = seen{r, g, err}
		})
	}
	looking.Wait()
	return all
}

// wrongPorts is an error that names the routes, of those that can be reached, which lead to no node.
func wrongPorts(ctx context.Context, routes []string, c *tls.Config) error {
	var wrong []string
	for _, s := range lookAll(ctx, routes, c, lookTime) {
		if errors.Is(s.err, errWrongPort) {
			wrong = append(wrong, fmt.Sprintf("route %q: %v", s.route, s.err))
		}
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}
