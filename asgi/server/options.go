package server

import (
	"cmp"
	"compress/flate"
	"crypto/tls"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"go.uber.org/zap"
)

// Options configure a [Server]. The nil pointer and the zero value are ready for use: every limit has a safe default.
// Where a comment says so, a negative value switches a limit off; think of the peer that was waiting for that. A duration
// below a millisecond panics in [New]: it is a number without its unit.
//
// One limit is fixed: a peer has 5 s to answer a close frame, then its socket is cut.
type Options struct {
	// Addr is where [Server.Run] listens, in any of the forms of [Listener.Addr], such as ":8000", which means every
	// interface, "unix:/run/app.sock" or "systemd". Default "127.0.0.1:8000", which other machines cannot reach.
	Addr string

	// ProxyProtocol is [Listener.ProxyProtocol] for Addr, and for [Server.Serve].
	ProxyProtocol bool

	// Listeners are the places where [Server.Run] listens if they are several, or need settings of their own. They take the
	// place of Addr and ProxyProtocol, which must be left out then.
	Listeners []Listener

	// CertFile and KeyFile name the certificate, with those that lead to its root, and its private key, in PEM. With them Run
	// and Serve speak TLS, from version 1.2 on, and HTTP/2 where the client can; WebSockets stay with HTTP/1.1. Files that
	// change are read again without a restart: a handshake looks at them, at most once a second. If they cannot be used, those before
	// stay and a line says why. Default: no TLS, for a server behind a proxy that ends it.
	CertFile, KeyFile string

	// TLS is for what CertFile cannot say: client certificates, other versions, or certificates from elsewhere, as by ACME
	// (GetCertificate; see the example). What is missing in it is filled in: the certificate of CertFile, at least version 1.2,
	// HTTP/2.
	TLS *tls.Config

	// TrustedProxies are the peers that may say for others who they are: addresses such as "10.0.0.7", networks such as
	// "10.0.0.0/8", and "unix" for whoever may open this server's Unix sockets. They are believed in the PROXY
	// protocol and in headers, where these are switched on; where neither is, New writes a warning. A network that contains clients
	// lets them claim any address, and 0.0.0.0/0 or ::/0, which New warns of too, everybody. Default: nobody.
	TrustedProxies []string

	// ProxyHeaders believes X-Forwarded-For and X-Forwarded-Proto of TrustedProxies, and of nobody else, as [middleware.RealIP]
	// does, which can do more and explains the traps. The scope's client is the browser's then, and not the proxy's. Default
	// off.
	ProxyHeaders bool

	// Wrap is net/http middleware around the whole server, in Run and Serve: values that it puts into a request's context
	// reach the scope. A ResponseWriter of its own needs Unwrap ([http.ResponseController]), or there are no WebSockets,
	// and a stream stays in a buffer until it ends ([asgi.ErrUnflushed]). Default: none.
	Wrap func(http.Handler) http.Handler

	// Logger gets one line for what is worth reading: a failed application, a request or a handshake that is refused, a peer that
	// broke the protocol, does not read or does not answer a ping. It is also the logger of each scope ([asgi.LoggerKey]).
	// Default: warnings and errors to stderr, thinned out when they flood. zap.NewNop() is silence.
	//
	// Lines about one connection or request have its path and client, which with ProxyHeaders is the one that the proxy names. They
	// have nothing of what middleware knows, such as the id of a request: that is inside of the server, whose scope never changes.
	// Nor is there a line where an application answers with a bare [asgi.Deny] or closes before it has accepted: package accesslog
	// has one.
	//
	// In Run and Serve it also gets what net/http says, such as a failed TLS handshake. net/http says nothing of requests that
	// it refuses by itself: 400 for what is no HTTP, 431 for a large header, a header that takes too long. Nor is there a line
	// for a client that goes away.
	Logger *zap.Logger

	// Origins are the web sites whose pages may open a WebSocket here, besides the site that this server itself is.
	// Browsers send cookies with a handshake from any page and have no same-origin rule for WebSockets, so a page on
	// evil.example could talk to this server in the name of whoever looks at it (cross-site WebSocket hijacking). Only
	// the Origin header tells. A request without one does not come from a browser and is let in.
	//
	// An entry is one of
	//
	//	"https://example.org:8443"  that scheme, host and port; without a port the scheme's own
	//	"example.org"               that host, with any scheme and port: also a page that anybody on the way could change (http)
	//	"example.org:8443"          that host and port, with any scheme
	//	".example.org"              that domain and all its subdomains, with any scheme and port
	//	"*"                         any page on the Internet: only for services that use neither cookies nor the client's address
	//
	// Default: the Origin's host and port must be those of the request.
	Origins []string

	// RootPath is where a proxy or a mux has mounted the application, such as "/live": decoded, with one slash before each of its
	// segments. It is part of every path that the application sees. Default "".
	RootPath string

	// HeaderTimeout bounds the reading of a request's header, so that a peer that sends a byte now and then cannot hold a
	// connection. Default 5 s; negative: off. It has an effect in Run and Serve.
	HeaderTimeout time.Duration

	// MaxHeaderBytes bounds a request's header, in all; net/http answers 431 to a larger one, and reads up to 4 KiB more.
	// Default 64 KiB. It has an effect in Run and Serve.
	MaxHeaderBytes int

	// MaxHeaders bounds the lines of a request's header; the answer to more is 431. Default 200; negative: off.
	MaxHeaders int

	// BodyTimeout is how long a client may take to send each 64 KiB of a request's body, or its rest. Only the time counts in
	// which the application waits for it. Then the request is answered with 408. Default 30 s; negative: off, for applications
	// that talk in both directions over one HTTP request.
	BodyTimeout time.Duration

	// MaxBody bounds the bytes of a request's body; the answer to a larger one is 413, before "100 Continue" where its
	// length is known. Default 0, or negative: no limit, since the application takes a body in parts, and bounds what
	// it collects.
	MaxBody int

	// IdleTimeout is how long an HTTP connection that a client keeps open waits for the next request. Default 2 min;
	// negative: off. It has an effect in Run and Serve.
	IdleTimeout time.Duration

	// MaxWebSockets bounds the WebSockets, with those whose handshake is under way; the answer to more is 503, with Retry-After.
	// Each takes a file descriptor, of which `ulimit -n` is the bound. Default 0, or negative: no limit.
	MaxWebSockets int

	// MaxHandshakes bounds the handshakes that the application has not answered yet, as when everybody comes back at once and
	// each has to be looked up; the answer to more is 503, with Retry-After. Default 0, or negative: no limit.
	MaxHandshakes int

	// MaxRequests bounds the HTTP requests that are being answered, streams and long polls among them; the answer to more is
	// 503, with Retry-After. Default 0, or negative: no limit.
	MaxRequests int

	// HandshakeTimeout is how long an application may think before it accepts or refuses a WebSocket. Then the client
	// gets 503 and ctx ends. It is not for HTTP: a stream of server-sent events has ConnectTimeout of consumers.AsyncSSEConsumer,
	// any other request has middleware.Timeout. Default 5 s; negative: off.
	HandshakeTimeout time.Duration

	// MaxMessage is the size in bytes up to which a message is received, measured after decompression. A larger one
	// closes the connection with 1009. Default 1 MiB; negative: off, and one peer can fill the memory.
	MaxMessage int

	// PingInterval is the silence after which the server asks whether the peer is still there. Default 20 s; negative: off,
	// and a peer that vanished is noticed only when a write fails.
	PingInterval time.Duration

	// PingTimeout is how long the peer may take to give a sign of life, any byte at all, after a ping. Default 30 s.
	PingTimeout time.Duration

	// WriteTimeout is how long one write may take in all, of at most 64 KiB; a peer that does not read is cut off after it.
	// It holds for WebSockets and for HTTP responses ([asgi.Handler.WriteTimeout]). Default 10 s.
	WriteTimeout time.Duration

	// MaxAge closes a WebSocket that is older, with ShutdownCode and "the connection is old": clients that come back then spread
	// over servers which were added meanwhile, and authenticate again. It happens up to a tenth of MaxAge and one
	// PingInterval later, so that those who came together do not go together. Default 0: never. It needs PingInterval.
	MaxAge time.Duration

	// AppCloseTimeout is how long an application may go on after its connection has ended. Then ctx is cancelled, the
	// socket is cut and a line logged. It also bounds the application's answer to lifespan.shutdown. Default 10 s; negative:
	// off, and an application that does not end makes a shutdown wait for ever.
	AppCloseTimeout time.Duration

	// ShutdownWindow spreads the closes of a shutdown, so that the clients do not all come back at the same moment.
	// Default 1 s; negative: all at once. A whole shutdown takes at most this window, 5 s for the closing handshakes,
	// AppCloseTimeout, a second for those that have just been cut, and in Run and Serve once more AppCloseTimeout for the
	// lifespan: 27 s with the defaults. Give a supervisor that kills processes more than that.
	ShutdownWindow time.Duration

	// ShutdownCode closes the WebSockets of a shutdown: 1001 says that the server goes away, 1012 that it will be back at
	// once. Default 1001.
	ShutdownCode int

	// DrainDelay is how long Run and Serve go on as before when they are told to end. Only [Server.Ready] says no, and
	// [Server.Draining] yes, so that load balancers that ask notice it before the listeners close, and send no client to a
	// closed door. It comes on top of the times of a shutdown. Default 0.
	DrainDelay time.Duration

	// QueueSize bounds the bytes that wait to be written to one WebSocket. An empty queue takes any one message. A full
	// one makes Send wait. Default 1 MiB.
	QueueSize int

	// ServerHeader is the value of the header Server in responses that have none of their own. Default "": there is no such
	// header, which tells an attacker nothing.
	ServerHeader string

	// Compression offers permessage-deflate (RFC 7692) without context takeover. Default off: each compressor
	// takes about a megabyte while it works, short messages hardly shrink, and where a message holds a secret beside text
	// that an attacker chose, its compressed length tells the secret bit by bit (as in CRIME and BREACH). A client that asks
	// for a smaller window for our side than 32 KiB gets no compression; one that may limit its own is not asked to. A
	// connection that is in the middle of sending a compressed message takes 44 KiB more.
	Compression bool

	// CompressionMin is the size in bytes below which a message is not worth compressing. Default 256.
	CompressionMin int

	// CompressionLevel is from 1, the fastest, to 9, the smallest. Default 1: a message of JSON loses most of its size there, and
	// the last tenth costs several times as much.
	CompressionLevel int

	// Compressors bounds how many messages are compressed at the same time, each with about a megabyte; others wait for their
	// turn. Default: as many as processors, GOMAXPROCS.
	Compressors int
}

// Defaults of Options.
const (
	defaultAddr             = "127.0.0.1:8000"
	defaultHeaderTimeout    = 5 * time.Second
	defaultHandshakeTimeout = 5 * time.Second
	defaultMaxMessage       = 1 << 20
	defaultPingInterval     = 20 * time.Second
	defaultPingTimeout      = 30 * time.Second
	defaultWriteTimeout     = 10 * time.Second
	defaultAppCloseTimeout  = 10 * time.Second
	defaultShutdownWindow   = time.Second
	defaultQueueSize        = 1 << 20
	defaultCompressionMin   = 256
	defaultMaxHeaderBytes   = 64 << 10
	defaultMaxHeaders       = 200
	defaultBodyTimeout      = 30 * time.Second
	defaultIdleTimeout      = 2 * time.Minute
)

// resolve returns a copy with the defaults filled in, in which zero means off. It panics on nonsense.
func (o *Options) resolve() Options {
	var r Options
	if o != nil {
		r = *o
	}
	if r.Logger == nil {
		r.Logger = defaultLogger()
	}
	checkRootPath(r.RootPath)
	r.resolveListeners()
	if r.ProxyHeaders && len(r.TrustedProxies) == 0 {
		panic("asgi/server: New: Options.ProxyHeaders without TrustedProxies would believe nobody: write the proxy's address there, or \"unix\"")
	}
	r.checkTLS()
	if r.ShutdownCode != 0 && r.ShutdownCode != codeGoingAway && r.ShutdownCode != codeRestart {
		panic(fmt.Sprintf("asgi/server: New: Options.ShutdownCode is %d: write 1001 (going away) or 1012 (restart)", r.ShutdownCode))
	}
	r.ShutdownCode = cmp.Or(r.ShutdownCode, codeGoingAway)
	r.checkUnits()
	orOff(&r.DrainDelay, 0)
	orOff(&r.MaxAge, 0)
	if r.MaxAge > 0 && r.PingInterval < 0 {
		panic("asgi/server: New: Options.MaxAge without PingInterval: connections are looked at when pings are due; leave PingInterval out for the default")
	}
	orOff(&r.MaxHeaders, defaultMaxHeaders)
	orOff(&r.BodyTimeout, defaultBodyTimeout)
	orOff(&r.IdleTimeout, defaultIdleTimeout)
	for _, limit := range []*int{&r.MaxBody, &r.MaxWebSockets, &r.MaxHandshakes, &r.MaxRequests} {
		orOff(limit, 0)
	}
	mustPositive("CompressionMin", &r.CompressionMin, defaultCompressionMin)
	mustPositive("CompressionLevel", &r.CompressionLevel, flate.BestSpeed)
	mustPositive("Compressors", &r.Compressors, runtime.GOMAXPROCS(0))
	if r.CompressionLevel > flate.BestCompression {
		panic(fmt.Sprintf("asgi/server: New: Options.CompressionLevel is %d: write 1 (fastest) to 9 (smallest)", r.CompressionLevel))
	}
	mustPositive("MaxHeaderBytes", &r.MaxHeaderBytes, defaultMaxHeaderBytes)
	if !validHeaderValue(r.ServerHeader) {
		panic(fmt.Sprintf("asgi/server: New: Options.ServerHeader has a control character: %q", r.ServerHeader))
	}
	orOff(&r.HeaderTimeout, defaultHeaderTimeout)
	orOff(&r.HandshakeTimeout, defaultHandshakeTimeout)
	orOff(&r.MaxMessage, defaultMaxMessage)
	orOff(&r.PingInterval, defaultPingInterval)
	orOff(&r.AppCloseTimeout, defaultAppCloseTimeout)
	orOff(&r.ShutdownWindow, defaultShutdownWindow)
	mustPositive("PingTimeout", &r.PingTimeout, defaultPingTimeout)
	mustPositive("WriteTimeout", &r.WriteTimeout, defaultWriteTimeout)
	mustPositive("QueueSize", &r.QueueSize, defaultQueueSize)
	return r
}

// resolveListeners makes Listeners of Addr, so that Run looks at one of them only.
func (o *Options) resolveListeners() {
	o.Addr = cmp.Or(o.Addr, defaultAddr)
	name := "Addr"
	switch {
	case len(o.Listeners) == 0:
		o.Listeners = []Listener{{Addr: o.Addr, ProxyProtocol: o.ProxyProtocol}}
	case o.Addr != defaultAddr || o.ProxyProtocol:
		panic("asgi/server: New: Options has Listeners beside Addr or ProxyProtocol: make another Listener of these")
	default:
		name = "Listeners"
	}
	for _, l := range o.Listeners {
		if err := l.check(); err != nil {
			panic(fmt.Sprintf("asgi/server: New: Options.%s: %q: %v", name, l.Addr, err))
		}
		if l.ProxyProtocol && len(o.TrustedProxies) == 0 {
			panic(fmt.Sprintf("asgi/server: New: Options.%s: %q: ProxyProtocol without TrustedProxies would let nobody in: write the load balancer's address there", name, l.Addr))
		}
	}
}

// checkUnits panics on a duration that can only be a number without its unit.
func (o *Options) checkUnits() {
	for _, limit := range []struct {
		name string
		d    time.Duration
	}{
		{"HeaderTimeout", o.HeaderTimeout}, {"HandshakeTimeout", o.HandshakeTimeout}, {"PingInterval", o.PingInterval},
		{"PingTimeout", o.PingTimeout}, {"WriteTimeout", o.WriteTimeout}, {"AppCloseTimeout", o.AppCloseTimeout},
		{"ShutdownWindow", o.ShutdownWindow}, {"DrainDelay", o.DrainDelay},
		{"BodyTimeout", o.BodyTimeout}, {"IdleTimeout", o.IdleTimeout}, {"MaxAge", o.MaxAge},
	} {
		if d := limit.d; d > 0 && d < time.Millisecond {
			unit := "Second"
			if d >= 1000 {
				unit = "Millisecond"
			}
			panic(fmt.Sprintf("asgi/server: New: Options.%s is %v: did you mean %d*time.%s?", limit.name, d, int64(d), unit))
		}
	}
}

// orOff fills in a default, and makes zero of a negative value.
func orOff[T int | time.Duration](v *T, standard T) {
	switch {
	case *v == 0:
		*v = standard
	case *v < 0:
		*v = 0
	}
}

// mustPositive fills in the default of a limit that cannot be switched off.
func mustPositive[T int | time.Duration](name string, v *T, standard T) {
	if *v < 0 {
		panic(fmt.Sprintf("asgi/server: New: Options.%s is %v: it cannot be off; leave it out for the default, %v", name, *v, standard))
	}
	if *v == 0 {
		*v = standard
	}
}
