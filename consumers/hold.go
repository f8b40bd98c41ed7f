package consumers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// A hold extends the lease of a job while its handler runs.
type hold struct {
	delivery *delivery
	every    time.Duration
	ctx      context.Context // of the extensions
	cancel   context.CancelFunc

	mu      sync.Mutex
	timer   *time.Timer
	over    bool
	lost    bool
	warned  bool
	running sync.WaitGroup // the timer's call, from the moment that it is set
}

// newHold begins to extend three times in each lease.
func newHold(d *delivery, lease time.Duration) *hold {
	h := &hold{delivery: d, every: lease / 3}
	h.ctx, h.cancel = context.WithCancel(context.WithoutCancel(d.crew.handlers))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running.Add(1)
	h.timer = time.AfterFunc(h.every, h.extend)
	return h
}

// extend runs when the timer does, and sets it again.
func (h *hold) extend() {
	defer h.running.Done()
	ctx, cancel := context.WithTimeout(h.ctx, h.every)
	err := h.delivery.job.Extend(ctx)
	cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	d := h.delivery
	switch {
	case err == nil:
		d.crew.state.answered()
	case errors.Is(err, layers.ErrNotHeld):
		h.over, h.lost = true, true
		d.crew.logger.Warn("consumers: worker: a job was lost to another worker: its handler's ctx ends", d.fields(err)...)
		d.source.cut(errLost)
		return
	default:
		d.crew.state.failing(err)
		if !h.warned {
			h.warned = true
			d.crew.logger.Warn("consumers: worker: the hold of a job could not be extended: it may be handled twice", d.fields(err)...)
		}
	}
	h.running.Add(1)
	h.timer.Reset(h.every)
}

// errLost is the cause with which the ctx of a handler ends whose job another worker has.
var errLost = errors.New("consumers: worker: the hold of the job has run out, and another worker has it")

// isLost reports whether another worker has the job.
func (h *hold) isLost() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// stop ends the extensions, and waits for one that runs.
func (h *hold) stop() {
	if h == nil {
		return
	}
	h.mu.Lock()
	if h.over = true; h.timer.Stop() {
		h.running.Done()
	}
	h.mu.Unlock()
	h.cancel()
	h.running.Wait()
}
