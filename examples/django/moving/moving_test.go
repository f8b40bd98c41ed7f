package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/examples/internal/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a secret that both have"

// TestMoving has the project in Python and its port side by side, and the same dialogs with both: first with the worker in
// Python, then with the one in Go.
func TestMoving(t *testing.T) {
	d := startDeployment(t)
	ready := regexp.MustCompile(`(ready)`) // a worker says nothing; what is sent before it reads waits for it
	shell := func(cmd *exec.Cmd) *exec.Cmd {
		sh := exec.Command("sh", append([]string{"-c", `echo ready; exec "$@"`, "sh"}, cmd.Args...)...)
		sh.Dir, sh.Env = cmd.Dir, cmd.Env
		return sh
	}
	inPython := process.Start(t, ready, shell(d.python("-m", "django", "runworker", "words")))
	t.Run("the worker is in Python", d.dialogs)
	inPython.Kill()
	process.Start(t, ready, shell(exec.Command(d.program, "-worker", "-redis", d.redis)))
	t.Run("the worker is in Go", d.dialogs)
	t.Run("strangers", d.strangers)
}

// deployment is the two servers on one Redis.
type deployment struct {
	testing.TB
	redis, database, interpreter, program string
	django, ours                          string // HOST:PORT
}

func startDeployment(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{
		TB: t, interpreter: process.Channels(t), program: process.Build(t), redis: process.Redis(t),
		database: filepath.Join(t.TempDir(), "users.sqlite3"),
	}
	if out, err := d.python("-m", "django", "migrate", "-v", "0").CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	d.django = process.Start(t, regexp.MustCompile(`Listening on TCP address (\S+)`),
		d.python("-m", "daphne", "-b", "127.0.0.1", "-p", "0", "asgi:application")).Found
	cmd := exec.Command(d.program, "-addr", "127.0.0.1:0", "-origin", "http://"+d.django, "-redis", d.redis)
	cmd.Env = append(os.Environ(), "SECRET_KEY="+secret)
	d.ours = process.Start(t, regexp.MustCompile(`listening at http://(\S+)`), cmd).Found
	return d
}

// python is a command of the project.
func (d *deployment) python(args ...string) *exec.Cmd {
	cmd := exec.Command(d.interpreter, args...)
	cmd.Dir = "site"
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "DJANGO_SETTINGS_MODULE=settings", "SECRET_KEY="+secret, "REDIS_URL="+d.redis, "DATABASE="+d.database)
	return cmd
}

// session is somebody who has logged in to Django.
type session struct {
	cookie string // for Django
	ticket string // for Go
}

// request makes a request and returns status, body and the cookies that were set.
func (d *deployment) request(t *testing.T, method, url string, body io.Reader, header http.Header) (int, string, []*http.Cookie) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Cookies()
}

// enter logs somebody in and gets the ticket, as a page does.
func (d *deployment) enter(t *testing.T, name string) session {
	t.Helper()
	form := strings.NewReader(url.Values{"name": {name}}.Encode())
	status, text, cookies := d.request(t, "POST", "http://"+d.django+"/enter/", form, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	if status != http.StatusOK || len(cookies) == 0 {
		t.Fatalf("logging in: %d, %s", status, text)
	}
	s := session{cookie: cookies[0].Name + "=" + cookies[0].Value}
	_, text, _ = d.request(t, "GET", "http://"+d.django+"/ticket/", nil, http.Header{"Cookie": {s.cookie}})
	var answer struct{ Ticket string }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("the ticket: %v: %s", err, text)
	}
	s.ticket = answer.Ticket
	return s
}

// client is a page's socket.
type client struct {
	*testing.T
	*websocket.Conn
}

// dial opens a socket at Daphne, with the cookie, or at the Go server, with the ticket.
func (d *deployment) dial(t *testing.T, who session, inGo bool, room string) *client {
	t.Helper()
	header := http.Header{"Origin": {"http://" + d.django}}
	dialer := websocket.Dialer{HandshakeTimeout: time.Minute}
	host := d.django
	if inGo {
		host = d.ours
		dialer.Subprotocols = []string{"bearer", "bearer." + who.ticket}
	} else {
		header.Set("Cookie", who.cookie)
	}
	ws, answer, err := dialer.Dial("ws://"+host+"/ws/chat/"+room+"/", header)
	if err != nil {
		t.Fatalf("dial %s: %v, %v", host, err, answer)
	}
	t.Cleanup(func() { ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(time.Minute))
	return &client{t, ws}
}

func (c *client) say(v any) {
	c.Helper()
	if err := c.WriteJSON(v); err != nil {
		c.Fatal(err)
	}
}

// hears demands the next message.
func (c *client) hears(want string) {
	c.Helper()
	_, got, err := c.ReadMessage()
	if err != nil {
		c.Fatalf("waiting for %s: %v", want, err)
	}
	var a, b any // Python writes the same in other letters
	if json.Unmarshal(got, &a) != nil || json.Unmarshal([]byte(want), &b) != nil || !reflect.DeepEqual(a, b) {
		c.Errorf("heard %s, want %s", got, want)
	}
}

// dialogs talks to both servers.
func (d *deployment) dialogs(t *testing.T) {
	ann, bob := d.enter(t, "ann"), d.enter(t, "bob")
	python, golang := d.dial(t, ann, false, "lobby"), d.dial(t, bob, true, "lobby")
	elsewhere := d.dial(t, ann, true, "attic")
	both := func(want string) { t.Helper(); python.hears(want); golang.hears(want) }
	python.say(map[string]string{"text": "to Daphne – 🌊"})
	both(`{"user":"ann","text":"to Daphne – 🌊"}`)
	golang.say(map[string]string{"text": "to Go <b>"})
	both(`{"user":"bob","text":"to Go <b>"}`)
	for _, c := range []*client{python, golang} {
		c.say(map[string]string{"count": "one two three"})
		c.hears(`{"words":3}`)
	}
	for _, c := range []struct {
		url    string
		header http.Header
	}{
		{"http://" + d.django, http.Header{"Cookie": {ann.cookie}}},
		{"http://" + d.ours, http.Header{"Authorization": {"Bearer " + ann.ticket}}},
	} {
		if status, text, _ := d.request(t, "POST", c.url+"/shout/lobby/", strings.NewReader("loud"), c.header); status != http.StatusOK || text != "said\n" {
			t.Errorf("%s/shout/lobby/: %d, %q", c.url, status, text)
		}
		both(`{"user":"ann","text":"loud"}`)
	}
	elsewhere.say(map[string]string{"text": "quiet"})
	elsewhere.hears(`{"user":"ann","text":"quiet"}`)
}

// strangers have not logged in, or come with a ticket that is none.
func (d *deployment) strangers(t *testing.T) {
	forged := d.enter(t, "ann").ticket + "x"
	for _, c := range []struct {
		name, host string
		protocols  []string
		want       int
	}{
		{"nobody at Daphne", d.django, nil, http.StatusForbidden},
		{"nobody at the Go server", d.ours, nil, http.StatusUnauthorized},
		{"a forged ticket", d.ours, []string{"bearer", "bearer." + forged}, http.StatusUnauthorized},
	} {
		dialer := websocket.Dialer{Subprotocols: c.protocols}
		_, answer, err := dialer.Dial("ws://"+c.host+"/ws/chat/lobby/", http.Header{"Origin": {"http://" + d.django}})
		if err == nil || answer == nil || answer.StatusCode != c.want {
			t.Errorf("%s: %v, %v, want status %d", c.name, answer, err, c.want)
		}
	}
	for _, host := range []string{d.django, d.ours} {
		if status, _, _ := d.request(t, "POST", "http://"+host+"/shout/lobby/", strings.NewReader("loud"), http.Header{}); status != http.StatusUnauthorized {
			t.Errorf("a request of nobody to %s: status %d, want 401", host, status)
		}
	}
}

// What Django 3.2 wrote for {"user": "ann"} at the time 1700000000, and what is none.
func TestTicket(t *testing.T) {
	const good = "eyJ1c2VyIjoiYW5uIn0.1r31eq.rZOamVkYJano-hmgDJ5Kq8e1RIQm5U03RREvHsUKOnw"
	made := time.Unix(1_700_000_000, 0)
	key := ticketKey(secret)
	id, err := openTicket(key, good, made.Add(time.Hour))
	if err != nil || id.User.Name != "ann" || !id.Expires.Equal(made.Add(lasts)) {
		t.Errorf("a good ticket: %+v, %v", id, err)
	}
	for name, c := range map[string]struct {
		token string
		key   []byte
		at    time.Time
	}{
		"expired":        {good, key, made.Add(lasts + time.Second)},
		"of another key": {good, ticketKey("another"), made},
		"changed":        {"f" + good[1:], key, made},
		"cut":            {good[:len(good)-1], key, made},
		"empty":          {"", key, made},
		"two parts":      {"a.b", key, made},
	} {
		if id, err := openTicket(c.key, c.token, c.at); !errors.Is(err, auth.ErrInvalid) || id.User.Name != "" {
			t.Errorf("a ticket that is %s: %+v, %v", name, id, err)
		}
	}
}

// run says what is wrong before it listens.
func TestRunFails(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := run(ctx, "127.0.0.1:0", "http://127.0.0.1:8000", "localhost:6379", secret, false); err == nil || !strings.Contains(err.Error(), "write redis://") {
		t.Errorf("a Redis that is no URL: %v", err)
	}
}

// The blocks of the guide are parts of the files that it names.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("../MOVING.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\\(moving/([\\w./]+)\\):\n\n```(go|python)\n(.*?)```").FindAllSubmatch(guide, -1)
	if fences := bytes.Count(guide, []byte("```")); fences != 2*len(blocks) || len(blocks) < 10 {
		t.Errorf("%d of %d blocks name their file", len(blocks), fences/2)
	}
	for _, block := range blocks {
		file, err := os.ReadFile(string(block[1]))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(file, block[3]) {
			t.Errorf("%s does not hold this block of MOVING.md:\n%s", block[1], block[3])
		}
	}
}
