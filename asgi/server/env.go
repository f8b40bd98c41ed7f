package server

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FromEnv returns base with what the environment says instead; nil is the defaults. Variables that are not set, or empty, change
// nothing. Lists are separated by commas. Durations have a unit, as in "20s", and like sizes, which are in bytes, may be "off".
//
//	TIDEWAY_LISTEN              Addr, or several Listeners, of which Unix sockets are served without TLS
//	TIDEWAY_CERT_FILE           CertFile
//	TIDEWAY_KEY_FILE            KeyFile
//	TIDEWAY_TRUSTED_PROXIES     TrustedProxies: a list
//	TIDEWAY_PROXY_PROTOCOL      ProxyProtocol, of all addresses: true or false
//	TIDEWAY_PROXY_HEADERS       ProxyHeaders: true or false
//	TIDEWAY_ORIGINS             Origins: a list
//	TIDEWAY_ROOT_PATH           RootPath
//	TIDEWAY_SERVER_HEADER       ServerHeader
//	TIDEWAY_COMPRESSION         Compression: true or false
//	TIDEWAY_MAX_MESSAGE         MaxMessage
//	TIDEWAY_MAX_BODY            MaxBody
//	TIDEWAY_MAX_WEBSOCKETS      MaxWebSockets
//	TIDEWAY_MAX_HANDSHAKES      MaxHandshakes
//	TIDEWAY_MAX_REQUESTS        MaxRequests
//	TIDEWAY_HEADER_TIMEOUT      HeaderTimeout
//	TIDEWAY_BODY_TIMEOUT        BodyTimeout
//	TIDEWAY_IDLE_TIMEOUT        IdleTimeout
//	TIDEWAY_HANDSHAKE_TIMEOUT   HandshakeTimeout
//	TIDEWAY_PING_INTERVAL       PingInterval
//	TIDEWAY_PING_TIMEOUT        PingTimeout
//	TIDEWAY_WRITE_TIMEOUT       WriteTimeout
//	TIDEWAY_MAX_AGE             MaxAge
//	TIDEWAY_APP_CLOSE_TIMEOUT   AppCloseTimeout
//	TIDEWAY_SHUTDOWN_WINDOW     ShutdownWindow
//	TIDEWAY_SHUTDOWN_CODE       ShutdownCode
//	TIDEWAY_DRAIN_DELAY         DrainDelay
//
// The error names each variable that makes no sense, with its value and what to write. A variable of another name is ignored, also
// one that begins with TIDEWAY_, which may be the application's own; where the name is nearly one of these, the Logger of base gets
// a warning. Print the Options at the start, as the example of [Server.RunUntilSignal] does, to see what holds.
func FromEnv(base *Options) (*Options, error) {
	opts := &Options{}
	if base != nil {
		*opts = *base
	}
	log := opts.Logger
	if log == nil {
		log = defaultLogger()
	}
	warnMisspelt(log)
	var wrong []error
	for _, v := range variables {
		text := strings.TrimSpace(os.Getenv(v.name))
		if text == "" {
			continue
		}
		trial := &Options{}
		err := v.set(trial, text)
		if err == nil && v.alone {
			err = trial.problem()
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("asgi/server: %s is %q: %w", v.name, text, err))
			continue
		}
		_ = v.set(opts, text) // as it did to trial
	}
	if len(wrong) == 0 {
		if err := opts.together(); err != nil {
			wrong = append(wrong, fmt.Errorf("asgi/server: environment: %w", err))
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return opts, nil
}

// together is what is wrong with the whole: variables that contradict each other, or what base says.
func (o *Options) together() error {
	proxied := o.ProxyProtocol || slices.ContainsFunc(o.Listeners, func(l Listener) bool { return l.ProxyProtocol })
	switch {
	case o.CertFile != "" && o.KeyFile == "":
		return fmt.Errorf("CertFile is %q without KeyFile: set TIDEWAY_KEY_FILE too, beside TIDEWAY_CERT_FILE", o.CertFile)
	case o.KeyFile != "" && o.CertFile == "":
		return fmt.Errorf("KeyFile is %q without CertFile: set TIDEWAY_CERT_FILE too, beside TIDEWAY_KEY_FILE", o.KeyFile)
	case o.CertFile != "" && o.TLS != nil && hasCertificate(o.TLS):
		return errors.New("the program has a certificate of its own, in Options.TLS: leave TIDEWAY_CERT_FILE and TIDEWAY_KEY_FILE out")
	case o.ProxyHeaders && len(o.TrustedProxies) == 0:
		return errors.New(`TIDEWAY_PROXY_HEADERS without TIDEWAY_TRUSTED_PROXIES would believe nobody: write the proxy's address there, or "unix"`)
	case proxied && len(o.TrustedProxies) == 0:
		return errors.New("TIDEWAY_PROXY_PROTOCOL without TIDEWAY_TRUSTED_PROXIES would let nobody in: write the load balancer's address there")
	case o.MaxAge > 0 && o.PingInterval < 0:
		return errors.New("TIDEWAY_MAX_AGE without TIDEWAY_PING_INTERVAL: connections are looked at when pings are due; leave that out for the default")
	}
	if err := o.problem(); err != nil {
		return fmt.Errorf("the options that it is laid over: %w", err) // each variable has been tried
	}
	return nil
}

// problem is what New would panic with.
func (o *Options) problem() (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case string:
			err = errors.New(strings.TrimPrefix(v, "asgi/server: New: "))
		default:
			panic(v) // a fault of ours
		}
	}()
	parseOrigins(o.Origins)
	parsePeers(o.TrustedProxies)
	o.resolve()
	return nil
}

// A variable is one of the environment.
type variable struct {
	name  string
	set   func(o *Options, text string) error
	alone bool // it can be right or wrong without the others
}

var variables = []variable{
	{"TIDEWAY_LISTEN", setListen, true},
	{"TIDEWAY_CERT_FILE", setText(func(o *Options) *string { return &o.CertFile }), false},
	{"TIDEWAY_KEY_FILE", setText(func(o *Options) *string { return &o.KeyFile }), false},
	{"TIDEWAY_TRUSTED_PROXIES", setList(func(o *Options) *[]string { return &o.TrustedProxies }), true},
	{"TIDEWAY_PROXY_PROTOCOL", setProxyProtocol, false}, // after TIDEWAY_LISTEN
	{"TIDEWAY_PROXY_HEADERS", setBool(func(o *Options) *bool { return &o.ProxyHeaders }), false},
	{"TIDEWAY_ORIGINS", setList(func(o *Options) *[]string { return &o.Origins }), true},
	{"TIDEWAY_ROOT_PATH", setText(func(o *Options) *string { return &o.RootPath }), true},
	{"TIDEWAY_SERVER_HEADER", setText(func(o *Options) *string { return &o.ServerHeader }), true},
	{"TIDEWAY_COMPRESSION", setBool(func(o *Options) *bool { return &o.Compression }), true},
	{"TIDEWAY_MAX_MESSAGE", setNumber(func(o *Options) *int { return &o.MaxMessage }), true},
	{"TIDEWAY_MAX_BODY", setNumber(func(o *Options) *int { return &o.MaxBody }), true},
	{"TIDEWAY_MAX_WEBSOCKETS", setNumber(func(o *Options) *int { return &o.MaxWebSockets }), true},
	{"TIDEWAY_MAX_HANDSHAKES", setNumber(func(o *Options) *int { return &o.MaxHandshakes }), true},
	{"TIDEWAY_MAX_REQUESTS", setNumber(func(o *Options) *int { return &o.MaxRequests }), true},
	{"TIDEWAY_HEADER_TIMEOUT", setDuration(func(o *Options) *time.Duration { return &o.HeaderTimeout }), true},
	{"TIDEWAY_BODY_TIMEOUT", setDuration(func(o *Options) *time.Duration { return &o.BodyTimeout }), true},
	{"TIDEWAY_IDLE_TIMEOUT", setDuration(func(o *Options) *time.Duration { return &o.IdleTimeout }), true},
	{"TIDEWAY_HANDSHAKE_TIMEOUT", setDuration(func(o *Options) *time.Duration { return &o.HandshakeTimeout }), true},
	{"TIDEWAY_PING_INTERVAL", setDuration(func(o *Options) *time.Duration { return &o.PingInterval }), true},
	{"TIDEWAY_PING_TIMEOUT", setDuration(func(o *Options) *time.Duration { return &o.PingTimeout }), true},
	{"TIDEWAY_WRITE_TIMEOUT", setDuration(func(o *Options) *time.Duration { return &o.WriteTimeout }), true},
	{"TIDEWAY_MAX_AGE", setDuration(func(o *Options) *time.Duration { return &o.MaxAge }), true},
	{"TIDEWAY_APP_CLOSE_TIMEOUT", setDuration(func(o *Options) *time.Duration { return &o.AppCloseTimeout }), true},
	{"TIDEWAY_SHUTDOWN_WINDOW", setDuration(func(o *Options) *time.Duration { return &o.ShutdownWindow }), true},
	{"TIDEWAY_SHUTDOWN_CODE", setNumber(func(o *Options) *int { return &o.ShutdownCode }), true},
	{"TIDEWAY_DRAIN_DELAY", setDuration(func(o *Options) *time.Duration { return &o.DrainDelay }), true},
}

// setListen makes one address Addr, and several Listeners.
func setListen(o *Options, text string) error {
	list := splitList(text)
	if len(list) == 0 {
		return errors.New(`write an address such as "127.0.0.1:8000", or several with commas between them`)
	}
	proxied := o.ProxyProtocol
	for _, l := range o.Listeners {
		proxied = proxied || l.ProxyProtocol
	}
	o.Addr, o.ProxyProtocol, o.Listeners = "", false, nil
	for _, addr := range list {
		o.Listeners = append(o.Listeners, Listener{Addr: addr, Plain: strings.HasPrefix(addr, "unix:"), ProxyProtocol: proxied})
	}
	if len(list) == 1 && !o.Listeners[0].Plain {
		o.Addr, o.ProxyProtocol, o.Listeners = list[0], proxied, nil
	}
	return nil
}

func setProxyProtocol(o *Options, text string) error {
	on, err := parseBool(text)
	if err != nil {
		return err
	}
	o.ProxyProtocol = on && len(o.Listeners) == 0
	o.Listeners = slices.Clone(o.Listeners) // they may be the caller's
	for i := range o.Listeners {
		o.Listeners[i].ProxyProtocol = on
	}
	return nil
}

func setText(field func(*Options) *string) func(*Options, string) error {
	return func(o *Options, text string) error { *field(o) = text; return nil }
}

func setList(field func(*Options) *[]string) func(*Options, string) error {
	return func(o *Options, text string) error {
		if *field(o) = splitList(text); len(*field(o)) == 0 {
			return errors.New("it is an empty list: write what is in it, or do not set it")
		}
		return nil
	}
}

func setBool(field func(*Options) *bool) func(*Options, string) error {
	return func(o *Options, text string) (err error) {
		*field(o), err = parseBool(text)
		return err
	}
}

func setNumber(field func(*Options) *int) func(*Options, string) error {
	return func(o *Options, text string) error {
		n, err := strconv.Atoi(text)
		if text == "off" {
			n, err = -1, nil
		}
		if err != nil || n == 0 || n < 0 && text != "off" {
			return errors.New(`write a number above zero, such as "1000", or "off"`)
		}
		*field(o) = n
		return nil
	}
}

func setDuration(field func(*Options) *time.Duration) func(*Options, string) error {
	return func(o *Options, text string) error {
		d, err := time.ParseDuration(text)
		if text == "off" {
			d, err = -1, nil
		}
		if err != nil || d == 0 || d < 0 && text != "off" {
			return errors.New(`write a duration with its unit, such as "20s" or "500ms", or "off"`)
		}
		*field(o) = d
		return nil
	}
}

func parseBool(text string) (bool, error) {
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, errors.New(`write "true" or "false"`)
	}
	return on, nil
}

// splitList splits at commas; empty entries are nothing.
func splitList(text string) (list []string) {
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			list = append(list, entry)
		}
	}
	return list
}
