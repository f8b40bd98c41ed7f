package layertest

import "fmt"

// A rule is one promise of package layers and the checks that hold it.
type rule struct {
	number  int
	promise string
	checks  []check
}

// A check is one observable consequence of a promise. Its name is a sentence and the name of its subtest.
type check struct {
	name    string
	cluster bool // it needs several instances; else it runs with one and with three
	clock   bool // it waits for the clock, so in real time it runs beside others of its promise
	run     func(*trial)
}

// rules are all the promises, in order.
var rules = []rule{
	names, ownership, order, atMostOnce, capacity, expiry, snapshot, joining, forgiveness, membership,
	queues, absence, size, promptness, outage, closing, payload, jobs,
}

func (r *rule) name() string { return fmt.Sprintf("L%d", r.number) }

// broken begins every failure: the promise in its own words.
func (r *rule) broken() string { return fmt.Sprintf("L%d broken: %s", r.number, r.promise) }

// layouts are the numbers of instances that the check runs with.
func (c check) layouts() []int {
	if c.cluster {
		return []int{3}
	}
	return []int{1, 3}
}
