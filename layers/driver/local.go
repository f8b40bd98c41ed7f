package driver

import (
	"errors"
	"sync"
)

// Inbox is the receiving end of a process-local channel. Deliver never blocks: nil means taken, [ErrFull] that there
// is no room, [ErrNoChannel] that the channel has ended. It is called concurrently, also for a moment after Shut
// returned. It does not panic.
//
// An Inbox that also has a method Flush() has it called when the layer is flushed: it drops what it holds.
type Inbox interface {
	Deliver(m *Message) error
}

// Local is the table of one process: its channels, and which of them are members of which groups. It is what every
// backend needs on the receiving side, so it is written once. It is safe for concurrent use. It calls inboxes without
// holding a lock, on the caller's goroutine, and allocates nothing per member that a group message is delivered to.
type Local struct {
	host Host

	mu       sync.RWMutex // guards what follows; never held while an inbox or the host is called
	channels map[string]*member
	groups   map[string]*group

	scratch sync.Pool // *[]*member: the members of a group while a message is delivered to them
}

// member is a channel. One exists per connection, so it is small.
type member struct {
	name  string
	in    Inbox
	slots []slot            // its memberships
	index map[*group]uint32 // where a group is in slots; nil while there are few
}

// slot is one membership, seen from the member: group.members[pos] is the member.
type slot struct {
	group *group
	pos   uint32
}

// group exists while it has a member.
type group struct {
	name    string
	members []*member
	back    []uint32 // back[i] is where this group is in members[i].slots
}

// fewSlots is the number of memberships up to which a scan is as fast as an index, and smaller.
const fewSlots = 16

// NewLocal makes the table of a process. h is told of members that do not take a group's message.
func NewLocal(h Host) *Local {
	return &Local{
		host:     h,
		channels: make(map[string]*member),
		groups:   make(map[string]*group),
		scratch:  sync.Pool{New: func() any { return new([]*member) }},
	}
}

// Open adds a channel. The name must be new.
func (t *Local) Open(channel string, in Inbox) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.channels[channel] = &member{name: channel, in: in}
}

// Left is a membership that ended.
type Left struct {
	Group string
	Last  bool // the group has no member in this process any more
}

// Shut removes a channel and its memberships, and returns what they were, for backends that keep them elsewhere too.
// ok is false when there is no such channel.
func (t *Local) Shut(channel string) (left []Left, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.channels[channel]
	if m == nil {
		return nil, false
	}
	delete(t.channels, channel)
	for len(m.slots) > 0 {
		g := m.slots[len(m.slots)-1].group
		left = append(left, Left{g.name, t.leave(m, len(m.slots)-1)})
	}
	return left, true
}

// Deliver hands m to one channel. It returns [ErrNoChannel] when there is none, else what the inbox says.
func (t *Local) Deliver(channel string, m *Message) error {
	t.mu.RLock()
	mb := t.channels[channel]
	t.mu.RUnlock()
	if mb == nil {
		return ErrNoChannel
	}
	if err := mb.in.Deliver(m); err != nil {
		return err
	}
	t.host.Delivered(1)
	return nil
}

// DeliverGroup hands m to every member that the group has here, in no particular order, and reports those that do
// not take it.
func (t *Local) DeliverGroup(name string, m *Message) {
	t.mu.RLock()
	g := t.groups[name]
	if g == nil {
		t.mu.RUnlock()
		return
	}
	buf := t.scratch.Get().(*[]*member)
	*buf = append(*buf, g.members...)
	t.mu.RUnlock()
	t.host.GroupDelivered(t.deliver(buf, name, m))
}

// DeliverTo hands m to those of the channels that there are, members of a group whose list is kept elsewhere, and reports those
// that do not take it. The group is "" where it is not known.
func (t *Local) DeliverTo(group string, channels []string, m *Message) {
	buf := t.scratch.Get().(*[]*member)
	t.mu.RLock()
	for _, channel := range channels {
		if mb := t.channels[channel]; mb != nil {
			*buf = append(*buf, mb)
		}
	}
	t.mu.RUnlock()
	t.host.GroupDelivered(t.deliver(buf, group, m))
}

// DeliverAll hands m to every channel of the process: for [Host.Outage].
func (t *Local) DeliverAll(m *Message) {
	buf := t.scratch.Get().(*[]*member)
	t.mu.RLock()
	for _, mb := range t.channels {
		*buf = append(*buf, mb)
	}
	t.mu.RUnlock()
	t.deliver(buf, "", m)
}

// deliver hands m to the members in buf, and gives buf back. No lock is held.
func (t *Local) deliver(buf *[]*member, group string, m *Message) (taken int) {
	for _, mb := range *buf {
		switch err := mb.in.Deliver(m); {
		case err == nil:
			taken++
		case !errors.Is(err, ErrNoChannel): // one that is ending is no loss
			t.host.Dropped(mb.name, group, m, err)
		}
	}
	clear(*buf) // an ended member must not live on in the pool
	*buf = (*buf)[:0]
	t.scratch.Put(buf)
	return taken
}

// Flush ends all memberships and empties the inboxes that can be emptied. Channels stay open.
func (t *Local) Flush() {
	t.mu.Lock()
	t.groups = make(map[string]*group)
	inboxes := make([]Inbox, 0, len(t.channels))
	for _, mb := range t.channels {
		mb.slots, mb.index = nil, nil
		inboxes = append(inboxes, mb.in)
	}
	t.mu.Unlock()
	for _, in := range inboxes {
		if f, ok := in.(interface{ Flush() }); ok {
			f.Flush()
		}
	}
}
