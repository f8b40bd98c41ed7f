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
