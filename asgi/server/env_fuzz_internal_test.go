package server

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// variableEnd is between two variables of FuzzFromEnv: no value of the environment has it.
const variableEnd = "\x00"

// FuzzFromEnv gives FromEnv any values in all of its variables. It never panics. Each line of an error says which variable it is
// about. What is taken is taken by New, prints as one line, and is the same when the environment is laid over it once more.
func FuzzFromEnv(f *testing.F) {
	index := make(map[string]string)
	for i, v := range variables {
		index[v.name] = string(rune(i)) // one byte: there are fewer than 128
		f.Setenv(v.name, "")
	}
	for _, seed := range [][]string{
		{"TIDEWAY_LISTEN=:8000, unix:/a", "TIDEWAY_PROXY_PROTOCOL=true", "TIDEWAY_TRUSTED_PROXIES=10.0.0.0/8,unix"},
		{"TIDEWAY_LISTEN=systemd:web", "TIDEWAY_PROXY_HEADERS=1"},
		{"TIDEWAY_CERT_FILE=/c.pem", "TIDEWAY_KEY_FILE=/k.pem", "TIDEWAY_ORIGINS=https://a.example:8443,.b.example,*"},
		{"TIDEWAY_ROOT_PATH=/live", "TIDEWAY_SERVER_HEADER=tide\r\nx: y", "TIDEWAY_COMPRESSION=false", "TIDEWAY_SHUTDOWN_CODE=1012"},
		{"TIDEWAY_MAX_MESSAGE=off", "TIDEWAY_MAX_BODY=99999999999999999999", "TIDEWAY_MAX_AGE=1h", "TIDEWAY_PING_INTERVAL=off"},
		{"TIDEWAY_HEADER_TIMEOUT=5ns", "TIDEWAY_WRITE_TIMEOUT=-1s", "TIDEWAY_DRAIN_DELAY=1e9h", "TIDEWAY_PING_TIMEOUT=0"},
	} {
		var values []string
		for _, s := range seed {
			name, text, _ := strings.Cut(s, "=")
			values = append(values, index[name]+text)
		}
		f.Add(strings.Join(values, variableEnd))
	}
	app := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return nil })
	base := &Options{Logger: zap.NewNop()}
	f.Fuzz(func(t *testing.T, environment string) {
		set := make(map[string]string)
		for entry := range strings.SplitSeq(environment, variableEnd) {
			if entry != "" {
				set[variables[int(entry[0])%len(variables)].name] = entry[1:]
			}
		}
		for name, text := range set {
			t.Setenv(name, text)
		}
		opts, err := FromEnv(base)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !namesOneOf(line, set) {
					t.Errorf("%q: no variable is named in %q", set, line)
				}
			}
			return
		}
		New(app, opts) // panics if the options are nonsense
		if text := opts.String(); strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("%q: the options print as %q", set, text)
		}
		again, err := FromEnv(opts)
		if err != nil || !reflect.DeepEqual(opts, again) {
			t.Errorf("%q: got %v, once more %v, %v", set, opts, again, err)
		}
	})
}

// namesOneOf reports whether a line of an error is about one of the variables that are set.
func namesOneOf(line string, set map[string]string) bool {
	about, environment := strings.CutPrefix(line, "asgi/server: environment: ")
	for name := range set {
		if strings.HasPrefix(line, "asgi/server: "+name+" is ") || environment && strings.Contains(about, name) {
			return true
		}
	}
	return false
}
