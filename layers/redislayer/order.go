package redislayer

import (
	"context"
	"time"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

// Orders are what a process of Core tells another: messages in its key without an address, which channels_redis never writes,
// of types that begin with "layer.", which cannot be sent. Nobody answers them.
const (
	orderFlush = "layer.flush" // all was flushed
	orderJoin  = "layer.join"  // a channel of the process was made a member: renew it, and remove it at its end
	orderLeave = "layer.leave" // it is a member no more
)

// order tells another process.
func (c *core) order(ctx context.Context, process, typ string, m membership) error {
	data, err := payload.Marshal(typ, &map[string]string{"group": m.group, "channel": m.channel})
	if err != nil {
		return err
	}
	entry, err := c.format.pack(data, nil, false, time.Now())
	if err != nil {
		return err
	}
	channel := "specific." + process + "!"
	return c.store(ctx, c.shardOf(channel), channel, entry, backlog)
}

// obey does what another process orders; false if it is no order. It runs on a reader's goroutine.
func (c *core) obey(data []byte) bool {
	typ, err := payload.Check(data)
	if err != nil {
		return false
	}
	fields, err := payload.Fields(data)
	if err != nil {
		return false
	}
	m := membership{}
	m.group, _ = fields["group"].(string)
	m.channel, _ = fields["channel"].(string)
	switch typ {
	case orderFlush:
		c.flushed()
	case orderJoin:
		c.joined(m)
	case orderLeave:
		c.local.Leave(m.group, m.channel)
	default:
		return false
	}
	return true
}
