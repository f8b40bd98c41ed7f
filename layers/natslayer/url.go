package natslayer

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Mistakes in URLs. None shows a part of what may be a password.
var (
	errNoURL    = errors.New(`the URL is empty: write "nats://HOST:4222", and look whether the variable that it comes from is set`)
	errEscaping = errors.New("it cannot be read: in a user or a password, write @ as %40, / as %2F, # as %23, ? as %3F, % as %25 and a comma as %2C")
)

// checkURLs says what is wrong in a list of servers, before anybody waits for them.
func checkURLs(servers string) error {
	if strings.TrimSpace(servers) == "" {
		return errNoURL
	}
	list := strings.Split(servers, ",")
	for i, s := range list {
		err := checkURL(s, strings.Contains(servers, "@"))
		switch {
		case err != nil && len(list) > 1:
			return fmt.Errorf("server %d of %d: %w", i+1, len(list), err)
		case err != nil:
			return err
		}
	}
	return nil
}

// checkURL checks one server. Where there is a secret in the list, a part of it may be anywhere in what cannot be read.
func checkURL(server string, secret bool) error {
	u, err := parseURL(server)
	var bad *url.Error
	switch {
	case strings.TrimSpace(server) == "":
		return errors.New("it is empty: leave the comma out")
	case err != nil && secret:
		return errEscaping
	case errors.As(err, &bad):
		return bad.Err
	case err != nil:
		return err
	case strings.Contains(u.Path+u.RawQuery+u.Fragment, "@"):
		return errEscaping
	case !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
		return fmt.Errorf("%q is no scheme of NATS: write nats://HOST:PORT, or tls://HOST:PORT", u.Scheme)
	case u.Hostname() == "":
		return errors.New("it has no host: write nats://HOST:PORT")
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return errors.New("its host has colons: write nats://HOST:PORT, and an IPv6 address in brackets, nats://[::1]:4222")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			if secret && u.User == nil {
				return errEscaping
			}
			return fmt.Errorf("its port is %s: it must be from 1 to 65535", p)
		}
	}
	return nil
}

// parseURL reads a server as the client does.
func parseURL(server string) (*url.URL, error) {
	if server = strings.TrimSpace(server); !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	return url.Parse(server)
}

// redact removes passwords from a list of URLs, and tokens, which are users without a password.
func redact(servers string) string {
	list := strings.Split(servers, ",")
	for i, s := range list {
		list[i] = redactOne(s, strings.Contains(servers, "@"))
	}
	return strings.Join(list, ",")
}

func redactOne(server string, secret bool) string {
	const hidden = "xxxxx"
	u, err := parseURL(server)
	last := strings.LastIndex(server, "@")
	switch {
	case err != nil && last >= 0:
		return server[last+1:]
	case err != nil && secret:
		return hidden // a comma in a password has cut it in two
	case err != nil:
		return strings.TrimSpace(server)
	case strings.Contains(u.Path+u.RawQuery+u.Fragment, "@"):
		return u.Scheme + "://" + hidden + server[last:]
	}
	if u.User == nil {
		return u.String()
	}
	if _, ok := u.User.Password(); !ok {
		u.User = url.User(hidden)
	}
	return u.Redacted()
}
