package natslayer

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers"
)

// hello is the message of the page on the wire format, byte by byte.
var hello = []byte("\x82\xA4type\xA4note\xA4text\xA5hello")

// TestWireFormat publishes with a client that knows the page and nothing else.
func TestWireFormat(t *testing.T) {
	b := newBroker(t)
	p := b.process(&Options{Options: layers.Options{Capacity: 1}})
	client, _ := b.connect()
	channel := p.channel()
	p.join("chat.lobby", channel)

	p.must(client.Publish("tideway.group.chat~lobby", hello))
	p.want(channel, "hello")

	process, id, _ := strings.Cut(strings.TrimPrefix(channel, "specific."), "!")
	direct := "tideway.channel." + process + "." + id
	ask := func(subject, payload, want string) {
		t.Helper()
		reply, err := client.Request(subject, []byte(payload), patience)
		if err != nil || string(reply.Data) != want {
			t.Fatalf("%s %q: got %v, %v; want %q", subject, payload, reply, err, want)
		}
	}
	ask(direct, string(hello), "ok")
	ask(direct, string(hello), "full")
	ask(direct, "hello", "invalid")
	p.want(channel, "hello")
	ask("tideway.channel."+process+".nobody", string(hello), "gone")
	if _, err := client.Request("tideway.channel.nobody.1", hello, patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("L12: a process that is not: %v", err)
	}

	control := "tideway.control." + process
	ask(control, "leave chat.lobby "+channel, "ok")
	p.must(client.Publish("tideway.group.chat~lobby", hello))
	ask(control, "join other.room "+channel, "ok")
	ask(control, "join other.room specific."+process+"!nobody", "gone")
	for _, bad := range []string{"", "join", "join > " + channel, "join  " + channel, "dance room " + channel, "join a b c"} {
		ask(control, bad, "invalid")
	}
	p.must(client.Publish("tideway.group.other~room", hello))
	p.want(channel, "hello")
	p.must(client.Publish(direct, hello)) // without a reply subject
	p.want(channel, "hello")

	ask("tideway.flush", "", "ok")
	p.must(client.Publish("tideway.group.other~room", hello))
	p.must(client.Flush())
	p.empty(p, channel)
}

// TestHeardOnTheWire shows what another client hears of a layer.
func TestHeardOnTheWire(t *testing.T) {
	b := newBroker(t)
	p := b.process(&Options{Prefix: "site-2"})
	client, _ := b.connect()
	sub, err := client.SubscribeSync("site-2.>")
	p.must(err)
	p.must(client.Flush())
	p.groupSend("chat.lobby", "hello")
	m, err := sub.NextMsg(patience)
	p.must(err)
	if m.Subject != "site-2.group.chat~lobby" || string(m.Data) != string(hello) || len(m.Header) > 0 || m.Reply != "" {
		t.Errorf("a group send is %q on %s, headers %v, reply %q", m.Data, m.Subject, m.Header, m.Reply)
	}
	channel := p.channel()
	p.send(channel, "hello")
	m, err = sub.NextMsg(patience)
	p.must(err)
	want := "site-2.channel." + strings.Replace(strings.TrimPrefix(channel, "specific."), "!", ".", 1)
	if m.Subject != want || string(m.Data) != string(hello) || len(m.Header) > 0 || m.Reply == "" {
		t.Errorf("a direct send is %q on %s, headers %v, reply %q; want it on %s", m.Data, m.Subject, m.Header, m.Reply, want)
	}
}

// TestBadMessages publishes what nobody can read: it is counted, and harms nobody.
func TestBadMessages(t *testing.T) {
	b := newBroker(t)
	p := b.process(&Options{Options: layers.Options{MaxMessageSize: 100}})
	client, _ := b.connect()
	channel := p.channel()
	p.join("room", channel)
	bad := []string{"", "\xc1", "{}", "\x81\xA4type\xAAlayer.down", "\x82\xA4type\xA4note\xA4text\xD9\x80" + strings.Repeat("x", 128)}
	for _, data := range bad {
		p.must(client.Publish("tideway.group.room", []byte(data)))
	}
	p.must(client.Publish("tideway.group.room", hello))
	p.want(channel, "hello")
	if n := p.Stats().Dropped[layers.DropInvalid]; n != uint64(len(bad)) {
		t.Errorf("L13, L15, L17: %d bad messages were counted, want %d", n, len(bad))
	}
}
