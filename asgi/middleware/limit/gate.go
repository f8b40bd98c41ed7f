package limit

import (
	"container/list"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/tideway-go/tideway/asgi"
)

// A gate counts connections, in all and by key.
type gate struct {
	opts     Options
	connects *rate.Limiter // nil without Connects
	warned   atomic.Bool   // by unkeyed

	mu   sync.Mutex
	open int
	keys map[string]*client
	idle *list.List // of *client: those without a connection, the longest unseen first
}

// A client is what is known of one key: its connections, and how often it connects. It is kept while there is either to know.
type client struct {
	key      string
	open     int
	connects *rate.Limiter // nil without ConnectsPerKey
	idle     *list.Element // nil while there are connections
}

func newGate(o Options) *gate {
	g := &gate{opts: o, keys: map[string]*client{}, idle: list.New()}
	if o.Connects.limits() {
		g.connects = o.Connects.limiter()
	}
	return g
}

// enter takes a place, or says why there is none.
func (g *gate) enter(key string) *refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.client(key)
	if no := g.check(c); no != nil {
		if c != nil && c.open == 0 {
			g.rest(c)
		}
		return no
	}
	g.open++
	if c == nil {
		return nil
	}
	c.open++
	if c.idle != nil {
		g.idle.Remove(c.idle)
		c.idle = nil
	}
	return nil
}

// check says what speaks against one more connection. The bucket of all comes last: nobody empties it who gets no place.
func (g *gate) check(c *client) *refusal {
	now := time.Now()
	if c != nil && c.connects != nil && !c.connects.AllowN(now, 1) {
		wait := g.opts.ConnectsPerKey.until(c.connects, now, 1)
		return refuse(http.StatusTooManyRequests, wait, fmt.Sprintf("%s connects too often", c.key))
	}
	if limit := g.opts.ConnectionsPerKey; c != nil && limit > 0 && c.open >= limit {
		return refuse(http.StatusServiceUnavailable, 0, fmt.Sprintf("%s has %d connections already", c.key, limit))
	}
	if limit := g.opts.Connections; limit > 0 && g.open >= limit {
		return refuse(http.StatusServiceUnavailable, 0, fmt.Sprintf("all %d connections are taken", limit))
	}
	if g.connects != nil && !g.connects.AllowN(now, 1) {
		wait := g.opts.Connects.until(g.connects, now, 1)
		return refuse(http.StatusServiceUnavailable, wait, "more connections come at once than Options.Connects takes")
	}
	return nil
}

// client returns what is known of a key, nil where nothing is to be known.
func (g *gate) client(key string) *client {
	if key == "" || g.opts.ConnectionsPerKey == 0 && !g.opts.ConnectsPerKey.limits() {
		return nil
	}
	c := g.keys[key]
	if c == nil {
		c = &client{key: key}
		if g.opts.ConnectsPerKey.limits() {
			c.connects = g.opts.ConnectsPerKey.limiter()
		}
		g.keys[key] = c
	}
	return c
}

// leave gives a place back.
func (g *gate) leave(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if c := g.client(key); c != nil {
		if c.open--; c.open == 0 {
			g.rest(c)
		}
	}
}

// rest puts a client last among the idle ones, and forgets those of which there is nothing to remember any more, or no room.
func (g *gate) rest(c *client) {
	if c.idle == nil {
		c.idle = g.idle.PushBack(c)
	} else {
		g.idle.MoveToBack(c.idle)
	}
	now := time.Now()
	for e := g.idle.Front(); e != nil; e = g.idle.Front() {
		oldest := e.Value.(*client)
		full := oldest.connects == nil || oldest.connects.TokensAt(now) >= float64(g.opts.ConnectsPerKey.Burst)
		if !full && g.idle.Len() <= g.opts.Keys {
			return
		}
		g.idle.Remove(e)
		delete(g.keys, oldest.key)
	}
}

// A refusal is why there is no place, and the response that says so.
type refusal struct {
	why  string
	deny asgi.Deny
}

func refuse(status int, wait time.Duration, why string) *refusal {
	deny := asgi.Deny{Status: status, Header: http.Header{}, Body: []byte(http.StatusText(status) + "\n")}
	if wait > 0 {
		deny.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(min(wait.Seconds(), math.MaxInt32)))))
	}
	return &refusal{why, deny}
}

// err is the refusal of a connection. That of a WebSocket has a code too, for one that is open already: before the accept
// servers take the response, and afterwards the code.
func (r *refusal) err(scope *asgi.Scope) error {
	e := &refusalError{why: r.why, means: []error{r.deny}}
	if scope.Type() == asgi.WebSocket {
		e.means = append(e.means, asgi.CloseError{Code: tryAgainLater, Reason: "try again later"})
	}
	return e
}

// refusalError matches an [asgi.Deny], and for a WebSocket an [asgi.CloseError].
type refusalError struct {
	why   string
	means []error
}

func (e *refusalError) Error() string   { return "limit: " + e.why }
func (e *refusalError) Unwrap() []error { return e.means }

// Close codes of the registry that RFC 6455 section 11.7 begins.
const (
	policyViolation = 1008
	tryAgainLater   = 1013
)
