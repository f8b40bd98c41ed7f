package natslayer

import (
	"strings"
	"testing"

	"go.uber.org/zap"
)

// What cannot be a server is told at once, and no secret with it.
func TestOpenRefusesURLs(t *testing.T) {
	const escaping = "write @ as %40"
	for servers, want := range map[string]string{
		"":                               "the URL is empty",
		" ":                              "the URL is empty",
		"::::":                           "colons",
		"nats://::1:4222":                "brackets",
		"nats://h:99999":                 "its port is 99999",
		"nats://h:0":                     "its port is 0",
		"nats://h:x":                     "invalid port",
		"nats://":                        "no host",
		"a,,":                            "server 2 of 3: it is empty",
		"a,":                             "server 2 of 2",
		"http://h:4222":                  `"http" is no scheme of NATS`,
		"nats://a:4222,redis://b":        `server 2 of 2: "redis"`,
		"nats://ann:secret@bad host":     escaping,
		"nats://ann:top@secret/s@h:4222": escaping,
		"nats://ann:top#secret@h:4222":   escaping,
		"nats://ann:secret%@h:4222":      escaping,
		"nats://ann:secret,top@h:4222":   escaping,
		"nats://ann:7#secret@h:4222":     escaping,
	} {
		_, err := Open(t.Context(), servers, &Options{Logger: zap.NewNop()})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "natslayer: connect to ") {
			t.Errorf("Open(%q): %v, want %q in it", servers, err, want)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "top") {
			t.Errorf("Open(%q) shows the password: %v", servers, err)
		}
	}
	for _, servers := range []string{"h", "h:1", "nats://h", "nats://h:4222/", "tls://h:1, tls://i:2", "ws://h/path", "wss://h", "[::1]:4222", "nats://u:p@ss@h:1"} {
		if err := checkURLs(servers); err != nil {
			t.Errorf("%q: %v", servers, err)
		}
	}
}

func TestRedact(t *testing.T) {
	for servers, want := range map[string]string{
		"nats://ann:secret@a:1, nats://b:2": "nats://ann:xxxxx@a:1,nats://b:2",
		"ann:secret@a:1":                    "nats://ann:xxxxx@a:1",
		"nats://TOKEN@a:1":                  "nats://xxxxx@a:1",
		"TOKEN@a:1,TOKEN@b:1":               "nats://xxxxx@a:1,nats://xxxxx@b:1",
		"nats://ann:sec@ret@a:1":            "nats://ann:xxxxx@a:1",
		"nats://ann:sec@ret/x@a:1":          "nats://xxxxx@a:1",
		"nats://ann:sec#ret@a:1":            "a:1",
		"nats://ann:secret@%zz":             "%zz",
		"nats://ann:sec,ret@a:1":            "xxxxx,nats://xxxxx@a:1",
		"::::":                              "nats://::::",
	} {
		if got := redact(servers); got != want {
			t.Errorf("redact(%q) = %q, want %q", servers, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	for _, s := range []string{"nats://ann:secret@a:1", "nats://secret@h,secret@b", "ann:x@secret/@h", "ann:secret,y@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, servers string) {
		_ = checkURLs(servers)
		_ = redact(servers)
		before, after, _ := strings.Cut(servers, "MARK")
		if strings.ContainsAny(before+after, ",@") {
			return
		}
		if got := redact("nats://ann:" + before + "MARK" + after + "@h:1"); strings.Contains(got, "MARK") {
			t.Errorf("redact shows %q", got)
		}
	})
}
