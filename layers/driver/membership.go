package driver

import "iter"

// Join makes a channel of this process a member of group. first says that the group had no member here before, for
// backends that subscribe then. Joining twice is joining once. It returns [ErrNoChannel] when there is no such
// channel here.
//
// A join costs the same however many members the group has, and a membership 28 bytes.
func (t *Local) Join(name, channel string) (first bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.channels[channel]
	if m == nil {
		return false, ErrNoChannel
	}
	g := t.groups[name]
	if g == nil {
		g = &group{name: name}
		t.groups[name] = g
		first = true
	} else if m.find(g) >= 0 {
		return false, nil
	}
	m.slots = append(m.slots, slot{group: g, pos: uint32(len(g.members))})
	at := uint32(len(m.slots) - 1)
	g.members = append(g.members, m)
	g.back = append(g.back, at)
	m.indexed(g, at)
	return first, nil
}

// Leave ends a membership. last says that the group has no member here any more. A stranger's is no error.
func (t *Local) Leave(name, channel string) (last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, m := t.groups[name], t.channels[channel]
	if g == nil || m == nil {
		return false
	}
	at := m.find(g)
	if at < 0 {
		return false
	}
	return t.leave(m, at)
}

// Members is the number of channels of this process in a group.
func (t *Local) Members(name string) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if g := t.groups[name]; g != nil {
		return len(g.members)
	}
	return 0
}

// Memberships lists channels of this process and a group that each is in, as they are at the call: for backends that
// renew them elsewhere.
func (t *Local) Memberships() iter.Seq2[string, string] {
	type pair struct{ channel, group string }
	var all []pair
	t.mu.RLock()
	for _, g := range t.groups {
		for _, m := range g.members {
			all = append(all, pair{m.name, g.name})
		}
	}
	t.mu.RUnlock()
	return func(yield func(channel, group string) bool) {
		for _, p := range all {
			if !yield(p.channel, p.group) {
				return
			}
		}
	}
}

// find is the place of g in m.slots, or -1.
func (m *member) find(g *group) int {
	if m.index != nil {
		if at, ok := m.index[g]; ok {
			return int(at)
		}
		return -1
	}
	for i := range m.slots {
		if m.slots[i].group == g {
			return i
		}
	}
	return -1
}

// indexed notes that g is now at m.slots[at], and begins the index when there are many.
func (m *member) indexed(g *group, at uint32) {
	if m.index != nil {
		m.index[g] = at
		return
	}
	if len(m.slots) > fewSlots {
		m.index = make(map[*group]uint32, 2*fewSlots)
		for i, s := range m.slots {
			m.index[s.group] = uint32(i)
		}
	}
}

// leave ends the membership m.slots[at]: the last of each list takes the free place, and is told of it.
func (t *Local) leave(m *member, at int) (last bool) {
	g, pos := m.slots[at].group, m.slots[at].pos

	end := len(g.members) - 1
	moved := g.members[end]
	g.members[pos], g.back[pos] = moved, g.back[end]
	moved.slots[g.back[pos]].pos = pos
	g.members[end] = nil
	g.members, g.back = trim(g.members[:end]), trim(g.back[:end])

	tail := len(m.slots) - 1
	if at != tail {
		s := m.slots[tail]
		m.slots[at] = s
		s.group.back[s.pos] = uint32(at)
		if m.index != nil {
			m.index[s.group] = uint32(at)
		}
	}
	m.slots[tail] = slot{}
	m.slots = trim(m.slots[:tail])
	delete(m.index, g)
	if len(m.slots) == 0 {
		m.index = nil
	}

	if end > 0 {
		return false
	}
	delete(t.groups, g.name)
	return true
}

// trim gives memory back when three quarters of a list are unused.
func trim[E any](s []E) []E {
	if len(s) == 0 {
		return nil
	}
	if cap(s) >= 32 && len(s) <= cap(s)/4 {
		return append(make([]E, 0, 2*len(s)), s...)
	}
	return s
}
