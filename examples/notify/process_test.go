package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/tideway-go/tideway/examples/internal/process"
)

// TestEachOfAHundredArrives sends 100 times to a channel and 100 times to a group, each time by a process of its own,
// through a NATS server and to a site that are processes too. Every notice must arrive, once, in order.
func TestEachOfAHundredArrives(t *testing.T) {
	program := process.Build(t)
	server, nats := process.NATS(t)
	web := startSite(t, program, nats)
	ann, bob := dial(t, web.Found), dial(t, web.Found)

	for _, c := range []struct {
		to   []string
		tabs []*client
	}{
		{[]string{"-channel", ann.channel}, []*client{ann}},
		{[]string{"-group", everyone}, []*client{ann, bob}},
	} {
		var took []time.Duration
		for i := range 100 {
			text := fmt.Sprintf("%s %d", c.to[0], i)
			start := time.Now()
			if code, said := web.send(c.to, text); code != 0 {
				t.Fatalf("send ends with %d and says %s", code, said)
			}
			took = append(took, time.Since(start))
			for _, tab := range c.tabs {
				if got := tab.hear(); got != text {
					t.Fatalf("%q arrived, want %q", got, text)
				}
			}
		}
		slices.Sort(took)
		t.Logf("%s: 100 of 100; a process takes %v, the slowest %v", c.to[0], took[50].Round(time.Millisecond), took[99].Round(time.Millisecond))
	}

	t.Run("a tab that was closed", func(t *testing.T) {
		bob.close()
		// The site hears of the end a moment later; until then it takes notices for Bob.
		deadline := time.Now().Add(time.Minute)
		for code := 0; code == 0 && time.Now().Before(deadline); {
			code, _ = web.send([]string{"-channel", bob.channel}, "anybody?")
		}
		web.fails(t, []string{"-channel", bob.channel}, "nobody is there")
	})
	t.Run("a site that was killed", func(t *testing.T) {
		web.Kill()
		web.fails(t, []string{"-channel", ann.channel}, "nobody is there")
		if code, said := web.send([]string{"-group", everyone}, "anybody?"); code != 0 {
			t.Errorf("send to an empty group ends with %d and says %s", code, said)
		}
	})
	t.Run("no server", func(t *testing.T) {
		server.Kill()
		web.fails(t, []string{"-timeout", "300ms", "-group", everyone}, nats)
	})
}

// running is a site, and how to send to it.
type running struct {
	*process.Process
	program, nats string
}

func startSite(t *testing.T, program, nats string) *running {
	t.Helper()
	cmd := exec.Command(program, "serve", "-addr", "127.0.0.1:0", "-layer", nats)
	return &running{process.Start(t, regexp.MustCompile(`open http(://\S+)/`), cmd), program, nats}
}

// send runs the command in a process of its own and returns its exit status and what it said.
func (r *running) send(to []string, text string) (int, string) {
	args := append([]string{"send", "-layer", r.nats}, to...)
	said, err := exec.Command(r.program, append(args, "--", text)...).CombinedOutput()
	var status *exec.ExitError
	if errors.As(err, &status) {
		return status.ExitCode(), string(said)
	}
	if err != nil {
		return -1, err.Error()
	}
	return 0, string(said)
}

// fails demands that sending fails with one line that says why.
func (r *running) fails(t *testing.T, to []string, why string) {
	t.Helper()
	code, said := r.send(to, "anybody?")
	if code != 1 || !strings.HasPrefix(said, "notify: ") || !strings.Contains(said, why) || strings.Count(said, "\n") != 1 {
		t.Errorf("send ends with %d and says %q, want 1 and one line with %q", code, said, why)
	}
}

// client is a tab.
type client struct {
	t       *testing.T
	ws      *websocket.Conn
	channel string
}

func dial(t *testing.T, url string) *client {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+url+"/ws/", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	var hello greeting
	if err := ws.ReadJSON(&hello); err != nil {
		t.Fatal(err)
	}
	return &client{t, ws, hello.Channel}
}

func (c *client) close() {
	c.t.Helper()
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Minute)); err != nil {
		c.t.Error(err)
	}
}

// hear returns the text of the next notice.
func (c *client) hear() string {
	c.t.Helper()
	if err := c.ws.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	var n notice
	if err := c.ws.ReadJSON(&n); err != nil {
		c.t.Fatal(err)
	}
	return n.Text
}
