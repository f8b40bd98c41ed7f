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
	h.running.Add(1)
	h.timer.Reset(h.every)
	if err == nil {
		h.delivery.crew.state.answered()
		return
	}
	if !errors.Is(err, layers.ErrNotHeld) {
		h.delivery.crew.state.failing(err)
	}
	if !h.warned {
		h.warned = true
		h.delivery.crew.logger.Warn("consumers: worker: the hold of a job could not be extended: it may be handled twice", h.delivery.fields(err)...)
	}
}

// stop ends the extensions, and waits for one that runs.
func (h *hold) stop() {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.over = true
	if h.timer.Stop() {
		h.running.Done()
	}
	h.mu.Unlock()
	h.cancel()
	h.running.Wait()
}
