package natslayer

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// lingerTime is how long a group stays subscribed after its last member here has left: rooms that people enter and leave all
// the time, or reload, are not subscribed anew at every turn.
const lingerTime = 5 * time.Second

// idleTable is the groups that lost their last member here, and when. Whoever ends a membership only writes it down here,
// which needs no broker.
type idleTable struct {
	mu    sync.Mutex
	since map[string]time.Time
	every bool
	wake  chan struct{}
}

func (t *idleTable) add(groups ...string) {
	now := time.Now()
	t.mu.Lock()
	if t.since == nil {
		t.since = make(map[string]time.Time)
	}
	for _, g := range groups {
		t.since[g] = now
	}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// all asks for a look at every group: memberships ended without anybody's telling which.
func (t *idleTable) all() {
	t.mu.Lock()
	t.every = true
	t.mu.Unlock()
	t.add()
}

// due takes the groups whose time has come. every says that any group may be idle, more that some are left for later.
func (t *idleTable) due(now time.Time, after time.Duration) (groups []string, every, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for g, since := range t.since {
		if now.Sub(since) >= after {
			groups = append(groups, g)
			delete(t.since, g)
		}
	}
	if len(t.since) == 0 {
		t.since = nil // a map never shrinks
	}
	every, t.every = t.every, false
	return groups, every, t.since != nil
}

// tidy unsubscribes groups whose time has come. It ends with life; Close waits for it.
func (n *node) tidy(after time.Duration) {
	defer n.running.Done()
	for {
		select {
		case <-n.life.Done():
			return
		case <-n.idle.wake:
		}
		for wait := after; wait > 0; {
			select {
			case <-n.life.Done():
				return
			case <-time.After(wait):
			}
			if wait = 0; n.unsubscribeIdle(after) {
				wait = after / 4
			}
		}
	}
}

func (n *node) unsubscribeIdle(after time.Duration) (more bool) {
	groups, every, more := n.idle.due(time.Now(), after)
	if every {
		groups = n.groups.names()
	}
	for _, g := range groups {
		n.unsubscribe(g)
	}
	return more
}

func (t *groupTable) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.byName))
}

// unsubscribe ends a group's subscription unless it has a member again, or somebody is joining. The next one begins
// after it has ended, under one lock: two at once would deliver twice.
func (n *node) unsubscribe(group string) {
	t := &n.groups
	t.mu.Lock()
	g := t.byName[group]
	if g == nil || g.joining > 0 || n.local.Members(group) > 0 {
		t.mu.Unlock()
		return
	}
	dropped := g.missed(group, nil) // cannot be asked for later
	_ = g.sub.Unsubscribe()         // fails only when the connection is closed, and the subscription with it
	delete(t.byName, group)
	t.mu.Unlock()
	n.tell(dropped)
}
