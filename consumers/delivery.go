package consumers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
)

// A delivery is one message while an instance handles it.
type delivery struct {
	source  *source
	crew    *crew
	channel string
	message layers.Message
	attempt int
	job     *layers.Job // nil on a plain queue
	hold    *hold
	place   place // in the crew's gate

	outcome outcome // what the table has said of it
	bad     error
}

// An outcome is what a table says of a message before the worker hears of its end.
type outcome int

const (
	unsaid    outcome = iota // the app is no table, or the table has not begun
	begun                    // the handler runs, or has failed: what Serve returns counts
	handled                  // the handler has returned nil
	unusable                 // the handler could not be called
	abandoned                // the handler has returned because its ctx had ended
)

const (
	endTime   = 10 * time.Second // what the layer has to answer how a job ended
	deadPause = time.Hour        // between tries of a dead letter that has failed too often
)

// errAbandoned is the failure of a job whose handler gave up, though the worker does not stop.
var errAbandoned = errors.New("the handler returned because its ctx had ended")

// begin tells that a table looks at the message.
func (m ChannelMessage) begin() {
	if m.delivery != nil {
		m.delivery.outcome = begun
	}
}

// unusable says that a message cannot be handled by anybody, and reports whether that will be heard of: a job is buried.
func (m ChannelMessage) unusable(why error) bool {
	if m.delivery == nil {
		return false
	}
	m.delivery.outcome, m.delivery.bad = unusable, why
	return m.delivery.job != nil
}

// returned tells what a handler returned: err, which is no failure if quiet is true.
func (m ChannelMessage) returned(err error, quiet bool) {
	switch {
	case m.delivery == nil:
	case err == nil, errors.Is(err, ErrStop):
		m.delivery.outcome = handled
	case quiet:
		m.delivery.outcome = abandoned
	}
}

// handleQueued handles a message that a worker took from a queue. It is the event of the turn, so what it returns ends
// the consumer's instance, and the worker goes on with a fresh one.
func (c *Conn) handleQueued(ev ChannelMessage) error {
	ev.begin()
	m := ev.Message
	h := c.table.messages[m.Type()]
	if h == nil {
		if !ev.unusable(fmt.Errorf("%s: no handler is listed for message type %q; list it in Messages", c.table.name, m.Type())) {
			c.dropUnlisted(m)
		}
		return nil
	}
	err := h(c.context(), c, m)
	if bad, ok := err.(*badPayload); ok {
		if !ev.unusable(bad.error) {
			c.drop(m, layers.DropInvalid, bad.error)
		}
		return nil
	}
	ev.returned(err, c.failing(err) == nil)
	return err
}

// begin counts the message, and holds its job from now on.
func (d *delivery) begin(lease time.Duration) {
	d.crew.state.begin()
	if d.job != nil {
		d.hold = newHold(d, lease)
	}
}

// settle ends the message. If over, Serve has returned err; else the instance asks for the next one.
func (d *delivery) settle(err error, over bool) {
	_, chosen := err.(asgi.CloseError)
	switch {
	case d.outcome == handled:
		d.done()
		d.source.told = false // err is of something else
	case d.hold.isLost(): // nobody wants to hear of it
		d.over(func(h *WorkerHealth) { h.Failed++ })
	case d.outcome == unusable:
		d.bury(d.bad)
	case over && d.outcome == unsaid && d.source.table && (err == nil || chosen): // it had ended before the message came
		d.back()
	case chosen:
		d.done()
	case d.cut(err):
		d.short(err)
	case d.job == nil && (err == nil || errors.Is(err, asgi.ErrClosed)):
		d.done()
	case err == nil && d.outcome == abandoned:
		d.failed(errAbandoned)
	case err == nil:
		d.done()
	default:
		d.failed(err)
	}
}

// cut reports whether the handler may have ended early because the worker stops.
func (d *delivery) cut(err error) bool {
	ctx := d.crew.handlers
	return ctx.Err() != nil && (err == nil || errors.Is(err, asgi.ErrClosed) || errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
}

// dead reports whether it is a dead letter, which cannot be buried.
func (d *delivery) dead() bool { return layers.DeadLetters(d.channel) == d.channel }

func (d *delivery) done() {
	if d.job != nil {
		d.end(d.job.Done)
	}
	d.over(func(h *WorkerHealth) { h.Done++ })
}

// back gives the job to another worker, at once.
func (d *delivery) back() {
	if d.job != nil {
		d.end(func(ctx context.Context) error { return d.job.Retry(ctx, 0) })
	}
	d.over(func(*WorkerHealth) {})
}

// short ends a message whose handler StopTime has cut short. A plain one whose app says nothing of it may be done.
func (d *delivery) short(err error) {
	switch {
	case d.job != nil:
		d.crew.logger.Warn("consumers: worker: a job was cut short by the end of StopTime, and is given back", d.fields(err)...)
	case err != nil || d.outcome == abandoned:
		d.crew.logger.Warn("consumers: worker: a message was cut short by the end of StopTime, and is lost", d.fields(err)...)
	}
	d.back()
}

// failed tries the job again, later, or buries it.
func (d *delivery) failed(err error) {
	d.crew.state.count(func(h *WorkerHealth) { h.Failed++ })
	switch {
	case d.job == nil:
		d.crew.log(d.channel, err)
		d.over(func(*WorkerHealth) {})
	case d.attempt < d.crew.attempts:
		d.again(err, d.crew.wait(d.attempt))
	case d.dead():
		d.again(err, deadPause)
	default:
		d.bury(err)
	}
}

// again tries the job again later.
func (d *delivery) again(err error, after time.Duration) {
	after = max(0, after)
	d.crew.logger.Error("consumers: worker: a job has failed, and will be tried again",
		append(d.fields(err), zap.Duration("after", after))...)
	d.end(func(ctx context.Context) error { return d.job.Retry(ctx, after) })
	d.over(func(*WorkerHealth) {})
}

// bury moves the job to the dead letters. If these take it not, it is tried again, or buried then.
func (d *delivery) bury(why error) {
	switch {
	case d.job == nil: // it was dropped, and the consumer has logged that
		d.over(func(h *WorkerHealth) { h.Failed++ })
		return
	case d.dead():
		d.again(why, deadPause)
		return
	}
	if err := d.tell(func(ctx context.Context) error { return d.job.Bury(ctx, why.Error()) }); err != nil {
		d.again(errors.Join(why, err), d.crew.wait(d.attempt))
		return
	}
	d.crew.logger.Error("consumers: worker: a job is buried",
		append(d.fields(why), zap.String("in", layers.DeadLetters(d.channel)))...)
	d.over(func(h *WorkerHealth) { h.Buried++ })
}

// end tells the layer how the job ended, and logs if that was in vain.
func (d *delivery) end(f func(context.Context) error) {
	if err := d.tell(f); err != nil {
		d.crew.logger.Error("consumers: worker: the layer did not hear how a job ended: it may come again", d.fields(err)...)
	}
}

// tell calls f, again and again for a while if the layer does not answer.
func (d *delivery) tell(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.crew.handlers), endTime)
	defer cancel()
	for failures := 1; ; failures++ {
		err := f(ctx)
		if err == nil {
			d.crew.state.answered()
			return nil
		}
		if errors.Is(err, layers.ErrClosed) || errors.Is(err, layers.ErrChannelFull) || errors.Is(err, layers.ErrNotHeld) {
			return err
		}
		d.crew.state.failing(err)
		if pause(ctx, failures); ctx.Err() != nil {
			return err
		}
	}
}

// over is the end of every delivery.
func (d *delivery) over(count func(*WorkerHealth)) {
	d.hold.stop()
	d.crew.gate.leave(d.place)
	d.crew.state.end(count)
}

// fields say in the log which job an error is of.
func (d *delivery) fields(err error) []zap.Field {
	return append(trouble(d.channel, err), zap.String("type", d.message.Type()), zap.Int("attempt", d.attempt))
}

// trouble says in the log what has failed, with the stack of a panic.
func trouble(channel string, err error) []zap.Field {
	fields := []zap.Field{zap.String("channel", channel), zap.Error(err)}
	if p, ok := errors.AsType[*asgi.PanicError](err); ok {
		fields = append(fields, zap.ByteString("stack", p.Stack))
	}
	return fields
}

// log tells of a failure that no job is tried again for.
func (c *crew) log(channel string, err error) {
	c.logger.Error("consumers: worker: a message has failed", trouble(channel, err)...)
}

// wait asks the author's function, or the default where that panics.
func (c *crew) wait(attempt int) (after time.Duration) {
	if err := guard(func() error { after = c.backoff(attempt); return nil }); err != nil {
		c.logger.Error("consumers: worker: Backoff has failed", trouble("", err)...)
		return backoff(attempt)
	}
	return after
}

// backoff is how long after an attempt a job is tried again: 1 s, doubled up to 1 min, half of it at random.
func backoff(attempt int) time.Duration {
	limit := min(time.Minute, time.Second<<min(attempt-1, 6))
	return limit/2 + rand.N(limit/2)
}
