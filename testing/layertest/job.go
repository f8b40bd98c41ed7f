package layertest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// A job is what the checks use of a *layers.Job.
type job interface {
	Message() layers.Message
	Attempt() int
	Done(ctx context.Context) error
	Retry(ctx context.Context, after time.Duration) error
	Bury(ctx context.Context, reason string) error
	Extend(ctx context.Context) error
}

// layerNode is a layer as it is.
type layerNode struct{ *layers.Layer }

// Take returns an interface, which this package's own tests can wrap.
func (l layerNode) Take(ctx context.Context, queue string) (job, error) {
	j, err := l.Layer.Take(ctx, queue)
	if err != nil {
		return nil, err
	}
	return j, nil
}

var jobs = rule{
	number: 18,
	promise: "A durable queue gives each job to one worker at a time until that says that it is done: again after its " +
		"Lease when the worker dies, after the time that Retry names, never after Done. A job outlives Expiry, up to its " +
		"MaxAge; Bury moves it to the dead letters, at no moment in neither",
	checks: []check{
		{name: "jobs come one after the other, and none after Done", run: jobsInOrder},
		{name: "of several workers each job reaches one", run: jobsShared},
		{name: "a job that is done never comes again", clock: true, run: func(t *trial) { t.timed(t.doneForGood) }},
		{name: "a job whose holder is silent goes to another after its Lease, not before", clock: true,
			run: func(t *trial) { t.timed(t.leaseEnds) }},
		{name: "Extend keeps a job for longer than its Lease", clock: true, run: func(t *trial) { t.timed(t.extended) }},
		{name: "the jobs of a process that dies go to another", cluster: true, clock: true, run: holderDies},
		{name: "Retry gives a job back when its time has come, not before", clock: true, run: func(t *trial) { t.timed(t.retried) }},
		{name: "every taking is counted as an attempt", run: attemptsCount},
		{name: "a job outlives the expiry of messages and plain queues do not", clock: true, run: func(t *trial) { t.timed(t.outlives) }},
		{name: "a job older than MaxAge is dropped", clock: true, run: func(t *trial) { t.timed(t.tooOld) }},
		{name: "Bury moves a job to the dead letters", run: buried},
		{name: "a job that finds no room among the dead letters is still held", run: buriedFull},
		{name: "a full durable queue is ErrChannelFull until a job is done", run: jobsFull},
		{name: "Receive ends the job that it takes", clock: true, run: func(t *trial) { t.timed(t.receivedOnce) }},
		{name: "a Take whose context ends loses nothing", run: takeCancelled},
		{name: "a Take that waits ends with its context, and with Close", run: takeEnds},
		{name: "a durable queue in a group gets each message", run: jobsOfGroup},
	},
}

// durables declares the queue "work" with a lease that is never waited for, unless changed.
func durables(change func(*layers.Durable)) []layers.Durable {
	d := layers.Durable{Queues: "work", Lease: 2 * patience}
	if change != nil {
		change(&d)
	}
	return []layers.Durable{d}
}

// startJobs starts with durable queues. It reports false for a backend that is excepted from them, after demanding that
// the backend says so too.
func (t *trial) startJobs(opts layers.Options) bool {
	t.tb.Helper()
	t.start(opts)
	if !t.b.Exceptions.NoJobs {
		return true
	}
	_, err := t.node(0).Take(t.ctx(), "work")
	t.mustBe(err, errors.ErrUnsupported, "Take without durable queues")
	_, err = t.node(0).Receive(t.ctx(), "work")
	t.mustBe(err, errors.ErrUnsupported, "Receive from a durable queue without durable queues")
	t.mustBe(t.node(0).Send(t.ctx(), "work", noteType.With(note{})), errors.ErrUnsupported, "Send to a durable queue without durable queues")
	t.mustBe(t.node(0).GroupAdd(t.ctx(), "room", "work"), errors.ErrUnsupported, "GroupAdd of a durable queue without durable queues")
	return false
}

// take returns the next job of a queue and its number. It has to come.
func (t *trial) take(from node, queue, what string) (job, int) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	j, n, err := takeOne(ctx, from, queue)
	t.must(err, "%s: taking from %q", what, queue)
	return j, n
}

// takeOne takes one job.
func takeOne(ctx context.Context, from node, queue string) (job, int, error) {
	j, err := from.Take(ctx, queue)
	if err != nil {
		return nil, 0, err
	}
	v, err := noteType.Decode(j.Message())
	return j, v.N, err
}

// takeAll takes jobs and ends them until the marker, which it sends from there, has come.
func (t *trial) takeAll(from node, queue string) []int {
	t.tb.Helper()
	t.send(from, queue, marker)
	var got []int
	for {
		j, n := t.take(from, queue, "waiting for a marker")
		t.must(j.Done(t.ctx()), "Done of the last job of %q", queue)
		if n == marker {
			return got
		}
		got = append(got, n)
	}
}

// holds demands that exactly these jobs wait in a queue.
func (t *trial) holds(from node, queue, what string, want ...int) {
	t.tb.Helper()
	if got := t.takeAll(from, queue); !slices.Equal(got, want) {
		t.brokenf("%s: %q holds %v, want %v", what, queue, got, want)
	}
}

func jobsInOrder(t *trial) {
	if !t.startJobs(layers.Options{Durables: durables(nil)}) {
		return
	}
	t.send(t.node(0), "work", until(20)...)
	for want := range 20 {
		j, n := t.take(t.node(want), "work", "20 jobs")
		if n != want+1 {
			t.brokenf("the next of 20 jobs: got %d, want %d", n, want+1)
		}
		t.must(j.Done(t.ctx()), "Done")
		t.must(j.Retry(t.ctx(), 0), "Retry of a job that is done, which does not count")
	}
	t.holds(t.node(0), "work", "the queue, after all is done")
}

// jobsShared has two workers in each instance, waiting before the first job is sent.
func jobsShared(t *trial) {
	const total, workers = 60, 6
	if !t.startJobs(layers.Options{Durables: durables(nil)}) {
		return
	}
	ctx, cancel := context.WithCancel(t.ctx())
	defer cancel()
	got := make(chan int, 2*total)
	ended := make(chan error, workers)
	for i := range workers {
		n := t.node(i)
		go func() { // ends with ctx; waited for below
			for {
				j, k, err := takeOne(ctx, n, "work")
				if err != nil {
					ended <- nil
					return
				}
				got <- k
				if err := j.Done(context.WithoutCancel(ctx)); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	begin()
	for s := range 3 {
		t.send(t.node(s), "work", until(total)[s*total/3:(s+1)*total/3]...)
	}
	var all []int
	for range total {
		select {
		case n := <-got:
			all = append(all, n)
		case <-ctx.Done():
			t.brokenf("six workers got %d of %d jobs within %v", len(all), total, patience)
		}
	}
	cancel()
	for range workers {
		t.must(<-ended, "Done")
	}
	close(got)
	for n := range got {
		all = append(all, n)
	}
	slices.Sort(all)
	if !slices.Equal(all, until(total)) {
		t.brokenf("six workers got %d jobs, want each of %d once: %v", len(all), total, all)
	}
	t.holds(t.node(0), "work", "the queue, after everything is done")
}

func attemptsCount(t *trial) {
	if !t.startJobs(layers.Options{Durables: durables(nil)}) {
		return
	}
	t.send(t.node(0), "work", 1)
	for want := 1; want <= 3; want++ {
		j, _ := t.take(t.node(want), "work", "a job that is given back")
		if got := j.Attempt(); got != want {
			t.brokenf("a job that was taken %d times says that this is attempt %d", want, got)
		}
		t.must(j.Retry(t.ctx(), 0), "Retry")
		t.must(j.Done(t.ctx()), "Done of a job that was given back, which does not count")
	}
	t.holds(t.node(0), "work", "a queue whose job was given back", 1)
}

func buried(t *trial) {
	if !t.startJobs(layers.Options{Durables: durables(nil)}) {
		return
	}
	t.send(t.node(0), "work", 1, 2)
	j, _ := t.take(t.node(1), "work", "the first of two jobs")
	t.must(j.Bury(t.ctx(), "no such picture"), "Bury")
	t.must(j.Retry(t.ctx(), 0), "Retry of a job that was buried, which does not count")
	t.holds(t.node(2), "work", "a queue whose first job was buried", 2)
	dead, n := t.take(t.node(0), layers.DeadLetters("work"), "a job that was buried")
	if n != 1 || dead.Attempt() != 1 {
		t.brokenf("the dead letter: got message %d at attempt %d, want 1 at attempt 1", n, dead.Attempt())
	}
	t.must(dead.Done(t.ctx()), "Done of a dead letter")
	t.holds(t.node(1), layers.DeadLetters("work"), "the dead letters, after the only one is done")
}

func buriedFull(t *trial) {
	one := durables(func(d *layers.Durable) { d.Capacity = 1 })
	if !t.startJobs(layers.Options{Durables: one}) {
		return
	}
	t.send(t.node(0), layers.DeadLetters("work"), 1)
	t.send(t.node(0), "work", 2)
	j, _ := t.take(t.node(1), "work", "a job")
	t.mustBe(j.Bury(t.ctx(), "worn out"), layers.ErrChannelFull, "Bury where the dead letters are full")
	t.must(j.Extend(t.ctx()), "Extend of a job that could not be buried")
	t.must(j.Retry(t.ctx(), 0), "Retry of a job that could not be buried")
	again, n := t.take(t.node(2), "work", "a job that could not be buried")
	if n != 2 || again.Attempt() != 2 {
		t.brokenf("a job that could not be buried and was given back: got %d at attempt %d, want 2 at attempt 2", n, again.Attempt())
	}
	dead, n := t.take(t.node(0), layers.DeadLetters("work"), "the only dead letter")
	if n != 1 {
		t.brokenf("the dead letter: got %d, want 1", n)
	}
	t.must(dead.Done(t.ctx()), "Done of a dead letter")
	t.must(again.Bury(t.ctx(), "worn out"), "Bury where there is room again")
	dead, n = t.take(t.node(0), layers.DeadLetters("work"), "the next dead letter")
	if n != 2 {
		t.brokenf("the dead letter: got %d, want 2", n)
	}
	t.must(dead.Done(t.ctx()), "Done of a dead letter")
	t.holds(t.node(1), "work", "a queue whose job was buried")
}

func jobsFull(t *trial) {
	three := durables(func(d *layers.Durable) { d.Capacity = 3 })
	if !t.startJobs(layers.Options{Durables: three, Capacity: 1}) {
		return
	}
	t.send(t.node(0), "work", 1, 2, 3)
	full := func(what string) {
		t.tb.Helper()
		for from := range 3 {
			err := t.node(from).Send(t.ctx(), "work", noteType.With(note{N: 100}))
			t.mustBe(err, layers.ErrChannelFull, "a fourth job to a queue of 3, %s", what)
		}
	}
	full("while all wait")
	j, _ := t.take(t.node(1), "work", "one of three jobs")
	full("while one is held")
	t.must(j.Done(t.ctx()), "Done")
	t.send(t.node(2), "work", 4)
	full("after one was done and another was sent")
	for _, want := range []int{2, 3, 4} {
		j, n := t.take(t.node(0), "work", "what a queue of 3 holds")
		if n != want {
			t.brokenf("a queue of 3: got job %d, want %d", n, want)
		}
		t.must(j.Done(t.ctx()), "Done")
	}
	t.holds(t.node(1), "work", "a queue of 3, after all is done")
}

func takeCancelled(t *trial) {
	if !t.startJobs(layers.Options{Durables: durables(nil)}) {
		return
	}
	for n := 1; n <= 20; n++ {
		ctx, cancel := context.WithCancel(context.Background())
		type taken struct {
			job job
			n   int
			err error
		}
		waits := make(chan taken, 1)
		from := t.node(n)
		go func() { // ends with ctx; waited for below
			j, n, err := takeOne(ctx, from, "work")
			waits <- taken{j, n, err}
		}()
		if n%2 == 0 {
			begin()
		}
		stopped := make(chan struct{})
		go func() { cancel(); close(stopped) }() // beside the send; waited for below
		t.send(t.node(0), "work", n)
		<-stopped
		got := <-waits
		if got.err != nil {
			t.mustBe(got.err, context.Canceled, "Take after its context ended")
			got.job, got.n = t.take(t.node(1), "work", "a job that was sent while a Take was cancelled")
		}
		if got.n != n {
			t.brokenf("the job beside which a Take was cancelled: got %d, want %d", got.n, n)
		}
		t.must(got.job.Done(t.ctx()), "Done")
	}
	t.holds(t.node(0), "work", "the queue, after 20 Takes were cancelled")
}

func takeEnds(t *trial) {
	if !t.startJobs(layers.Options{Durables: durables(nil)}) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, end := range []struct {
		by   func() error
		want error
	}{
		{func() error { cancel(); return nil }, context.Canceled},
		{func() error { return t.node(0).Close(t.ctx()) }, layers.ErrClosed},
	} {
		waits := make(chan error, 1)
		go func() { // waited for below
			_, err := t.node(0).Take(ctx, "work")
			waits <- err
		}()
		begin()
		t.must(end.by(), "ending a Take")
		err := t.returns(func() error { return <-waits }, "a Take that was to end with %q", end.want)
		t.mustBe(err, end.want, "a Take that was to end")
		ctx = context.Background()
	}
}

func jobsOfGroup(t *trial) {
	two := durables(func(d *layers.Durable) { d.Capacity = 2 })
	if !t.startJobs(layers.Options{Durables: two}) {
		return
	}
	q, m := t.queue(1, "work"), t.mailbox(2)
	t.join("crew", q, m)
	t.must(t.node(0).GroupAdd(t.ctx(), "crew", "work"), "GroupAdd of a durable queue by a second instance")
	t.groupSend(t.node(0), "crew", 1, 2, 3)
	m.exactly(t.node(0), "a mailbox beside a durable queue in a group", 1, 2, 3)
	t.eventually(func() bool { return t.drops.full("work") == 1 }, "one of three group messages to a durable queue of 2 is counted")
	for want := 1; want <= 2; want++ {
		j, n := t.take(t.node(1), "work", "a group's message in a durable queue")
		if n != want {
			t.brokenf("a durable queue in a group: got %d, want %d", n, want)
		}
		t.must(j.Done(t.ctx()), "Done")
	}
	t.holds(t.node(1), "work", "a durable queue in a group, after its messages")
}
