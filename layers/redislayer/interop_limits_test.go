package redislayer

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// Cases 58 and 63: either side is told when the other's key is full, as channels_redis counts. PubSub tells nobody. A channel of
// Go drops and counts what is above its own capacity.
func TestPythonFull(t *testing.T) {
	for _, d := range simple() {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			b := newBed(t, d.hosts)
			p, q := d.process(b, func(o *Options) { o.Capacity = 3 }), d.peer(b, map[string]any{"capacity": 3})
			if d.layer == "Core" {
				fullInPython(t, p, q, q.channel())
				fullInPython(t, p, q, "jobs")
			}
			mine := p.channel()
			for n := 0; n < 5; n++ {
				for q.try(order{Op: "send", Args: []any{mine}, Message: encoded(t, "note", map[string]any{"text": fmt.Sprint(n)})}).Error == "ChannelFull" {
					continue // the reader is about to take what is there
				}
			}
			p.dropped(layers.DropFull, 2)
			p.want(mine, "0", "1", "2")
		})
	}
}

func fullInPython(t *testing.T, p *process, q *peer, channel string) {
	t.Helper()
	p.send(channel, "a", "b", "c")
	if err := p.Send(t.Context(), channel, note.With(text{"d"})); !errors.Is(err, layers.ErrChannelFull) {
		t.Errorf("case 58: Go's fourth message to %s of Python: %v", channel, err)
	}
	if r := q.try(order{Op: "send", Args: []any{channel}, Message: encoded(t, "note", nil)}); r.Error != "ChannelFull" {
		t.Errorf("case 58: Python's fourth message to %s: %+v", channel, r)
	}
	q.want(channel, "a", "b", "c")
	p.send(channel, "e")
	q.want(channel, "e")
}

// Cases 68 and 76. The messages of PubSub have no stamp: their age begins when they arrive.
func TestPythonExpiry(t *testing.T) {
	for _, d := range simple() {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			b := newBed(t, d.hosts)
			const expiry = 2 * time.Second
			p, q := d.process(b, func(o *Options) { o.Expiry = expiry }), d.peer(b, map[string]any{"expiry": 2})
			mine, theirs := p.channel(), q.channel()
			q.send(mine, "old")
			if d.layer == "Core" {
				p.send(theirs, "old")
				p.send("jobs", "old")
			}
			<-time.After(expiry + 1500*time.Millisecond) // Python counts whole seconds
			q.send(mine, "new")
			p.want(mine, "new")
			if d.layer == "Core" {
				p.send(theirs, "new")
				q.want(theirs, "new")
				q.send("jobs", "new")
				p.want("jobs", "new")
			}
		})
	}
}
