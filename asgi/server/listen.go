package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
)

// A Listener is one place where [Server.Run] listens.
type Listener struct {
	// Addr is one of
	//
	//	"127.0.0.1:8000", "[::1]:8000"  a TCP port of one address
	//	":8000"                         a TCP port of every address, of IPv4 and IPv6
	//	"unix:/run/app.sock"            a Unix socket; "unix:@name" is one without a file (Linux)
	//	"fd:3"                          a socket that listens already, inherited from the parent process
	//	"systemd", "systemd:web"        all sockets that systemd passes, or those of that FileDescriptorName
	//
	// A Unix socket's file that a process left behind when it died is replaced. One on which a process listens is an
	// error, and so is a file that is no socket.
	Addr string

	// Plain serves without TLS, although [Options] has a certificate: for a Unix socket behind a proxy, or for a port of
	// its own on which probes ask.
	Plain bool

	// ProxyProtocol expects the PROXY protocol, version 1 or 2, before anything else: load balancers that pass TCP on as it
	// is say in this way who the client is. Each peer must be one of [Options.TrustedProxies] and must send it, any other
	// connection is closed, since whoever may send it may claim any address.
	ProxyProtocol bool

	// Mode is the permission of a Unix socket's file. A client needs to write. Default 0o660: the owner and the group. With an
	// Addr of another kind it panics in [New].
	Mode fs.FileMode
}

const defaultSocketMode fs.FileMode = 0o660

// check says what is wrong with a Listener, and what to write.
func (l Listener) check() error {
	if err := l.checkAddr(); err != nil {
		return err
	}
	if path, ok := strings.CutPrefix(l.Addr, "unix:"); l.Mode != 0 && (!ok || strings.HasPrefix(path, "@")) {
		return fmt.Errorf(`a Mode, %#o, but no file that this server makes: leave Mode out, or write Addr: "unix:/run/app.sock"`, uint32(l.Mode))
	}
	return nil
}

func (l Listener) checkAddr() error {
	kind, rest, _ := strings.Cut(l.Addr, ":")
	switch {
	case kind == "unix" && rest == "":
		return errors.New(`the path is missing: write "unix:/run/app.sock"`)
	case kind == "fd":
		if n, err := strconv.Atoi(rest); err != nil || n < 0 {
			return errors.New(`it is no file descriptor: write "fd:3"`)
		}
	case l.Addr == "systemd:":
		return errors.New(`the name is missing: write "systemd" for all sockets, or "systemd:web"`)
	case kind == "unix", kind == "systemd":
	default:
		return checkTCP(l.Addr)
	}
	return nil
}

// checkTCP says what is wrong with "host:port".
func checkTCP(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		var about *net.AddrError
		if errors.As(err, &about) {
			err = errors.New(about.Err) // the address is in the message already, quoted
		}
		return fmt.Errorf(`it is no address (%w): write "127.0.0.1:8000", "[::1]:8000", ":8000", "unix:/run/app.sock", "fd:3" or "systemd"`, err)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return fmt.Errorf(`%q is no port: write %q`, port, net.JoinHostPort(host, "8000"))
	}
	return nil
}

// open listens. An address of systemd may be several sockets, all others are one.
func (l Listener) open() ([]net.Listener, error) {
	kind, rest, _ := strings.Cut(l.Addr, ":")
	switch kind {
	case "unix":
		mode := l.Mode
		if mode == 0 {
			mode = defaultSocketMode
		}
		return one(listenUnix(rest, mode))
	case "fd":
		fd, _ := strconv.Atoi(rest) // check has seen it
		return one(inherit(fd, l.Addr))
	case "systemd":
		return inheritSystemd(rest)
	}
	return one(net.Listen("tcp", l.Addr))
}

func one(ln net.Listener, err error) ([]net.Listener, error) {
	if err != nil {
		return nil, err
	}
	return []net.Listener{ln}, nil
}

// An endpoint is a socket that listens, and how it is served.
type endpoint struct {
	net.Listener
	tls bool
}

// openAll listens everywhere, or nowhere.
func (s *Server) openAll() (all []endpoint, err error) {
	for _, l := range s.opts.Listeners {
		opened, err := l.open()
		if err != nil {
			closeAll(all)
			return nil, fmt.Errorf("asgi/server: run: listen on %s: %w", l.Addr, err)
		}
		for _, ln := range opened {
			all = append(all, s.endpoint(ln, l))
		}
	}
	return all, nil
}

// endpoint is ln, served as l says.
func (s *Server) endpoint(ln net.Listener, l Listener) endpoint {
	if l.ProxyProtocol {
		ln = s.behindProxy(ln)
	}
	return endpoint{ln, s.opts.usesTLS() && !l.Plain}
}

func closeAll(all []endpoint) {
	for _, e := range all {
		e.Close()
	}
}
