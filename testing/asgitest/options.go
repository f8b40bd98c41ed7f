package asgitest

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
)

// Options change what an app sees of its client, and the limits of the server and of the test. Nil and the zero value
// are ready. [Site.With] lays them over those of the Site: a field that is set replaces the one below it.
type Options struct {
	// Header is added to each request; a name replaces that name. Default: none. The app sees no headers but these,
	// Cookie, Content-Length and, for userinfo in a URL, Authorization.
	Header http.Header
	// Cookies are sent as one Cookie header, which replaces one in Header.
	Cookies []*http.Cookie
	// Subprotocols are those that a WebSocket offers, the preferred one first.
	Subprotocols []string
	// Scheme is "http" or "https" for a request, "ws" or "wss" for a WebSocket; either pair serves both. Default: of
	// the URL, else http and ws.
	Scheme string
	// Host is the host that the client asks for. Default: of the URL, else "testserver".
	Host string
	// HTTPVersion is "1.0", "1.1" or "2". Default "1.1".
	HTTPVersion string
	// Client and Server are the addresses of the two ends. Default "192.0.2.1:40000" and "192.0.2.2:80", which are
	// reserved for documentation (RFC 5737).
	Client, Server string
	// RootPath is where the app is mounted, in front of every path. Default "".
	RootPath string
	// State is what the app left at startup; each scope has a shallow copy. See also [Site.Startup].
	State map[string]any
	// Context carries values to [asgi.Scope.Value]; its end changes nothing. Default none.
	Context context.Context
	// Scope has the last word on each scope, for instance to set a typed value as a middleware would:
	//
	//	Scope: func(s *asgi.Scope) *asgi.Scope { return userKey.With(s, ann) }
	//
	// Functions of several layers of Options run from the Site's outwards.
	Scope func(*asgi.Scope) *asgi.Scope

	// Layer is the channel layer in each scope, under consumers.LayerKey. Default: a memlayer that the Site makes, and
	// closes at the end. One that is given here is closed by whoever made it.
	Layer *layers.Layer
	// Logger is the logger in each scope, under [asgi.LoggerKey]. Default: the log of the test.
	Logger *zap.Logger

	// Timeout is how long an expectation waits, and the end of the test for what still runs. Default 5 s.
	Timeout time.Duration
	// WriteTimeout is how long a full queue to a client that reads nothing is endured before the connection is cut
	// with code 1006. Default 10 s; negative means for ever.
	WriteTimeout time.Duration
	// Queue bounds, in bytes and for each direction, what was sent and not yet read. An empty queue takes any one
	// event. A test that does not read is a client that does not: the app's Send waits. Default 1 MiB.
	Queue int
	// MaxMessage is the size above which a message of the client closes the WebSocket with 1009. Default 1 MiB.
	MaxMessage int
}

// over returns o laid over the options below it.
func (o *Options) over(below Options) Options {
	if o == nil {
		return below
	}
	m := below
	if o.Header != nil {
		m.Header = below.Header.Clone()
		if m.Header == nil {
			m.Header = http.Header{}
		}
		for name, values := range o.Header {
			m.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if o.Cookies != nil {
		m.Cookies = o.Cookies
	}
	if o.Subprotocols != nil {
		m.Subprotocols = o.Subprotocols
	}
	if o.State != nil {
		m.State = maps.Clone(o.State)
	}
	if o.Context != nil {
		m.Context = o.Context
	}
	if o.Scope != nil {
		m.Scope = chain(below.Scope, o.Scope)
	}
	set(&m.Layer, o.Layer)
	set(&m.Logger, o.Logger)
	set(&m.Scheme, o.Scheme)
	set(&m.Host, o.Host)
	set(&m.HTTPVersion, o.HTTPVersion)
	set(&m.Client, o.Client)
	set(&m.Server, o.Server)
	set(&m.RootPath, o.RootPath)
	set(&m.Timeout, o.Timeout)
	set(&m.WriteTimeout, o.WriteTimeout)
	set(&m.Queue, o.Queue)
	set(&m.MaxMessage, o.MaxMessage)
	return m
}

// set stores v unless it is zero.
func set[T comparable](field *T, v T) {
	var zero T
	if v != zero {
		*field = v
	}
}

// chain runs first, if there is one, and then second.
func chain(first, second func(*asgi.Scope) *asgi.Scope) func(*asgi.Scope) *asgi.Scope {
	if first == nil {
		return second
	}
	return func(s *asgi.Scope) *asgi.Scope { return second(first(s)) }
}

// defaults are the options of a Site that was made without any.
var defaults = Options{
	Host:         "testserver",
	HTTPVersion:  "1.1",
	Client:       "192.0.2.1:40000",
	Server:       "192.0.2.2:80",
	Timeout:      5 * time.Second,
	WriteTimeout: 10 * time.Second,
	Queue:        1 << 20,
	MaxMessage:   1 << 20,
}
