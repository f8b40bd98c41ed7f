package server_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi/server"
)

// environment sets variables for one test, and no others.
func environment(t *testing.T, vars map[string]string) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "TIDEWAY_") && name != "TIDEWAY_REQUIRE" {
			t.Setenv(name, "")
		}
	}
	for name, text := range vars {
		t.Setenv(name, text)
	}
}

// Each variable sets its field, and what is not set stays as base has it. Case 186.
func TestFromEnv(t *testing.T) {
	for name, tc := range map[string]struct {
		base *server.Options
		vars map[string]string
		want server.Options
	}{
		"nothing":                  {nil, nil, server.Options{}},
		"nothing new":              {&server.Options{Addr: ":1"}, map[string]string{"TIDEWAY_LISTEN": " "}, server.Options{Addr: ":1"}},
		"address":                  {&server.Options{Addr: ":1"}, map[string]string{"TIDEWAY_LISTEN": "[::1]:8000"}, server.Options{Addr: "[::1]:8000"}},
		"unix":                     {nil, map[string]string{"TIDEWAY_LISTEN": "unix:/a"}, server.Options{Listeners: []server.Listener{{Addr: "unix:/a", Plain: true}}}},
		"several":                  {&server.Options{Addr: ":1"}, map[string]string{"TIDEWAY_LISTEN": ":8000, systemd:web,unix:/a"}, server.Options{Listeners: []server.Listener{{Addr: ":8000"}, {Addr: "systemd:web"}, {Addr: "unix:/a", Plain: true}}}},
		"PROXY":                    {nil, map[string]string{"TIDEWAY_PROXY_PROTOCOL": "1", "TIDEWAY_TRUSTED_PROXIES": "10.0.0.0/8,unix"}, server.Options{ProxyProtocol: true, TrustedProxies: []string{"10.0.0.0/8", "unix"}}},
		"PROXY, two":               {nil, map[string]string{"TIDEWAY_LISTEN": ":1,:2", "TIDEWAY_PROXY_PROTOCOL": "true", "TIDEWAY_TRUSTED_PROXIES": "10.0.0.1"}, server.Options{Listeners: []server.Listener{{Addr: ":1", ProxyProtocol: true}, {Addr: ":2", ProxyProtocol: true}}, TrustedProxies: []string{"10.0.0.1"}}},
		"PROXY, base":              {&server.Options{ProxyProtocol: true, TrustedProxies: []string{"unix"}}, map[string]string{"TIDEWAY_LISTEN": ":1,:2"}, server.Options{Listeners: []server.Listener{{Addr: ":1", ProxyProtocol: true}, {Addr: ":2", ProxyProtocol: true}}, TrustedProxies: []string{"unix"}}},
		"PROXY, listeners of base": {&server.Options{Listeners: []server.Listener{{Addr: ":1"}}}, map[string]string{"TIDEWAY_PROXY_PROTOCOL": "true", "TIDEWAY_TRUSTED_PROXIES": "unix"}, server.Options{Listeners: []server.Listener{{Addr: ":1", ProxyProtocol: true}}, TrustedProxies: []string{"unix"}}},
		"headers":                  {&server.Options{TrustedProxies: []string{"unix"}}, map[string]string{"TIDEWAY_PROXY_HEADERS": "true"}, server.Options{ProxyHeaders: true, TrustedProxies: []string{"unix"}}},
		"off":                      {nil, map[string]string{"TIDEWAY_PING_INTERVAL": "off", "TIDEWAY_MAX_MESSAGE": "off"}, server.Options{PingInterval: -1, MaxMessage: -1}},
		"false":                    {&server.Options{Compression: true}, map[string]string{"TIDEWAY_COMPRESSION": "false"}, server.Options{}},
		"certificates":             {nil, map[string]string{"TIDEWAY_CERT_FILE": "/c.pem", "TIDEWAY_KEY_FILE": "/k.pem"}, server.Options{CertFile: "/c.pem", KeyFile: "/k.pem"}},
		"the others": {nil, map[string]string{
			"TIDEWAY_ORIGINS": "https://a.example,b.example", "TIDEWAY_ROOT_PATH": "/live", "TIDEWAY_SERVER_HEADER": "tide", "TIDEWAY_COMPRESSION": "true",
			"TIDEWAY_MAX_MESSAGE": "1", "TIDEWAY_MAX_BODY": "2", "TIDEWAY_MAX_WEBSOCKETS": "3", "TIDEWAY_MAX_HANDSHAKES": "4", "TIDEWAY_MAX_REQUESTS": "5",
			"TIDEWAY_HEADER_TIMEOUT": "6s", "TIDEWAY_BODY_TIMEOUT": "7s", "TIDEWAY_IDLE_TIMEOUT": "8s", "TIDEWAY_HANDSHAKE_TIMEOUT": "9s",
			"TIDEWAY_PING_INTERVAL": "10s", "TIDEWAY_PING_TIMEOUT": "11s", "TIDEWAY_WRITE_TIMEOUT": "12s", "TIDEWAY_APP_CLOSE_TIMEOUT": "13s",
			"TIDEWAY_SHUTDOWN_WINDOW": "14s", "TIDEWAY_SHUTDOWN_CODE": "1012", "TIDEWAY_DRAIN_DELAY": "15s", "TIDEWAY_MAX_AGE": "16s",
		}, server.Options{
			Origins: []string{"https://a.example", "b.example"}, RootPath: "/live", ServerHeader: "tide", Compression: true,
			MaxMessage: 1, MaxBody: 2, MaxWebSockets: 3, MaxHandshakes: 4, MaxRequests: 5,
			HeaderTimeout: 6 * time.Second, BodyTimeout: 7 * time.Second, IdleTimeout: 8 * time.Second, HandshakeTimeout: 9 * time.Second,
			PingInterval: 10 * time.Second, PingTimeout: 11 * time.Second, WriteTimeout: 12 * time.Second, AppCloseTimeout: 13 * time.Second,
			ShutdownWindow: 14 * time.Second, ShutdownCode: 1012, DrainDelay: 15 * time.Second, MaxAge: 16 * time.Second,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, tc.vars)
			var before server.Options
			if tc.base != nil {
				before = *tc.base
				before.Listeners = slices.Clone(before.Listeners)
			}
			got, err := server.FromEnv(tc.base)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*got, tc.want) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
			if tc.base != nil && !reflect.DeepEqual(*tc.base, before) {
				t.Errorf("base became %v", tc.base)
			}
			server.New(pages, got)
		})
	}
}

// What makes no sense is an error that names the variable, its value and what to write; all of them at once.
func TestFromEnvErrors(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"TIDEWAY_LISTEN":          {"8000", `asgi/server: TIDEWAY_LISTEN is "8000": Options.Addr: "8000": it is no address`},
		"TIDEWAY_TRUSTED_PROXIES": {"proxy.local", `write an address such as "10.0.0.7"`},
		"TIDEWAY_LISTEN ":         {",", "write an address such as"},
		"TIDEWAY_ORIGINS ":        {", ,", "it is an empty list"},
		"TIDEWAY_PROXY_PROTOCOL":  {"yes", `write "true" or "false"`},
		"TIDEWAY_PROXY_HEADERS":   {"on", `write "true" or "false"`},
		"TIDEWAY_ORIGINS":         {"https://a/b", "an origin has only"},
		"TIDEWAY_ROOT_PATH":       {"live", `write "", or a path that begins with a slash`},
		"TIDEWAY_MAX_MESSAGE":     {"1MB", `write a number above zero, such as "1000", or "off"`},
		"TIDEWAY_MAX_WEBSOCKETS":  {"-3", "write a number above zero"},
		"TIDEWAY_MAX_REQUESTS":    {"0", "write a number above zero"},
		"TIDEWAY_PING_INTERVAL":   {"20", `asgi/server: TIDEWAY_PING_INTERVAL is "20": write a duration with its unit, such as "20s"`},
		"TIDEWAY_PING_TIMEOUT":    {"off", "it cannot be off"},
		"TIDEWAY_WRITE_TIMEOUT":   {"10ns", "did you mean"},
		"TIDEWAY_SHUTDOWN_CODE":   {"1000", "write 1001 (going away) or 1012 (restart)"},
		"TIDEWAY_COMPRESSION":     {"gzip", `write "true" or "false"`},
	} {
		name = strings.TrimSpace(name)
		environment(t, map[string]string{name: tc.text, "TIDEWAY_DRAIN_DELAY": "soon"})
		_, err := server.FromEnv(nil)
		if err == nil || !strings.Contains(err.Error(), name+` is "`+tc.text+`": `) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil || !strings.Contains(err.Error(), `TIDEWAY_DRAIN_DELAY is "soon"`) {
			t.Errorf("%s: the second error is not there: %v", name, err)
		}
	}
	for want, vars := range map[string]map[string]string{
		`environment: CertFile is "a" without KeyFile: set TIDEWAY_KEY_FILE too`:    {"TIDEWAY_CERT_FILE": "a"},
		`environment: KeyFile is "b" without CertFile: set TIDEWAY_CERT_FILE too`:   {"TIDEWAY_KEY_FILE": "b"},
		"environment: TIDEWAY_PROXY_HEADERS without TIDEWAY_TRUSTED_PROXIES would":  {"TIDEWAY_PROXY_HEADERS": "true"},
		"environment: TIDEWAY_PROXY_PROTOCOL without TIDEWAY_TRUSTED_PROXIES would": {"TIDEWAY_PROXY_PROTOCOL": "true"},
		"would let nobody in: write the load balancer's address there":              {"TIDEWAY_PROXY_PROTOCOL": "true", "TIDEWAY_LISTEN": ":1,:2"},
		"environment: TIDEWAY_MAX_AGE without TIDEWAY_PING_INTERVAL":                {"TIDEWAY_MAX_AGE": "1h", "TIDEWAY_PING_INTERVAL": "off"},
	} {
		environment(t, vars)
		if _, err := server.FromEnv(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", vars, err)
		}
	}
}

// What base says wrong is told as its fault, and what it contradicts by the variable's name.
func TestFromEnvErrorsOfBase(t *testing.T) {
	own := &tls.Config{Certificates: []tls.Certificate{{}}}
	for want, tc := range map[string]struct {
		base server.Options
		vars map[string]string
	}{
		"leave TIDEWAY_CERT_FILE and TIDEWAY_KEY_FILE out":                     {server.Options{TLS: own}, map[string]string{"TIDEWAY_CERT_FILE": "a", "TIDEWAY_KEY_FILE": "b"}},
		"set TIDEWAY_KEY_FILE too":                                             {server.Options{CertFile: "a"}, nil},
		"the options that it is laid over: Options.PingTimeout is -1s":         {server.Options{PingTimeout: -time.Second}, nil},
		"the options that it is laid over: Options.Origins: \"\": the host is": {server.Options{Origins: []string{""}}, map[string]string{"TIDEWAY_LISTEN": ":1"}},
	} {
		environment(t, tc.vars)
		if _, err := server.FromEnv(&tc.base); err == nil || !strings.HasPrefix(err.Error(), "asgi/server: environment: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", tc.vars, err, want)
		}
	}
}

// A name that is nearly one of ours is worth one line, without the value. Others are an application's own, or a test's.
func TestFromEnvMisspelt(t *testing.T) {
	for name, want := range map[string]string{
		"TIDEWAY_ORIGIN": "TIDEWAY_ORIGINS", "TIDEWAY_LISTENS": "TIDEWAY_LISTEN", "TIDEWAY_LITSEN": "TIDEWAY_LISTEN", "TIDEWAY_MAXBODY": "TIDEWAY_MAX_BODY",
		"TIDEWAY_MAX_WEBSOCKET": "TIDEWAY_MAX_WEBSOCKETS", "TIDEWAY_TRUSTED_PROXY": "TIDEWAY_TRUSTED_PROXIES", "TIDEWAY_PONG_TIMEOUT": "TIDEWAY_PING_TIMEOUT",
		"tideway_root_path": "TIDEWAY_ROOT_PATH", "TIDEWAY_CERTFILE": "TIDEWAY_CERT_FILE", "TIDEWAY_COMPRESION": "TIDEWAY_COMPRESSION",
		"TIDEWAY_LAYER_DEFAULT": "", "TIDEWAY_LAYER_JOBS": "", "TIDEWAY_REQUIRE": "", "TIDEWAY_LONG": "", "TIDEWAY_FLOOD": "", "TIDEWAY_FLOOD_ADDR": "",
		"TIDEWAY_CHAT_NODE": "", "TIDEWAY_TEST_SYSTEMD": "", "TIDEWAY_DATABASE": "", "TIDEWAY_": "", "TIDEWAY": "", "ORIGIN": "", "TIDEWAY_MAX_BODY": "",
	} {
		environment(t, map[string]string{name: "1"})
		core, logs := observer.New(zap.DebugLevel)
		if _, err := server.FromEnv(&server.Options{Logger: zap.New(core)}); err != nil {
			t.Error(err)
		}
		got := fmt.Sprint(logs.All())
		if want == "" && logs.Len() != 0 || want != "" && (logs.FilterLevelExact(zap.WarnLevel).Len() != 1 || !strings.Contains(got, name+": did you mean "+want+"?")) {
			t.Errorf("%s: the lines are %s, want %q", name, got, want)
		}
		os.Unsetenv(name) // Setenv restores it
	}
}

// Options print what is not the default, and no secret.
func TestOptionsString(t *testing.T) {
	secret := []byte("the private key")
	for want, o := range map[string]server.Options{
		"": {Addr: "127.0.0.1:8000", PingInterval: 20 * time.Second, MaxHeaders: 200, ShutdownCode: 1001, Listeners: nil},
		`Addr=":8000" TLS=set Logger=set PingInterval=off`: {Addr: ":8000", PingInterval: -1, Logger: zap.NewNop(),
			TLS: &tls.Config{Certificates: []tls.Certificate{{PrivateKey: secret}}}},
		`Listeners=[:8000 unix:/run/app.sock plain mode=0600 :9000 proxy-protocol] CertFile="/c.pem" KeyFile="/k.pem" MaxWebSockets=50 MaxMessage=off Compression=true`: {
			Listeners: []server.Listener{{Addr: ":8000"}, {Addr: "unix:/run/app.sock", Plain: true, Mode: 0o600}, {Addr: ":9000", ProxyProtocol: true}},
			CertFile:  "/c.pem", KeyFile: "/k.pem", MaxMessage: -1, MaxWebSockets: 50, Compression: true},
		`Listeners=["unix:/a b\nc" mode=0600]`:                   {Listeners: []server.Listener{{Addr: "unix:/a b\nc", Mode: 0o600}}},
		`Origins=["a.example" "b.example"] AppCloseTimeout=1m0s`: {Origins: []string{"a.example", "b.example"}, AppCloseTimeout: time.Minute},
	} {
		if got := o.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
