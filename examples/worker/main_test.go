package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/examples/internal/backend"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// choose makes a choice of a layer by flags.
func choose(t *testing.T, args ...string) *backend.Choice {
	t.Helper()
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	layer := backend.Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return layer
}

func TestRunUntilTheEnd(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, settings{addr: "127.0.0.1:0", role: "both"}, choose(t), in)
		in.Close()
	}()
	var url string
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasSuffix(lines.Text(), " works") {
		if _, after, ok := strings.Cut(lines.Text(), "open "); ok {
			url = after
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("GET %s: %s", url, answer.Status)
	}
	interrupt()
	if err := <-done; err != nil {
		t.Errorf("an interrupt ends the program with %v, want nil", err)
	}
}

func TestRolesThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		role  string
		layer []string
		want  string
	}{
		{"boss", nil, "site, worker or both"},
		{"worker", nil, "-layer nats://"},
		{"site", nil, "-layer nats://"},
		{"worker", []string{"-layer", "embedded"}, "-layer nats://"},
		{"both", []string{"-layer", "memroy"}, "memroy"},
	} {
		err := run(t.Context(), settings{addr: "127.0.0.1:0", role: c.role}, choose(t, c.layer...), io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("-role %s %v: %v, want an error with %q", c.role, c.layer, err, c.want)
		}
	}
}

func TestTogether(t *testing.T) {
	broken := errors.New("broken")
	ended := false
	err := together(t.Context(),
		func(context.Context) error { return broken },
		func(ctx context.Context) error { <-ctx.Done(); ended = true; return nil },
	)
	if !errors.Is(err, broken) || !ended {
		t.Errorf("together returns %v when the other part has ended: %v; want %v and true", err, ended, broken)
	}
}
