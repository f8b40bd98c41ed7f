package memlayer

import "github.com/tideway-go/tideway/layers/driver"

// join makes a queue a member of a group, held by n.
func (q *queues) join(n *node, group, name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.groups == nil {
		q.groups = make(map[string]map[string]holders)
	}
	if q.groups[group] == nil {
		q.groups[group] = make(map[string]holders)
	}
	if q.groups[group][name] == nil {
		q.groups[group][name] = make(holders)
		q.joined.Add(1)
	}
	q.groups[group][name][n] = struct{}{}
}

// leave ends a queue's membership, whoever holds it.
func (q *queues) leave(group, name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(group, name)
}

func (q *queues) remove(group, name string) {
	members := q.groups[group]
	if members[name] == nil {
		return
	}
	q.joined.Add(-1)
	delete(members, name)
	if len(members) == 0 {
		delete(q.groups, group)
	}
}

// release ends what a process holds.
func (q *queues) release(n *node) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for group, members := range q.groups {
		for name, held := range members {
			delete(held, n)
			if len(held) == 0 {
				q.remove(group, name)
			}
		}
	}
}

// putGroup stores m in the queues that are members of a group. A full one is skipped. Those that are durable have a lock
// of their own.
func (q *queues) putGroup(n *node, group string, m *driver.Message) {
	if q.joined.Load() == 0 {
		return
	}
	var full, durable []string
	var gone []dropped
	q.mu.Lock()
	taken := 0
	for name := range q.groups[group] {
		if _, ok := n.limits.Durable(name); ok {
			durable = append(durable, name)
		} else if err := q.putLocked(n, name, m, &gone); err != nil {
			full = append(full, name)
		} else {
			taken++
		}
	}
	q.mu.Unlock()
	n.report(gone)
	for _, name := range durable {
		limits, _ := n.limits.Durable(name)
		if err := n.bus.jobs.store(n, name, m, limits); err != nil {
			full = append(full, name)
		} else {
			taken++
		}
	}
	for _, name := range full {
		n.host.Dropped(name, group, m, driver.ErrFull)
	}
	if taken > 0 {
		n.host.GroupDelivered(taken)
	}
}
