package layers

import (
	"fmt"
	"time"
)

// Defaults of [Options].
const (
	DefaultCapacity       = 100
	DefaultExpiry         = 60 * time.Second
	DefaultMaxMessageSize = 2 << 20
)

// Options are a layer's settings. Nil and the zero value are ready. All layers of one deployment should have the same:
// the process that holds a mailbox applies its own capacity and expiry, the sender its own size limit.
type Options struct {
	// Capacity is how many unread messages a channel holds; default 100. More hides a slow reader for longer and
	// costs memory for each; beside it, a channel never holds more than 2 MiB.
	Capacity int

	// Capacities override Capacity by channel name; the first pattern that matches the full name counts.
	Capacities []Capacity

	// Durables declare the queues whose messages are kept until a worker says that they are done, by name; the first
	// pattern that matches counts. Senders and workers must declare alike.
	Durables []Durable

	// Expiry is how long a message may wait unread; default 60 s. Longer lets a stuck reader come back to old news.
	Expiry time.Duration

	// MaxMessageSize bounds one encoded message; default 2 MiB. Every backend passes 1,000,000 bytes; a larger
	// limit must be within what the broker takes.
	MaxMessageSize int

	// Propagator lets traces cross the layer; default none, and messages carry nothing but themselves. It adds about 70
	// bytes to each message that is sent with a sampled trace in its ctx.
	Propagator Propagator

	// OnDrop is told of every message that is dropped: by a full member of a group, by expiry, by a consumer. It is
	// called without locks, from any goroutine, often by a sender that waits for it: count or hand on, no more.
	OnDrop func(Drop)
}

// withDefaults returns a copy with defaults filled in. It panics on what cannot work.
func (o *Options) withDefaults() Options {
	var r Options
	if o != nil {
		r = *o
	}
	mustNotBeNegative("Capacity", int64(r.Capacity), "messages; 0 means 100")
	mustHaveUnit("Expiry", r.Expiry, "60 s")
	mustNotBeNegative("MaxMessageSize", int64(r.MaxMessageSize), "bytes; 0 means 2 MiB")
	if r.Capacity == 0 {
		r.Capacity = DefaultCapacity
	}
	if r.Expiry == 0 {
		r.Expiry = DefaultExpiry
	}
	if r.MaxMessageSize == 0 {
		r.MaxMessageSize = DefaultMaxMessageSize
	}
	durables := make([]Durable, len(r.Durables))
	for i, d := range r.Durables {
		durables[i] = d.withDefaults(i)
	}
	r.Durables = durables
	r.Capacities = append([]Capacity(nil), r.Capacities...)
	for i, c := range r.Capacities {
		if c.match == nil {
			panic(fmt.Sprintf("layers: Options.Capacities[%d] is empty: make it with layers.Glob or layers.Regexp", i))
		}
	}
	return r
}

// mustHaveUnit panics on a duration that is negative, or can only be a number without its unit.
func mustHaveUnit(field string, d time.Duration, standard string) {
	mustNotBeNegative(field, int64(d), "nanoseconds; 0 means "+standard)
	if d > 0 && d < time.Millisecond {
		panic(fmt.Sprintf("layers: Options.%s is %v: did you mean %d*time.Second?", field, d, int64(d)))
	}
}

func mustNotBeNegative(field string, n int64, unit string) {
	if n < 0 {
		panic(fmt.Sprintf("layers: Options.%s is %d: it must not be negative (%s)", field, n, unit))
	}
}
