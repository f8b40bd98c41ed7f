package memlayer

// QueueNames is the number of queues of which the bus keeps anything.
func (b *Bus) QueueNames() int {
	b.queues.mu.Lock()
	defer b.queues.mu.Unlock()
	if len(b.queues.due) > len(b.queues.byName) {
		panic("a forgotten queue is in the heap")
	}
	return len(b.queues.byName)
}

// Jobs is the number of durable queues of which the bus keeps anything, of their jobs, and of the timers that run.
func (b *Bus) Jobs() (queues, jobs, timers int) {
	s := &b.jobs
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.byName {
		jobs += len(q.fresh) + len(q.delayed)
		if q.wake != nil {
			timers++
		}
	}
	return len(s.byName), jobs, timers
}
