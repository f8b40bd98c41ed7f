package layertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// What a durable queue does in time. The attempts of timed vary the lease, or what else is waited for.

// shortLease declares the queue "work" with a lease that is waited for.
func shortLease(lease time.Duration) []layers.Durable {
	return durables(func(d *layers.Durable) { d.Lease = lease })
}

// nothing demands that no job waits in "work", as an error for attempts that may be made again.
func (t *trial) nothing(what string) error {
	t.tb.Helper()
	if got := t.takeAll(t.node(0), "work"); len(got) > 0 {
		return fmt.Errorf("%s: the queue holds %v, want nothing", what, got)
	}
	return nil
}

// comes takes a job that is due after a time, and judges when it came; since is when the time began at the earliest. A
// machine that stands still lets it come late, never early.
func (t *trial) comes(from node, since time.Time, after time.Duration, what string, want int) (job, error) {
	t.tb.Helper()
	j, n := t.take(from, "work", what)
	switch came := time.Since(since); {
	case n != want:
		return j, fmt.Errorf("%s: got job %d, want %d", what, n, want)
	case came < after*9/10:
		t.brokenf("%s: job %d came after %v, want %v", what, n, came, after)
	case came > after*3/2:
		return j, fmt.Errorf("%s: job %d came after %v, want %v", what, n, came, after)
	}
	return j, nil
}

func (t *trial) doneForGood(lease time.Duration) error {
	if !t.startJobs(layers.Options{Durables: shortLease(lease)}) {
		return nil
	}
	t.send(t.node(0), "work", until(5)...)
	for range 5 {
		j, _ := t.take(t.node(1), "work", "five jobs")
		t.must(j.Done(t.ctx()), "Done")
	}
	pause(lease + slack(lease))
	return t.nothing("a Lease after five jobs were done")
}

func (t *trial) leaseEnds(lease time.Duration) error {
	if !t.startJobs(layers.Options{Durables: shortLease(lease)}) {
		return nil
	}
	t.send(t.node(0), "work", 1)
	since := time.Now()
	first, _ := t.take(t.node(1), "work", "a job that is never ended")
	second, err := t.comes(t.node(2), since, lease, "a job whose holder is silent", 1)
	if err != nil {
		return err
	}
	if second.Attempt() != 2 {
		t.brokenf("a job whose first holder was silent says that this is attempt %d", second.Attempt())
	}
	// The first was slow, not dead. Its work is done, so nobody shall do it a third time.
	t.must(first.Done(t.ctx()), "Done of a hold that has run out")
	pause(lease + slack(lease))
	return t.nothing("a Lease after a slow holder said Done")
}

func (t *trial) extended(lease time.Duration) error {
	if !t.startJobs(layers.Options{Durables: shortLease(lease)}) {
		return nil
	}
	t.send(t.node(0), "work", 1)
	j, _ := t.take(t.node(1), "work", "a job that is extended")
	var since time.Time
	for range 6 { // two leases
		pause(lease / 3)
		since = time.Now()
		if err := j.Extend(t.ctx()); err != nil {
			return fmt.Errorf("extending a job in time: %w", err)
		}
	}
	if err := t.nothing("two Leases after a job was taken that was extended"); err != nil {
		return err
	}
	again, err := t.comes(t.node(2), since, lease, "a job that is extended no more", 1)
	if err != nil {
		return err
	}
	t.must(again.Done(t.ctx()), "Done")
	return nil
}

// holderDies needs no attempts: it judges only that the job comes, and from whom.
func holderDies(t *trial) {
	const lease = 2 * time.Second
	if !t.startJobs(layers.Options{Durables: shortLease(lease)}) {
		return
	}
	t.send(t.node(0), "work", 1, 2, 3)
	for range 2 {
		t.take(t.node(1), "work", "a job of the process that dies")
	}
	t.b.Crash(t.tb, t.layer(1))
	var got []int
	for range 3 {
		j, n := t.take(t.node(2), "work", fmt.Sprintf("the jobs of a process that died, and one more: got %v", got))
		t.must(j.Done(t.ctx()), "Done")
		got = append(got, n)
	}
	if slices.Sort(got); !slices.Equal(got, until(3)) {
		t.brokenf("after the process with two of three jobs died: got %v, want each once", got)
	}
	t.holds(t.node(0), "work", "the queue, after the other process has done everything")
}

func (t *trial) retried(after time.Duration) error {
	if !t.startJobs(layers.Options{Durables: durables(nil), Expiry: after / 3}) {
		return nil
	}
	t.send(t.node(0), "work", 1)
	j, _ := t.take(t.node(1), "work", "a job that is to be tried later")
	since := time.Now()
	t.must(j.Retry(t.ctx(), after), "Retry")
	if err := t.nothing("a job that is to be tried later"); err != nil {
		t.brokenf("%v", errors.Join(err, fmt.Errorf("want it %v after Retry", after)))
	}
	again, err := t.comes(t.node(2), since, after, "a job that was to be tried later, longer than Expiry", 1)
	if err != nil {
		return err
	}
	t.must(again.Done(t.ctx()), "Done")
	return nil
}

func (t *trial) outlives(expiry time.Duration) error {
	if !t.startJobs(layers.Options{Durables: durables(nil), Expiry: expiry}) {
		return nil
	}
	t.send(t.node(0), "work", 1)
	t.send(t.node(0), layers.DeadLetters("work"), 2)
	pause(expiry + slack(expiry))
	t.holds(t.node(1), "work", "a durable queue after Expiry", 1)
	t.holds(t.node(1), layers.DeadLetters("work"), "dead letters after Expiry", 2)
	return nil
}

func (t *trial) tooOld(age time.Duration) error {
	young := durables(func(d *layers.Durable) { d.MaxAge = age })
	if !t.startJobs(layers.Options{Durables: young}) {
		return nil
	}
	t.send(t.node(0), "work", 1)
	pause(age * 2 / 3)
	t.send(t.node(0), "work", 2)
	pause(age/3 + slack(age))
	if got := t.takeAll(t.node(1), "work"); !slices.Equal(got, []int{2}) {
		return fmt.Errorf("of jobs sent at 0 and 2/3 of MaxAge a little later than that: got %v, want [2]", got)
	}
	return nil
}

func (t *trial) receivedOnce(lease time.Duration) error {
	if !t.startJobs(layers.Options{Durables: shortLease(lease)}) {
		return nil
	}
	t.send(t.node(0), "work", 1, 2)
	for want := 1; want <= 2; want++ {
		if n := t.queue(want, "work").receive("a job"); n != want {
			t.brokenf("Receive from a durable queue: got %d, want %d", n, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := t.node(0).Receive(ctx, "work")
	t.mustBe(err, context.Canceled, "Receive from a durable queue with a context that has ended")
	pause(lease + slack(lease))
	return t.nothing("a Lease after Receive")
}
