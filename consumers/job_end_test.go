package consumers_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/consumers"
)

// TestJobHeldBesideAnIdleWorker: a job whose handler takes longer than the lease is not given to one who has nothing to do.
func TestJobHeldBesideAnIdleWorker(t *testing.T) {
	var runs atomic.Int32
	app := job(func(ctx context.Context, _ *consumers.Conn, _ note) error {
		runs.Add(1)
		rest(ctx, 3*lease)
		return nil
	})
	inYard(t, app, func(w *consumers.Worker) { w.Concurrency = 2 }, func(t *testing.T, y *yard) {
		y.start()
		y.send(noted.With(note{N: 1}))
		y.settled(1)
		if n := runs.Load(); n != 1 {
			t.Errorf("L18 broken: one job ran %d times", n)
		}
		y.quit()
	})
}

// TestJobEndsInAnOutage: how a job ended is told again and again while the layer is away.
func TestJobEndsInAnOutage(t *testing.T) {
	var runs atomic.Int32
	app := job(func(ctx context.Context, _ *consumers.Conn, _ note) error {
		runs.Add(1)
		rest(ctx, time.Second)
		return nil
	})
	inYard(t, app, nil, func(t *testing.T, y *yard) {
		y.start()
		y.send(noted.With(note{N: 1}))
		synctest.Wait()
		y.bus.Cut(y.layer, errors.New("unplugged"))
		rest(t.Context(), 5*time.Second)
		if h := y.worker.Health(); h.Busy != 1 || h.Done != 0 {
			t.Errorf("L18 broken: %+v while nobody hears that the job is done", h)
		}
		y.bus.Mend(y.layer)
		y.settled(1)
		y.quit()
		if n := len(y.left("jobs")); n != 0 || runs.Load() != 1 {
			t.Errorf("L18 broken: %d jobs are left, and it ran %d times", n, runs.Load())
		}
		if strings.Contains(y.log(), "did not hear") {
			t.Errorf("the log:\n%s", y.log())
		}
	})
}

// TestJobAbandoned: a handler that gives up because its instance ends, and not the worker, has failed.
func TestJobAbandoned(t *testing.T) {
	var runs atomic.Int32
	app := job(func(ctx context.Context, c *consumers.Conn, _ note) error {
		if runs.Add(1) > 1 {
			return nil
		}
		c.Go(func(context.Context) error { return consumers.ErrStop })
		<-ctx.Done()
		return ctx.Err()
	})
	inYard(t, app, nil, func(t *testing.T, y *yard) {
		y.start()
		y.send(noted.With(note{N: 1}))
		if h := y.settled(1); runs.Load() != 2 || h.Done != 1 || h.Failed != 1 {
			t.Errorf("L18 broken: the job ran %d times, health %+v", runs.Load(), h)
		}
		y.quit()
	})
}
