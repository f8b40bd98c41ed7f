package redislayer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"
)

// Settings of connections.
const (
	dialTime    = 2 * time.Second
	writeTime   = 10 * time.Second // for a command to be answered
	keepAlive   = 5 * time.Second  // between signs of life on an idle connection
	bufferBytes = 64 << 10         // of a connection, each way
)

// host is one Redis server, or the Redis that sentinels name.
type host struct {
	name   string // its URL without password, for logs and errors
	option rueidis.ClientOption
	major  int // the oldest version that will do
}

// parseHosts reads Options.Hosts.
func parseHosts(o *Options) ([]host, error) {
	var hosts []host
	secure := false
	for i, text := range o.Hosts {
		h, err := parseHost(text, o.TLS)
		if err != nil {
			return nil, fmt.Errorf("redislayer: Options.Hosts[%d]: %w", i, err)
		}
		if j := slices.IndexFunc(hosts, func(other host) bool { return other.same(&h) }); j >= 0 {
			return nil, fmt.Errorf("redislayer: Options.Hosts[%d] and [%d] are both %s: name each Redis once", j, i, hosts[j].name)
		}
		secure = secure || h.option.TLSConfig != nil
		hosts = append(hosts, h)
	}
	if o.TLS != nil && !secure {
		return nil, errors.New("redislayer: Options.TLS is set and no host has TLS: write rediss:// instead of redis://")
	}
	return hosts, nil
}

func parseHost(text string, config *tls.Config) (host, error) {
	u, err := url.Parse(text)
	if err != nil {
		var bad *url.Error
		errors.As(err, &bad) // which shows the password
		return host{}, fmt.Errorf("it is no URL: %w", bad.Err)
	}
	h := host{name: redact(u)}
	switch u.Scheme {
	case "redis", "rediss":
		if u.Host == "" {
			return host{}, fmt.Errorf("%s has no host: write %s://localhost:6379", h.name, u.Scheme)
		}
	case "unix":
		if u.Path == "" {
			return host{}, fmt.Errorf("%s has no path: write unix:///run/redis/redis.sock", h.name)
		}
	default:
		return host{}, fmt.Errorf("%q is no URL of a Redis server: write redis://host:6379, rediss:// for TLS, or unix:///path", h.name)
	}
	if err := checkQuery(u); err != nil {
		return host{}, fmt.Errorf("%s: %w", h.name, err)
	}
	if u.Query().Has("master_set") {
		text = withSentinelPorts(u)
	}
	if h.option, err = rueidis.ParseURL(text); err != nil {
		return host{}, fmt.Errorf("%s: %w", h.name, err)
	}
	h.option.Sentinel.Username = u.Query().Get("sentinel_user")
	h.option.Sentinel.Password = u.Query().Get("sentinel_password")
	h.settle(config)
	return h, nil
}

// urlOptions are what may stand behind the "?" of a host's URL, and whether it may more than once.
var urlOptions = map[string]bool{"db": false, "addr": true, "master_set": false, "sentinel_user": false, "sentinel_password": false}

// checkQuery refuses what a URL may not say, or says twice.
func checkQuery(u *url.URL) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("behind the \"?\": %w", err)
	}
	for key, values := range query {
		switch many, known := urlOptions[key]; {
		case !known:
			return fmt.Errorf("unknown option %q: there are db, addr, master_set, sentinel_user and sentinel_password", key)
		case len(values) > 1 && !many:
			return fmt.Errorf("the option %s is there %d times", key, len(values))
		case values[0] == "":
			return fmt.Errorf("the option %s is empty", key)
		case key != "db" && u.Scheme == "unix":
			return fmt.Errorf("the option %s is not for sockets", key)
		case key != "db" && !query.Has("master_set"):
			return fmt.Errorf("the option %s is for sentinels: name their master_set", key)
		}
	}
	switch {
	case query.Has("db") && u.Scheme != "unix" && strings.Trim(u.Path, "/") != "":
		return fmt.Errorf("it names the database twice, as %s and as db=%s", u.Path, query.Get("db"))
	case query.Has("sentinel_user") && !query.Has("sentinel_password"):
		return errors.New("there is a sentinel_user without a sentinel_password")
	case u.Fragment != "":
		return fmt.Errorf("what is behind the \"#\" has no meaning: in a password write %%23")
	}
	return nil
}

// withSentinelPorts is the URL with the port of sentinels where there is none.
func withSentinelPorts(u *url.URL) string {
	port := func(address string) string {
		if p := (&url.URL{Host: address}).Port(); p != "" || address == "" {
			return address
		}
		return strings.TrimSuffix(address, ":") + ":26379"
	}
	all := *u
	all.Host = port(u.Host)
	query := u.Query()
	for i, address := range query["addr"] {
		query["addr"][i] = port(address)
	}
	all.RawQuery = query.Encode()
	return all.String()
}

// same says that two URLs are one Redis, which holds each key once.
func (h *host) same(other *host) bool {
	a, b := &h.option, &other.option
	return slices.Equal(a.InitAddress, b.InitAddress) && a.SelectDB == b.SelectDB && a.Sentinel.MasterSet == b.Sentinel.MasterSet
}

// settle sets what a URL does not say.
func (h *host) settle(config *tls.Config) {
	o := &h.option
	if o.TLSConfig != nil && config != nil {
		name := o.TLSConfig.ServerName
		o.TLSConfig = config.Clone()
		if o.TLSConfig.ServerName == "" {
			o.TLSConfig.ServerName = name
		}
	}
	o.ForceSingleClient = o.Sentinel.MasterSet == ""
	if !o.ForceSingleClient {
		o.Sentinel.TLSConfig = o.TLSConfig
		o.Sentinel.Dialer.Timeout = dialTime
		o.Sentinel.TopologyRefreshInterval = 5 * time.Second
	}
	o.Dialer.Timeout = dialTime
	o.Dialer.KeepAlive = keepAlive
	o.ConnWriteTimeout = writeTime
	o.ReadBufferEachConn, o.WriteBufferEachConn = bufferBytes, bufferBytes
	o.DisableCache = true
	o.DisableRetry = true     // a message is never sent twice
	o.AlwaysPipelining = true // so that a ctx that ends does not end the connection
}

// redact is a URL without its passwords.
func redact(u *url.URL) string {
	clean := *u
	clean.User, clean.Fragment = nil, ""
	if query := u.Query(); query.Has("sentinel_password") {
		query.Del("sentinel_password")
		query.Del("sentinel_user")
		clean.RawQuery = query.Encode()
	}
	return clean.String()
}

// connect makes the client of a host, and sees that it serves.
func (h *host) connect(ctx context.Context, log *zap.Logger) (client rueidis.Client, err error) {
	err = insist(ctx, log, h.name, func() error {
		if client, err = rueidis.NewClient(h.option); err != nil {
			return err
		}
		if err = h.suits(ctx, client); err != nil {
			client.Close()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("redislayer: connect to %s: %w", h.name, err)
	}
	return client, nil
}

var errUnsuited = errors.New("this Redis will not do")

// suits looks at the server's version and mode, if it may.
func (h *host) suits(ctx context.Context, client rueidis.Client) error {
	info, err := client.Do(ctx, client.B().Info().Section("server").Build()).ToString()
	if err != nil {
		if passes(err) {
			return err
		}
		return nil // refused by an ACL: the first command that needs more will tell
	}
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "redis_version":
			major, _, _ := strings.Cut(value, ".")
			if n, err := strconv.Atoi(major); err == nil && n < h.major {
				return fmt.Errorf("%w: it is version %s, and %d.0 is the oldest", errUnsuited, value, h.major)
			}
		case "redis_mode":
			if value == "cluster" {
				return fmt.Errorf("%w: it is a Redis Cluster, where the keys of channels_redis cannot be used; name single servers", errUnsuited)
			}
		}
	}
	return nil
}
