package layers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// ledger is a driver with durable queues, whose job remembers what was called.
type ledger struct {
	started
	take  error
	job   error // what its methods return
	calls []string
	dead  string
	after time.Duration
}

func (d *ledger) Take(ctx context.Context, _ string) (driver.Job, error) {
	if d.take != nil {
		return nil, d.take
	}
	return d, nil
}

func (d *ledger) Lacks(_ context.Context, f driver.Feature) error {
	if f == driver.FeatureJobs {
		return d.lacks
	}
	return nil
}

func (d *ledger) call(name string) error {
	d.calls = append(d.calls, name)
	return d.job
}

func (d *ledger) Message() *driver.Message {
	return driver.NewMessage("x", []byte("\x81\xa4type\xa1x"))
}
func (d *ledger) Attempt() int                 { return 7 }
func (d *ledger) Done(context.Context) error   { return d.call("done") }
func (d *ledger) Extend(context.Context) error { return d.call("extend") }
func (d *ledger) Retry(_ context.Context, after time.Duration) error {
	d.after = after
	return d.call("retry")
}
func (d *ledger) Bury(_ context.Context, dead, reason string) error {
	d.dead = dead
	return d.call("bury " + reason)
}

func (d *ledger) called(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(d.calls, ","); got != strings.Join(want, ",") {
		t.Errorf("the driver was called for %q, want %q", got, want)
	}
	d.calls = nil
}

var durable = []layers.Durable{{Queues: "work"}, {Queues: "jobs.*", Capacity: 5, MaxAge: time.Hour, Lease: time.Second}}

func TestDeclareDurables(t *testing.T) {
	for _, test := range []struct {
		d    layers.Durable
		text string
	}{
		{layers.Durable{}, `Options.Durables[0].Queues is empty: give a name or a pattern such as "jobs.*"`},
		{layers.Durable{Queues: "a", Capacity: -1}, "Options.Durables[0].Capacity is -1: it must not be negative (jobs; 0 means 10,000)"},
		{layers.Durable{Queues: "a", MaxAge: -1}, "Options.Durables[0].MaxAge is -1: it must not be negative (nanoseconds; 0 means 7 days)"},
		{layers.Durable{Queues: "a", Lease: -1}, "Options.Durables[0].Lease is -1: it must not be negative (nanoseconds; 0 means 30 s)"},
		{layers.Durable{Queues: "a", Lease: 30}, "Options.Durables[0].Lease is 30ns: give at least 100ms, such as 30*time.Second; workers renew it in time"},
	} {
		func() {
			defer func() {
				if v, _ := recover().(string); v != "layers: "+test.text {
					t.Errorf("%+v: panic %q, want %q", test.d, v, test.text)
				}
			}()
			layers.New(&plain{}, &layers.Options{Durables: []layers.Durable{test.d}})
		}()
	}

	d := &started{}
	l := layers.New(d, &layers.Options{Capacity: 3, Durables: durable})
	for queue, want := range map[string]layers.Durable{
		"work":           {Queues: "work", Capacity: layers.DefaultJobCapacity, MaxAge: layers.DefaultJobMaxAge, Lease: layers.DefaultLease},
		"work.dead":      {Queues: "work", Capacity: 10_000, MaxAge: 7 * 24 * time.Hour, Lease: 30 * time.Second},
		"jobs.mail":      {Queues: "jobs.*", Capacity: 5, MaxAge: time.Hour, Lease: time.Second},
		"jobs.mail.dead": {Queues: "jobs.*", Capacity: 5, MaxAge: time.Hour, Lease: time.Second},
		"working":        {},
		"work.dead.dead": {},
		"jobs.x!y":       {},
	} {
		got, ok := l.Durable(queue)
		if got.Queues != want.Queues || got.Capacity != want.Capacity || got.MaxAge != want.MaxAge || got.Lease != want.Lease || ok != (want.Queues != "") {
			t.Errorf("Durable(%q) = %+v, %v", queue, got, ok)
		}
		limits, known := d.limits.Durable(queue)
		if limits != (driver.Durable{Capacity: want.Capacity, MaxAge: want.MaxAge, Lease: want.Lease}) || known != ok {
			t.Errorf("the driver is told %+v, %v of %q", limits, known, queue)
		}
		if c := l.Capacity(queue); c != max(3, want.Capacity) {
			t.Errorf("Capacity(%q) = %d", queue, c)
		}
	}
	if got := layers.DeadLetters("work"); got != "work.dead" || layers.DeadLetters(got) != got {
		t.Errorf("dead letters of work are in %q, and theirs in %q", got, layers.DeadLetters(got))
	}
}

func TestTakeMistakes(t *testing.T) {
	ctx := t.Context()
	var none *layers.Layer
	closed := layers.New(&ledger{}, nil)
	if err := closed.Close(ctx); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 95)
	able := layers.New(&ledger{}, &layers.Options{Durables: []layers.Durable{{Queues: "work"}, {Queues: "x*"}}})
	unable := layers.New(&started{}, &layers.Options{Durables: durable})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	take := func(l *layers.Layer, ctx context.Context, queue string) error {
		_, err := l.Take(ctx, queue)
		return err
	}
	receive := func(l *layers.Layer, queue string) error {
		_, err := l.Receive(ctx, queue)
		return err
	}
	for _, test := range []struct {
		name string
		err  error
		is   error
		text string
	}{
		{"nil layer", take(none, ctx, "work"), layers.ErrNoLayer, "register one at start"},
		{"closed layer", take(closed, ctx, "work"), layers.ErrClosed, "layer is closed"},
		{"ended ctx", take(able, ended, "work"), context.Canceled, "context canceled"},
		{"not declared", take(able, ctx, "mail"), nil, `layers: take from "mail": it is no durable queue: declare it where the layer is made, here and where jobs are sent: layers.Options{Durables: []layers.Durable{{Queues: "mail"}}}`},
		{"dead letters of a queue that is not", take(able, ctx, "mail.dead"), nil, `{{Queues: "mail"}}`},
		{"a connection's channel", take(able, ctx, "specific.x!7"), nil, "belongs to one connection and has no jobs"},
		{"an invalid name", take(able, ctx, "wo rk"), layers.ErrInvalidName, "a channel name is"},
		{"take: too long", take(able, ctx, long), layers.ErrInvalidName, `the name of a durable queue has at most 94 bytes, so that that of its dead letters, with ".dead" at its end, has no more than 99`},
		{"send: too long", able.Send(ctx, long, note.With(text{})), layers.ErrInvalidName, "at most 94 bytes"},
		{"receive: too long", receive(able, long), layers.ErrInvalidName, "at most 94 bytes"},
		{"take: no jobs", take(unable, ctx, "work"), errors.ErrUnsupported, "has no jobs"},
		{"send: no jobs", unable.Send(ctx, "work", note.With(text{})), errors.ErrUnsupported, "has no jobs"},
		{"receive: no jobs", receive(unable, "work.dead"), errors.ErrUnsupported, "has no jobs"},
		{"require: no jobs", unable.Require(ctx, layers.Jobs), errors.ErrUnsupported, "has no jobs"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.text) || test.is != nil && !errors.Is(test.err, test.is) {
			t.Errorf("%s: %v, want %q", test.name, test.err, test.text)
		}
	}
	if err := able.Require(ctx, layers.Jobs); err != nil {
		t.Errorf("Require(Jobs): %v", err)
	}
	without := &ledger{}
	without.lacks = fmt.Errorf("the server has no JetStream: %w", errors.ErrUnsupported)
	err := layers.New(without, nil).Require(ctx, layers.Queues, layers.Jobs)
	if !errors.Is(err, errors.ErrUnsupported) || err.Error() != "layers: require jobs: the server has no JetStream: unsupported operation" {
		t.Errorf("Require(Jobs) of a broker without: %v", err)
	}
	if err := able.Send(ctx, strings.Repeat("x", 94), note.With(text{})); err != nil {
		t.Errorf("a name of 94 bytes: %v", err)
	}
	if _, ok := none.Durable("work"); ok {
		t.Error("a nil layer has a durable queue")
	}
}

func TestJobEndsOnce(t *testing.T) {
	ctx := t.Context()
	d := &ledger{}
	l := layers.New(d, &layers.Options{Durables: durable})
	take := func() *layers.Job {
		t.Helper()
		j, err := l.Take(ctx, "work")
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := take()
	if j.Queue() != "work" || j.Attempt() != 7 || j.Message().Type() != "x" || j.Reason() != "" || l.Stats().Received != 1 {
		t.Errorf("the job is %q, %d, %q, %q; %d received", j.Queue(), j.Attempt(), j.Message().Type(), j.Reason(), l.Stats().Received)
	}
	for _, first := range []struct {
		name string
		call func(*layers.Job) error
		want string
	}{
		{"Done", func(j *layers.Job) error { return j.Done(ctx) }, "done"},
		{"Retry", func(j *layers.Job) error { return j.Retry(ctx, -time.Second) }, "retry"},
		{"Bury", func(j *layers.Job) error { return j.Bury(ctx, "it\nis\x00 "+strings.Repeat("é", 600)) }, "bury it is  " + strings.Repeat("é", 496)},
	} {
		j := take()
		if err := errors.Join(j.Extend(ctx), first.call(j), j.Extend(ctx), j.Done(ctx), j.Retry(ctx, 1), j.Bury(ctx, "")); err != nil {
			t.Errorf("L18 broken: %s, and then others: %v", first.name, err)
		}
		d.called(t, "extend", first.want)

		j = take()
		d.job = errors.New("boom")
		if err := first.call(j); err == nil || !strings.HasSuffix(err.Error(), `job of "work": boom`) {
			t.Errorf("%s that fails: %v", first.name, err)
		}
		d.job = nil
		if err := first.call(j); err != nil {
			t.Errorf("%s after it failed: %v", first.name, err)
		}
		d.called(t, first.want, first.want)
	}
	if d.after != 0 || d.dead != "work.dead" {
		t.Errorf("a negative delay became %v, and the job was buried in %q", d.after, d.dead)
	}
	d.job = driver.ErrNotHeld
	if err := take().Extend(ctx); !errors.Is(err, layers.ErrNotHeld) || err.Error() != `layers: extend job of "work": the hold of the job has run out` {
		t.Errorf("Extend too late: %v", err)
	}
	d.job, d.calls = nil, nil

	letter, err := l.Take(ctx, "work.dead")
	if err != nil {
		t.Fatal(err)
	}
	if err := letter.Bury(ctx, "again"); err == nil || !strings.Contains(err.Error(), "it is a dead letter already: end it by Done, or keep it by Retry") {
		t.Errorf("burying a dead letter: %v", err)
	}
	if err := letter.Retry(ctx, time.Hour); err != nil {
		t.Error(err)
	}
	d.called(t, "retry")

	j = take()
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := j.Done(ctx); !errors.Is(err, layers.ErrClosed) {
		t.Errorf("Done after Close: %v", err)
	}
	if err := j.Extend(ctx); !errors.Is(err, layers.ErrClosed) {
		t.Errorf("Extend after Close: %v", err)
	}
	d.called(t)
}

// TestReceiveJob: only what was ended is handed out; what was not is given back.
func TestReceiveJob(t *testing.T) {
	d := &ledger{}
	l := layers.New(d, &layers.Options{Durables: durable})
	if m, err := l.Receive(t.Context(), "work"); err != nil || m.Type() != "x" || l.Stats().Received != 1 {
		t.Errorf("Receive: %q, %v, %+v", m.Type(), err, l.Stats())
	}
	d.called(t, "done")
	d.job = errors.New("boom")
	if m, err := l.Receive(t.Context(), "work"); err == nil || err.Error() != `layers: receive from "work": boom` || m.Type() != "" {
		t.Errorf("L18 broken: Receive of a job that cannot be ended: %q, %v", m.Type(), err)
	}
	d.called(t, "done", "retry")
	d.job, d.take = nil, context.Canceled
	if _, err := l.Receive(t.Context(), "work"); !errors.Is(err, context.Canceled) {
		t.Errorf("Receive whose ctx has ended: %v", err)
	}
	d.called(t)
	if n := l.Stats().Received; n != 1 {
		t.Errorf("%d received, want 1", n)
	}
}

// TestOutageNow: Outage tells of the one that lasts.
func TestOutageNow(t *testing.T) {
	var none *layers.Layer
	if _, ok := none.Outage(); ok {
		t.Error("a nil layer has an outage")
	}
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		l := bus.Layer()
		if out, ok := l.Outage(); ok {
			t.Errorf("before any: %+v", out)
		}
		bus.Cut(l, errors.New("unplugged"))
		if out, ok := l.Outage(); !ok || out.Cause != "unplugged" || out.Since != time.Now() {
			t.Errorf("L15: %+v, %v", out, ok)
		}
		bus.Mend(l)
		if out, ok := l.Outage(); ok {
			t.Errorf("afterwards: %+v", out)
		}
	})
}
