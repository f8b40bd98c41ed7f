package layers

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// Durable declares durable queues: channels without "!" whose messages, jobs, are kept until a worker says that they are
// done (L18). A job whose worker dies is given to another, so its handler may run twice and must bear it.
//
//	opts := &layers.Options{Durables: []layers.Durable{{Queues: "thumbnails"}}}
//
// Senders send as to any channel. consumers.Worker serves a queue that its layer declares durable at least once, without
// further ado; other code takes jobs with [Layer.Take]. Senders and workers must declare alike: a process that does not
// declare a queue sends to, and waits at, a plain queue of the same name.
//
// For each queue there is another, named after it with ".dead" at the end ([DeadLetters]), which gets the jobs that failed
// too often. It is durable with the same settings and needs no declaration. So that there is room for its name, that of a
// durable queue has at most 94 bytes.
type Durable struct {
	// Queues is a pattern of names, as in [Glob]. Required.
	Queues string

	// Capacity is how many jobs of one queue wait or are held; default 10,000. A Send above it is [ErrChannelFull]: the
	// sender is told to slow down. Options.Capacity and Options.Capacities do not concern durable queues.
	Capacity int

	// MaxAge is how long a job may exist; default 7 days. Older ones are dropped. Options.Expiry does not concern jobs.
	MaxAge time.Duration

	// Lease is how long after the death of its worker a job is given to another; default 30 s. Workers renew it while a
	// handler runs. Shorter notices a death sooner, and takes a worker that stood still for so long for dead. At least 100 ms.
	Lease time.Duration

	match *regexp.Regexp
}

// Defaults of [Durable].
const (
	DefaultJobCapacity = 10_000
	DefaultJobMaxAge   = 7 * 24 * time.Hour
	DefaultLease       = 30 * time.Second
)

// minLease leaves workers the time to renew a lease over a network. A shorter one is a number without its unit.
const minLease = 100 * time.Millisecond

// deadSuffix ends the names of queues of dead letters.
const deadSuffix = ".dead"

// DeadLetters is the name of the queue that gets the jobs of queue that failed too often. Run a worker on it to repair
// them, or Receive from it to look at them. A queue of dead letters has no other: DeadLetters of its name is that name.
func DeadLetters(queue string) string {
	if isDead(queue) {
		return queue
	}
	return queue + deadSuffix
}

func isDead(queue string) bool { return strings.HasSuffix(queue, deadSuffix) }

// withDefaults returns a declaration with its defaults filled in. It panics on what cannot work.
func (d Durable) withDefaults(i int) Durable {
	field := func(name string) string { return fmt.Sprintf("Durables[%d].%s", i, name) }
	if d.Queues == "" {
		panic(fmt.Sprintf("layers: Options.%s is empty: give a name or a pattern such as \"jobs.*\"", field("Queues")))
	}
	mustNotBeNegative(field("Capacity"), int64(d.Capacity), "jobs; 0 means 10,000")
	mustHaveUnit(field("MaxAge"), d.MaxAge, "7 days")
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
	if d.Lease < minLease {
		panic(fmt.Sprintf("layers: Options.%s is %v: give at least %v, such as 30*time.Second; workers renew it in time", field("Lease"), d.Lease, minLease))
	}
	d.match = globRegexp(d.Queues)
	return d
}

// Durable returns what Options.Durables declare for a queue, with the defaults filled in; false if the queue is not durable,
// and for a nil layer. A queue of dead letters is like the queue whose they are.
func (l *Layer) Durable(queue string) (Durable, bool) {
	if l == nil {
		return Durable{}, false
	}
	return l.opts.durable(queue)
}

// durable finds the declaration of a queue, or of the queue whose dead letters it holds.
func (o *Options) durable(queue string) (Durable, bool) {
	if len(o.Durables) == 0 || !isQueue(queue) {
		return Durable{}, false
	}
	from := strings.TrimSuffix(queue, deadSuffix)
	for _, d := range o.Durables {
		if d.match.MatchString(from) || d.match.MatchString(queue) {
			return d, true
		}
	}
	return Durable{}, false
}

// limits are a declaration as a driver needs it.
func (o *Options) limits(queue string) (driver.Durable, bool) {
	d, ok := o.durable(queue)
	return driver.Durable{Capacity: d.Capacity, MaxAge: d.MaxAge, Lease: d.Lease}, ok
}

// checkDurable holds what concerns a channel only if it is a durable queue: the backend has them, and the name leaves room
// for that of its dead letters.
func (l *Layer) checkDurable(channel string) error {
	if _, ok := l.opts.durable(channel); !ok {
		return nil
	}
	if len(DeadLetters(channel)) > MaxNameLength {
		return invalidName(channel, durableRule)
	}
	_, err := l.jobs()
	return err
}

var durableRule = fmt.Sprintf("the name of a durable queue has at most %d bytes, so that that of its dead letters, with %q at its end, has no more than %d",
	MaxNameLength-len(deadSuffix), deadSuffix, MaxNameLength)
