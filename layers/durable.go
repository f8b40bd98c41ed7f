package layers

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// Durable declares durable queues: channels without "!" whose messages, jobs, are kept until a worker says that they are
// done, at least once. A job whose worker dies is given to another, so a handler may run twice and must bear it.
//
//	layers.Options{Durables: []layers.Durable{{Queues: "thumbnails"}}}
//
// For each queue there is another named after it with ".dead" at the end ([DeadLetters]): it gets the jobs that failed too
// often, and is durable itself.
type Durable struct {
	// Queues is a pattern of names, as in [Glob]. Required.
	Queues string

	// Capacity is how many jobs of one queue wait or are held; default 10,000. A Send above it is [ErrChannelFull]: the
	// sender is told to slow down.
	Capacity int

	// MaxAge is how long a job may exist; default 7 days. Older ones are dropped.
	MaxAge time.Duration

	// Lease is how long after the death of its worker a job is given to another; default 30 s. Workers renew it while a
	// handler runs. Shorter notices a death sooner, and takes a worker that stood still for so long for dead.
	Lease time.Duration

	match *regexp.Regexp
}

// Defaults of [Durable].
const (
	DefaultJobCapacity = 10_000
	DefaultJobMaxAge   = 7 * 24 * time.Hour
	DefaultLease       = 30 * time.Second
)

// deadSuffix ends the names of queues of dead letters.
const deadSuffix = ".dead"

// DeadLetters is the name of the queue that gets the jobs of queue that failed too often. Run a worker on it to repair
// them, or Receive from it to look at them.
func DeadLetters(queue string) string { return queue + deadSuffix }

// withDefaults returns a declaration with its defaults filled in. It panics on what cannot work.
func (d Durable) withDefaults(i int) Durable {
	field := func(name string) string { return fmt.Sprintf("Durables[%d].%s", i, name) }
	if d.Queues == "" {
		panic(fmt.Sprintf("layers: Options.%s is empty: give a name or a pattern such as \"jobs.*\"", field("Queues")))
	}
	mustNotBeNegative(field("Capacity"), int64(d.Capacity), "jobs; 0 means 10,000")
	mustNotBeNegative(field("MaxAge"), int64(d.MaxAge), "nanoseconds; 0 means 7 days")
	mustNotBeNegative(field("Lease"), int64(d.Lease), "nanoseconds; 0 means 30 s")
	if d.Capacity == 0 {
		d.Capacity = DefaultJobCapacity
	}
	if d.MaxAge == 0 {
		d.MaxAge = DefaultJobMaxAge
	}
	if d.Lease == 0 {
		d.Lease = DefaultLease
	}
	d.match = globRegexp(d.Queues)
	return d
}

// durable finds the declaration of a queue, or of the queue whose dead letters it holds.
func (o *Options) durable(queue string) (driver.Durable, bool) {
	if !isQueue(queue) {
		return driver.Durable{}, false
	}
	queue = strings.TrimSuffix(queue, deadSuffix)
	for _, d := range o.Durables {
		if d.match.MatchString(queue) {
			return driver.Durable{Capacity: d.Capacity, MaxAge: d.MaxAge, Lease: d.Lease}, true
		}
	}
	return driver.Durable{}, false
}
