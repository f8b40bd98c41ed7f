package redislayer

import (
	"testing"

	"github.com/tideway-go/tideway/layers"
)

// Case 17 with Python on the other side, and a key that nobody has: what it sealed harms nobody, and one line in the log
// tells of it.
func TestPythonRotation(t *testing.T) {
	for _, layer := range []string{"Core", "PubSub"} {
		t.Run(layer, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, 1)
			with := func(keys ...string) deployment { return deployment{layer: layer, hosts: 1, keys: keys} }
			p := with("new", "old").process(b, nil)
			mine := p.channel()
			p.join("room", mine)
			before := with("old").peer(b, nil)
			before.send(mine, "from the old key")
			p.want(mine, "from the old key")
			after := with("new").peer(b, nil)
			theirs := after.channel()
			if layer == "PubSub" {
				b.subscribed(theirs, 1)
			}
			p.send(theirs, "to the new key")
			after.want(theirs, "to the new key")
			stranger := with("wrong").peer(b, nil)
			stranger.send(mine, "a", "b")
			stranger.groupSend("room", "c")
			with().peer(b, nil).send(mine, "plain")
			after.send(mine, "still there")
			p.want(mine, "still there")
			after.groupSend("room", "to the group too")
			p.want(mine, "to the group too")
			p.dropped(layers.DropInvalid, 4)
			if n := p.logs.FilterMessageSnippet("cannot be read").Len(); n != 1 {
				t.Errorf("case 24: %d lines for four messages with a wrong key, want 1", n)
			}
		})
	}
}
