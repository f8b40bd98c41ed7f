package redislayer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"
)

// startTime is how long a layer may take to connect when its ctx has no deadline.
const startTime = 10 * time.Second

// startLimit gives ctx a deadline if it has none.
func startLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, startTime)
}

// insist calls f, which needs a host, until it succeeds, until its error is one that does not pass, or until ctx ends.
func insist(ctx context.Context, log *zap.Logger, host string, f func() error) error {
	var last error // before ctx ended, which tells more than ctx does
	for try := 1; ; try++ {
		err := f()
		if err == nil || !passes(err) {
			return err
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if try == 1 {
			log.Warn("redislayer: no Redis is ready; trying again", zap.String("host", host), zap.Error(err))
		}
		if !wait(ctx.Done(), log, host, try, err) {
			return fmt.Errorf("%w (%w)", last, context.Cause(ctx))
		}
	}
}

// wait is the pause after a try that failed; false if stop closes meanwhile.
func wait(stop <-chan struct{}, log *zap.Logger, host string, try int, err error) bool {
	d := pause(try)
	log.Debug("redislayer: a try to connect failed",
		zap.String("host", host), zap.Int("try", try), zap.Duration("pause", d), zap.Error(err))
	select {
	case <-time.After(d):
		return true
	case <-stop:
		return false
	}
}

// pause is the wait before the next try: longer each time, and never the same for two processes.
func pause(try int) time.Duration {
	d := min(50*time.Millisecond<<min(try-1, 10), 2*time.Second)
	return d/2 + rand.N(d)
}

// passing are the first words of what a Redis answers that will serve later, if nobody changes anything.
var passing = []string{
	"LOADING",    // it reads its file
	"BUSY",       // a script of somebody runs for too long
	"MASTERDOWN", // a replica that has lost its master, and has another soon, or becomes one
	"NOREPLICAS", // a master that has lost its replicas
	"TRYAGAIN",   // a slot of a cluster moves
}

// passes says that what failed may be tried again: nobody is there, or it is not ready. What else a server refuses it will
// refuse again.
func passes(err error) bool {
	if errors.Is(err, errUnsuited) {
		return false
	}
	answer, ok := errors.AsType[*rueidis.RedisError](err)
	if !ok {
		return true
	}
	word, _, _ := strings.Cut(answer.Error(), " ")
	return slices.Contains(passing, word)
}

// neverSent says that an error came before anything was sent.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
