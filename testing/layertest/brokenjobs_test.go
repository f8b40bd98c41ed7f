package layertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// spoiledJob is a job with some methods replaced.
type spoiledJob struct {
	job
	attempt func() int
	done    func(ctx context.Context) error
	retry   func(ctx context.Context, after time.Duration) error
	bury    func(ctx context.Context, reason string) error
	extend  func(ctx context.Context) error
}

func (j *spoiledJob) Attempt() int {
	if j.attempt != nil {
		return j.attempt()
	}
	return j.job.Attempt()
}

func (j *spoiledJob) Done(ctx context.Context) error {
	if j.done != nil {
		return j.done(ctx)
	}
	return j.job.Done(ctx)
}

func (j *spoiledJob) Retry(ctx context.Context, after time.Duration) error {
	if j.retry != nil {
		return j.retry(ctx, after)
	}
	return j.job.Retry(ctx, after)
}

func (j *spoiledJob) Bury(ctx context.Context, reason string) error {
	if j.bury != nil {
		return j.bury(ctx, reason)
	}
	return j.job.Bury(ctx, reason)
}

func (j *spoiledJob) Extend(ctx context.Context) error {
	if j.extend != nil {
		return j.extend(ctx)
	}
	return j.job.Extend(ctx)
}

// eachJob wraps the jobs that every node takes.
func eachJob(spoil func(n node, j *spoiledJob)) func() func(int, node) node {
	return each(func(s *spoiled) {
		s.take = func(ctx context.Context, queue string) (job, error) {
			j, err := s.node.Take(ctx, queue)
			if err != nil {
				return nil, err
			}
			wrapped := &spoiledJob{job: j}
			spoil(s.node, wrapped)
			return wrapped, nil
		}
	})
}

// withDurables changes what is declared.
func withDurables(change func(o *layers.Options, d *layers.Durable)) func(*Harness) {
	return withOptions(func(o *layers.Options) {
		all := append([]layers.Durable(nil), o.Durables...)
		for i := range all {
			change(o, &all[i])
		}
		o.Durables = all
	})
}

func brokenJobs() []breakage {
	return []breakage{
		{number: 18, name: "Done is forgotten", wrap: eachJob(func(_ node, j *spoiledJob) {
			j.done = func(context.Context) error { return nil }
		}), catches: []string{"jobs come one", "a job that is done"}},
		{number: 18, name: "a job is given out twice", wrap: cluster(func() *sync.Map { return new(sync.Map) }, givenTwice),
			catches: []string{"jobs come one", "of several workers", "a job that is done"}},
		{number: 18, name: "a job is done when it is taken", wrap: eachJob(func(_ node, j *spoiledJob) {
			_ = j.job.Done(context.Background())
		}), catches: []string{"a job whose holder", "the jobs of a process", "Retry gives", "every taking", "Bury moves"}},
		{number: 18, name: "leases are three times as long", harness: withDurables(func(_ *layers.Options, d *layers.Durable) { d.Lease *= 3 }),
			catches: []string{"a job whose holder"}},
		{number: 18, name: "leases are a quarter as long", harness: withDurables(func(_ *layers.Options, d *layers.Durable) { d.Lease /= 4 }),
			catches: []string{"a job whose holder", "Extend keeps"}},
		{number: 18, name: "Extend does nothing", wrap: eachJob(func(_ node, j *spoiledJob) {
			j.extend = func(context.Context) error { return nil }
		}), catches: []string{"Extend keeps"}},
		{number: 18, name: "Retry is at once", wrap: eachJob(func(_ node, j *spoiledJob) {
			j.retry = func(ctx context.Context, _ time.Duration) error { return j.job.Retry(ctx, 0) }
		}), catches: []string{"Retry gives"}},
		{number: 18, name: "attempts are not counted", wrap: eachJob(func(_ node, j *spoiledJob) {
			j.attempt = func() int { return 1 }
		}), catches: []string{"every taking", "a job whose holder", "a job that finds no room"}},
		{number: 18, name: "jobs expire like messages", harness: withDurables(func(o *layers.Options, d *layers.Durable) { d.MaxAge = o.Expiry }),
			catches: []string{"a job outlives", "Retry gives"}},
		{number: 18, name: "jobs grow old", harness: withDurables(func(_ *layers.Options, d *layers.Durable) { d.MaxAge = 0 }),
			catches: []string{"a job older"}},
		{number: 18, name: "Bury drops", wrap: eachJob(func(_ node, j *spoiledJob) {
			j.bury = func(ctx context.Context, _ string) error { return j.job.Done(ctx) }
		}), catches: []string{"Bury moves", "a job that finds no room"}},
		{number: 18, name: "Bury copies", wrap: eachJob(func(n node, j *spoiledJob) {
			j.bury = func(ctx context.Context, _ string) error {
				return errors.Join(n.Send(ctx, layers.DeadLetters("work"), j.Message()), j.job.Retry(ctx, 0))
			}
		}), catches: []string{"Bury moves"}},
		{number: 18, name: "Bury ends the job before it stores it", wrap: eachJob(func(n node, j *spoiledJob) {
			j.bury = func(ctx context.Context, _ string) error {
				return errors.Join(j.job.Done(ctx), n.Send(ctx, layers.DeadLetters("work"), j.Message()))
			}
		}), catches: []string{"a job that finds no room"}},
		{number: 18, name: "a full queue is no error", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				return forgive(s.node.Send(ctx, channel, m), layers.ErrChannelFull)
			}
		}), catches: []string{"a full durable queue"}},
		{number: 18, name: "Receive leaves the job to its Lease", wrap: each(func(s *spoiled) {
			s.receive = func(ctx context.Context, channel string) (layers.Message, error) {
				j, err := s.node.Take(ctx, channel)
				if err != nil {
					return layers.Message{}, err
				}
				return j.Message(), nil
			}
		}), catches: []string{"Receive ends"}},
		{number: 18, name: "a cancelled Take keeps a job", wrap: each(func(s *spoiled) {
			s.take = func(ctx context.Context, queue string) (job, error) {
				j, err := s.node.Take(ctx, queue)
				if errors.Is(err, context.Canceled) {
					late, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
					defer cancel()
					_, _ = s.node.Take(late, queue)
				}
				return j, err
			}
		}), catches: []string{"a Take whose context"}},
		{number: 18, name: "Take hears nothing", wrap: each(func(s *spoiled) {
			s.take = func(ctx context.Context, queue string) (job, error) {
				late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*patience)
				defer cancel()
				return s.node.Take(late, queue)
			}
		}), catches: []string{"a Take that waits"}},
		{number: 18, name: "a group leaves durable queues out", wrap: each(func(s *spoiled) {
			s.groupAdd = func(ctx context.Context, group, channel string) error {
				if channel == "work" {
					return nil
				}
				return s.node.GroupAdd(ctx, group, channel)
			}
		}), catches: []string{"a durable queue in a group"}},
	}
}

// givenTwice sends every job that is taken for the first time once more.
func givenTwice(known *sync.Map, _ int, s *spoiled) {
	s.take = func(ctx context.Context, queue string) (job, error) {
		j, err := s.node.Take(ctx, queue)
		if err != nil {
			return nil, err
		}
		v, err := noteType.Decode(j.Message())
		if _, again := known.LoadOrStore(v.N, true); !again && v.N != marker {
			err = errors.Join(err, s.node.Send(ctx, queue, j.Message()))
		}
		return j, err
	}
}

// jobless has no durable queues.
func jobless(s *spoiled) {
	refused := func(ctx context.Context, channel string) error {
		if channel != "work" && channel != layers.DeadLetters("work") {
			return nil
		}
		if err := s.node.GroupDiscard(ctx, "group", channel); err != nil {
			return err // the layer is closed
		}
		return errors.ErrUnsupported
	}
	s.take = func(ctx context.Context, queue string) (job, error) {
		if err := refused(ctx, queue); err != nil {
			return nil, err
		}
		return s.node.Take(ctx, queue)
	}
	s.send = func(ctx context.Context, channel string, m layers.Message) error {
		if err := refused(ctx, channel); err != nil {
			return err
		}
		return s.node.Send(ctx, channel, m)
	}
	s.receive = func(ctx context.Context, channel string) (layers.Message, error) {
		if err := refused(ctx, channel); err != nil {
			return layers.Message{}, err
		}
		return s.node.Receive(ctx, channel)
	}
	s.groupAdd = func(ctx context.Context, group, channel string) error {
		if err := refused(ctx, channel); err != nil {
			return err
		}
		return s.node.GroupAdd(ctx, group, channel)
	}
}
