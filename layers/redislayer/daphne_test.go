package redislayer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
)

const chatMessage layers.Type[text] = "chat.message"

// Case 42 as a browser sees it: a consumer of Django Channels on Daphne and a channel of Tideway in one group.
func TestDaphne(t *testing.T) {
	for name, c := range map[string]struct {
		class string
		open  func(*bed, func(*Options)) *process
	}{"Core": {pythonCore, (*bed).process}, "PubSub": {pythonPubSub, (*bed).pubsub}} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 1)
			p := c.open(b, nil)
			mine := p.channel()
			p.join("chat.lobby", mine)
			browser := b.daphne(c.class)
			if c.class == pythonPubSub {
				b.subscribed(b.prefix+"__group__chat.lobby", 2)
			}
			for i := range 3 {
				said := fmt.Sprint("typed in Django ", i)
				browser.write(said)
				browser.want(said)
				m, err := p.Receive(t.Context(), mine)
				must(t, err)
				if v, err := chatMessage.Decode(m); err != nil || v.Text != said {
					t.Fatalf("case 42: Go heard %q, %v, want %q", v.Text, err, said)
				}
				said = fmt.Sprint("sent by Go ", i)
				must(t, p.GroupSend(t.Context(), "chat.lobby", chatMessage.With(text{said})))
				browser.want(said)
				if m, err = p.Receive(t.Context(), mine); err != nil || m.Type() != chatMessage.String() {
					t.Fatalf("case 42: Go heard %s, %v of its own", m.Type(), err)
				}
			}
		})
	}
}

// socket is a WebSocket to Daphne, in the few lines of RFC 6455 that short texts need.
type socket struct {
	testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// daphne starts Daphne with the project in testdata, and connects to its consumer.
func (b *bed) daphne(class string) *socket {
	b.Helper()
	path, err := python()
	if err == nil {
		err = exec.Command(path, "-c", "import channels, daphne, django").Run()
	}
	if err != nil {
		Lacking(b, "no Python with Daphne; install it with: apt-get install daphne python3-django-channels python3-channels-redis\n%v", err)
	}
	layer, err := json.Marshal(map[string]any{
		"BACKEND": class, "CONFIG": map[string]any{"hosts": []string{"unix://" + Socket(b, 0)}, "prefix": b.prefix},
	})
	must(b, err)
	dir, err := os.MkdirTemp("", "tw") // not TempDir, whose paths are too long for a socket
	must(b, err)
	file := filepath.Join(dir, "s")
	cmd := exec.Command("sh", "-c", `"$@" & read _; kill -9 $!; wait $!`, "sh", path, "-m", "daphne", "-v", "0", "-u", file, "chatsite:application")
	cmd.Dir = "testdata"
	cmd.Env = append(os.Environ(), "CHANNEL_LAYER="+string(layer), "PYTHONDONTWRITEBYTECODE=1")
	in, err := cmd.StdinPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // it was killed
		_ = os.RemoveAll(dir)
	})
	s := &socket{TB: b}
	eventually(b, func() bool { s.conn, err = net.Dial("unix", file); return err == nil }, "Daphne listens")
	b.Cleanup(func() { _ = s.conn.Close() })
	must(b, s.conn.SetDeadline(time.Now().Add(Patience)))
	_, err = io.WriteString(s.conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	must(b, err)
	s.r = bufio.NewReader(s.conn)
	answer, err := http.ReadResponse(s.r, nil)
	must(b, err)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		b.Fatalf("Daphne answers %s", answer.Status)
	}
	return s
}

// write sends a short text, masked with zeros.
func (s *socket) write(text string) {
	s.Helper()
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
	_, err := s.conn.Write(frame)
	must(s, err)
}

// want reads one short text.
func (s *socket) want(text string) {
	s.Helper()
	head := make([]byte, 2)
	_, err := io.ReadFull(s.r, head)
	must(s, err)
	body := make([]byte, head[1]&0x7f)
	_, err = io.ReadFull(s.r, body)
	must(s, err)
	if head[0] != 0x81 || string(body) != text {
		s.Fatalf("the browser got %x %q, want %q", head, body, text)
	}
}
