package redislayer

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
)

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		opts Options
		want string
	}{
		{"case 21: no URL", Options{Hosts: []string{"localhost:6379"}}, "write redis://host:6379"},
		{"case 21: no URL at all", Options{Hosts: []string{"redis://user:secret@h:p"}}, "it is no URL"},
		{"no host", Options{Hosts: []string{"redis://"}}, "write redis://localhost:6379"},
		{"no path", Options{Hosts: []string{"unix://"}}, "write unix:///run/redis/redis.sock"},
		{"another scheme", Options{Hosts: []string{"http://user:secret@h"}}, "write redis://host:6379"},
		{"an unknown option of a URL", Options{Hosts: []string{"redis://h?dbs=1"}}, `unknown option "dbs"`},
		{"addresses without a master", Options{Hosts: []string{"redis://h?addr=b:1"}}, "name their master_set"},
		{"an option twice", Options{Hosts: []string{"redis://h?db=1&db=2"}}, "db is there 2 times"},
		{"an empty option", Options{Hosts: []string{"redis://h?master_set="}}, "master_set is empty"},
		{"a query that is none", Options{Hosts: []string{"redis://h?db=%zz"}}, "behind the"},
		{"two databases", Options{Hosts: []string{"redis://h/1?db=2"}}, "database twice"},
		{"sentinels by a socket", Options{Hosts: []string{"unix:///s?master_set=m"}}, "not for sockets"},
		{"a sentinel's user without a password", Options{Hosts: []string{"redis://h?master_set=m&sentinel_user=u"}}, "without a sentinel_password"},
		{"a sentinel's password without a master", Options{Hosts: []string{"redis://h?sentinel_password=secret"}}, "name their master_set"},
		{"a password with #", Options{Hosts: []string{"redis://:a@h#secret"}}, "write %23"},
		{"no number", Options{Hosts: []string{"redis://h/one"}}, "invalid database number"},
		{"a host twice", Options{Hosts: []string{"redis://h", "redis://a@h:6379/0"}}, "are both redis://h"},
		{"a socket twice", Options{Hosts: []string{"unix:///s", "unix:///s?db=0"}}, "are both unix:///s"},
		{"TLS for nobody", Options{Hosts: []string{"redis://h"}, TLS: &tls.Config{}}, "write rediss://"},
		{"an empty key", Options{Keys: []string{"a", ""}}, "Options.Keys[1] is empty"},
		{"a short expiry of groups", Options{GroupExpiry: time.Millisecond}, "whole seconds"},
		{"a negative expiry of groups", Options{GroupExpiry: -time.Second}, "whole seconds"},
		{"a prefix that is no text", Options{Prefix: "\xff"}, "UTF-8"},
	} {
		c.opts.Logger = zap.NewNop()
		_, err := Core(t.Context(), &c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want an error that says %q and no password", c.name, err, c.want)
		}
	}
	defer func() {
		if r := recover(); r == nil {
			t.Error("L5: a negative capacity does not panic")
		}
	}()
	_, _ = Core(t.Context(), &Options{Options: layers.Options{Capacity: -1}})
}

func TestRefusedByPubSub(t *testing.T) {
	for _, c := range []struct {
		name string
		opts Options
		want string
	}{
		{"an expiry of groups", Options{GroupExpiry: time.Hour}, "PubSub stores no memberships"},
		{"random bytes", Options{RandomPrefix: -1}, "PubSub stores no messages"},
		{"a prefix that no name may have", Options{Prefix: "a:b"}, "ASCII letters"},
		{"a long prefix", Options{Prefix: strings.Repeat("a", 33)}, "at most 32"},
	} {
		c.opts.Logger = zap.NewNop()
		if _, err := PubSub(t.Context(), &c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error that says %q", c.name, err, c.want)
		}
	}
}

func TestUnsuited(t *testing.T) {
	b := newBed(t, 1)
	h, err := parseHost("unix://"+Socket(t, 0), nil)
	must(t, err)
	h.major = 1000
	if _, err := h.connect(t.Context(), zap.NewNop()); !errors.Is(err, errUnsuited) {
		t.Errorf("a version that is too old: %v, want an error at once", err)
	}
	if b.number("DBSIZE") < 0 {
		t.Error("the server is gone")
	}
}

// The keys of channels_redis cannot be used on a cluster.
func TestCluster(t *testing.T) {
	bus := freePort(t)
	port := startRedis(t, func(port string) []string {
		return append(plain(port), "--cluster-enabled", "yes", "--cluster-port", bus)
	})
	for name, open := range opens {
		_, err := open(t.Context(), &Options{Hosts: []string{"redis://127.0.0.1:" + port}, Logger: zap.NewNop()})
		if !errors.Is(err, errUnsuited) || !strings.Contains(err.Error(), "Redis Cluster") {
			t.Errorf("%s on a cluster: %v", name, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	o, err := (*Options)(nil).withDefaults()
	o.forCore()
	if err != nil || len(o.Hosts) != 1 || o.Hosts[0] != DefaultHost || o.Prefix != DefaultPrefix || o.GroupExpiry != DefaultGroupExpiry || o.RandomPrefix != 12 {
		t.Errorf("case 21: the defaults are %+v, %v", o, err)
	}
	o = Options{RandomPrefix: -1}
	if o.forCore(); o.RandomPrefix != 0 {
		t.Errorf("case 14: a negative RandomPrefix is %d bytes", o.RandomPrefix)
	}
	for text, want := range map[string]struct{ addr, master, server string }{
		"redis://u:p@h:1/2":       {"h:1", "", ""},
		"rediss://h":              {"h:6379", "", "h"},
		"unix:///run/r.sock?db=3": {"/run/r.sock", "", ""},
		"redis://s1:26379?addr=s2:26379&master_set=mymaster": {"s1:26379", "mymaster", ""},
		"redis://s1?master_set=mymaster":                     {"s1:26379", "mymaster", ""},
		"redis://[::1]?addr=s2&master_set=mymaster":          {"[::1]:26379", "mymaster", ""},
	} {
		h, err := parseHost(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		server := ""
		if h.option.TLSConfig != nil {
			server = h.option.TLSConfig.ServerName
		}
		if o := h.option; o.InitAddress[0] != want.addr || o.Sentinel.MasterSet != want.master || server != want.server || !o.DisableRetry {
			t.Errorf("case 21: %s: %+v", text, o)
		}
	}
	h, err := parseHost("rediss://h", &tls.Config{MinVersion: tls.VersionTLS13})
	if err != nil || h.option.TLSConfig.MinVersion != tls.VersionTLS13 || h.option.TLSConfig.ServerName != "h" {
		t.Errorf("Options.TLS: %+v, %v", h.option.TLSConfig, err)
	}
}

func TestNobodyThere(t *testing.T) {
	cable := NewCable(t, 1)
	cable.Cut()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Core(ctx, &Options{Hosts: cable.URLs(), Logger: zap.NewNop()})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a server: %v", err)
	}
	opened := make(chan error, 1)
	go func() { // ends when the cable is mended; waited for below
		l, err := Core(t.Context(), &Options{Hosts: cable.URLs(), Logger: zap.NewNop()})
		if err == nil {
			err = l.Close(context.Background())
		}
		opened <- err
	}()
	cable.Mend()
	if err := <-opened; err != nil {
		t.Errorf("a server that comes late: %v", err)
	}
	password := strings.Replace(cable.URLs()[0], "unix://", "unix://user:secret@", 1)
	if _, err := Core(t.Context(), &Options{Hosts: []string{password}, Logger: zap.NewNop()}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a wrong password: %v, want an error at once, without the password", err)
	}
}
