package asgi

import (
	"context"
	"maps"
	"net/http"
	"slices"
)

// The types of scope that the servers of this module open.
const (
	HTTP      = "http"      // one request and its response
	WebSocket = "websocket" // one WebSocket, from the handshake to the close
	Lifespan  = "lifespan"  // the life of the process: one per server run
	Channel   = "channel"   // a named channel of a layer, served by a worker
)

// Fields describe a connection. They are the raw material of a [Scope]: a server fills them in, and a middleware
// changes a copy of them in [Scope.Derive].
type Fields struct {
	// Type is the protocol: one of HTTP, WebSocket, Lifespan, Channel, or a name that server and application agree on.
	Type string
	// Method is the request method in upper case; empty for a WebSocket.
	Method string
	// Scheme is "http", "https", "ws" or "wss".
	Scheme string
	// HTTPVersion is "1.0", "1.1" or "2".
	HTTPVersion string
	// Host is the host, with the port if one was named, that the client asked for.
	Host string
	// Path is the decoded path, with the root path still in front of it.
	Path string
	// RawPath is the path as it was sent, without the query.
	RawPath string
	// RawQuery is the query as it was sent, without the question mark.
	RawQuery string
	// RootPath is where the application is mounted: "" or a path that begins with a slash and ends without one.
	RootPath string
	// Header holds the request's headers under their canonical names ([http.CanonicalHeaderKey]); values of one
	// name are in the order in which they came, without surrounding space. The host is in Host.
	Header http.Header
	// Client and Server are the addresses "host:port" of the two ends, or a path for a Unix socket; empty if unknown.
	Client, Server string
	// Subprotocols are those that a WebSocket client offers, in its order of preference.
	Subprotocols []string
	// Extensions names what the server can do beyond the core specification, such as "http.response.trailers";
	// the values are the extension's own settings and usually empty.
	Extensions map[string]map[string]any
	// State is what the application left in the lifespan scope's State at startup: a shallow copy for each
	// connection, the application's own to change.
	State map[string]any
	// Channel is the name of the channel of a Channel scope.
	Channel string
	// Watch is the server's, for all its connections; nil where there is none.
	Watch *Watch
	// Closing ends when the server begins to shut down, which is before the ctx of [App.Serve] does: a response that would
	// never end by itself, such as a stream of events, is completed then. Nil where there is none.
	Closing context.Context
	// Context carries the values of the request that began the connection. Only its values count: the lifetime of a
	// connection is the ctx of [App.Serve].
	Context context.Context
}

// A Scope says what a connection is. It is made once and never changes, so any goroutine may read it; middleware hands
// on a changed copy, made by [Scope.Derive] or by a [Key]. Slices and maps that its methods return are shared and are to be
// treated as read-only, except Header, which is made anew for each caller, and State. The zero Scope is empty.
type Scope struct {
	shared *description // never written to; scopes that differ in typed values only have it in common
	values *value       // typed values by Key, newest first
}

// A description is the fields of a scope, with the header as a list of names and values: a connection that lasts for days
// keeps its headers, and a list takes a third of a map.
type description struct {
	fields Fields // Header is nil
	header []string
}

// noFields are those of the zero Scope. A variable, because new(Fields) would take its 300 bytes on the stack of every
// caller of every getter.
var noFields Fields

// fields are those of s, but for the header. They are never written to.
func (s *Scope) fields() *Fields {
	if s.shared == nil {
		return &noFields
	}
	return &s.shared.fields
}

// NewScope makes a Scope. Servers and tests call it; it copies Header, Subprotocols and State. Extensions are the same for
// every scope of a server and stay shared.
func NewScope(f Fields) *Scope {
	f.Subprotocols = slices.Clone(f.Subprotocols)
	f.State = maps.Clone(f.State)
	return &Scope{shared: describe(&f)}
}

// describe copies f.
func describe(f *Fields) *description {
	d := &description{fields: *f}
	d.fields.Header = nil
	n := 0
	for _, values := range f.Header {
		n += 2 * len(values)
	}
	if n == 0 {
		return d
	}
	d.header = make([]string, 0, n)
	for name, values := range f.Header {
		for _, v := range values {
			d.header = append(d.header, name, v)
		}
	}
	return d
}

// Derive returns a Scope like s but for what change does to a copy of its fields; s stays as it is, and typed values
// are carried over. The copy is shallow but for Header: replace other maps and slices, do not write into them.
func (s *Scope) Derive(change func(*Fields)) *Scope {
	copied := *s.fields()
	if copied.Header = s.Header(); copied.Header == nil {
		copied.Header = http.Header{}
	}
	change(&copied)
	return &Scope{shared: describe(&copied), values: s.values}
}

// Type is the protocol of the connection: [HTTP], [WebSocket], [Lifespan], [Channel] or another.
func (s *Scope) Type() string { return s.fields().Type }

// Method is the request method in upper case; empty for anything but HTTP.
func (s *Scope) Method() string { return s.fields().Method }

// Scheme is "http", "https", "ws" or "wss".
func (s *Scope) Scheme() string { return s.fields().Scheme }

// HTTPVersion is "1.0", "1.1" or "2".
func (s *Scope) HTTPVersion() string { return s.fields().HTTPVersion }

// Host is the host, with the port if one was named, that the client asked for.
func (s *Scope) Host() string { return s.fields().Host }

// Path is the decoded path, root path included.
func (s *Scope) Path() string { return s.fields().Path }

// RawPath is the path as it was sent.
func (s *Scope) RawPath() string { return s.fields().RawPath }

// RawQuery is the query as it was sent; [net/url.ParseQuery] takes it apart.
func (s *Scope) RawQuery() string { return s.fields().RawQuery }

// RootPath is where the application is mounted, "" at the root.
func (s *Scope) RootPath() string { return s.fields().RootPath }

// Header holds the request's headers; see [Fields.Header]. Each call makes a map of its own, so keep the result where it
// is used more than once.
func (s *Scope) Header() http.Header {
	if s.shared == nil || s.shared.header == nil {
		return nil
	}
	list := s.shared.header
	header := make(http.Header, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		header[list[i]] = append(header[list[i]], list[i+1])
	}
	return header
}

// HeaderValue returns the first value of one header, or "". It is cheaper than Header, which makes a map.
func (s *Scope) HeaderValue(name string) string {
	if s.shared == nil {
		return ""
	}
	name = http.CanonicalHeaderKey(name)
	for i := 0; i < len(s.shared.header); i += 2 {
		if s.shared.header[i] == name {
			return s.shared.header[i+1]
		}
	}
	return ""
}

// Client is the address of the peer, "host:port".
func (s *Scope) Client() string { return s.fields().Client }

// Server is the address that the peer connected to.
func (s *Scope) Server() string { return s.fields().Server }

// Subprotocols are those that the client of a WebSocket offers.
func (s *Scope) Subprotocols() []string { return s.fields().Subprotocols }

// Extension returns the settings of a server extension, and whether the server has it at all.
func (s *Scope) Extension(name string) (settings map[string]any, ok bool) {
	settings, ok = s.fields().Extensions[name]
	return settings, ok
}

// State is what the application left at startup. In a lifespan scope, write into it before
// [LifespanStartupComplete]; every later scope has a shallow copy. It may be nil where there was no lifespan.
func (s *Scope) State() map[string]any { return s.fields().State }

// Channel is the name of the channel that a worker serves.
func (s *Scope) Channel() string { return s.fields().Channel }

// Watch is the server's timer for what takes long, nil where it has none.
func (s *Scope) Watch() *Watch { return s.fields().Watch }

// Closing ends when the server begins to shut down; see [Fields.Closing]. It may be nil.
func (s *Scope) Closing() context.Context { return s.fields().Closing }

// Value returns what net/http middleware around the server put under key into the context of the request that began
// the connection, or nil. For values of our own middleware there is [Key].
func (s *Scope) Value(key any) any {
	if s.fields().Context == nil {
		return nil
	}
	return s.fields().Context.Value(key)
}
