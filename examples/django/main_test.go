package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheckOrigin(t *testing.T) {
	for origin, ok := range map[string]bool{
		"http://127.0.0.1:8000":      true,
		"https://example.org":        true,
		"http://[::1]:8000":          true,
		"http://127.0.0.1:8000/":     false,
		"http://127.0.0.1:8000/page": false,
		"http://ann@example.org":     false,
		"http://*.example.org":       false,
		"ws://127.0.0.1:8000":        false,
		"127.0.0.1:8000":             false,
		"example.org":                false,
		"http://":                    false,
		"*":                          false,
		"":                           false,
	} {
		err := checkOrigin(origin)
		if ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "such as http://") {
			t.Errorf("-origin %q: %v, want it allowed: %t", origin, err, ok)
		}
	}
}

func TestRedisURL(t *testing.T) {
	for set, want := range map[string]string{
		"":                        "redis://localhost:6379",
		"unix:///run/redis.sock":  "unix:///run/redis.sock",
		"redis://10.0.0.1:6379/0": "redis://10.0.0.1:6379/0",
	} {
		t.Setenv("REDIS_URL", set)
		if got := redisURL(); got != want {
			t.Errorf("REDIS_URL=%q: %q, want %q", set, got, want)
		}
	}
}
