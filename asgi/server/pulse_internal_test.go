package server

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// TestPulse adds connections at different times, takes some out, and demands that the others ask for a sign of life when
// their interval is over, in order, and that nothing is left to fire when all have gone.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &Server{log: zap.NewNop()}
		srv.opts.PingInterval, srv.opts.PingTimeout = 20*time.Second, time.Minute
		srv.pulse.interval = srv.opts.PingInterval
		var conns []*conn
		for range 6 {
			c := &conn{srv: srv, writing: true} // what is pushed stays in its queue
			c.reads.Store(1)                    // somebody listens
			conns = append(conns, c)
		}
		pinged := func() (list []int) {
			synctest.Wait()
			for i, c := range conns {
				c.mu.Lock()
				if c.pinged {
					list = append(list, i)
				}
				c.mu.Unlock()
			}
			return list
		}
		begun := time.Now()
		at := func(d time.Duration, want ...int) {
			t.Helper()
			<-time.After(d - time.Since(begun))
			if got := pinged(); !slices.Equal(got, want) {
				t.Fatalf("after %v the connections %v were asked, want %v", d, got, want)
			}
		}
		srv.pulse.add(conns[0])
		srv.pulse.add(conns[1])
		srv.pulse.add(conns[2])
		srv.pulse.remove(conns[1]) // in the middle
		srv.pulse.remove(conns[1]) // once more is no mistake
		<-time.After(10 * time.Millisecond)
		srv.pulse.add(conns[3]) // shares the wake-up of the first
		<-time.After(5 * time.Second)
		srv.pulse.add(conns[4])
		srv.pulse.add(conns[5])
		srv.pulse.remove(conns[5]) // the last
		at(19 * time.Second)
		at(20*time.Second+time.Millisecond, 0, 2, 3)
		at(24*time.Second, 0, 2, 3)
		srv.pulse.add(conns[1])
		at(26*time.Second, 0, 2, 3, 4)
		at(43*time.Second, 0, 2, 3, 4)
		at(45*time.Second, 0, 1, 2, 3, 4)
		for _, c := range conns {
			srv.pulse.remove(c)
			if c.timer != nil {
				c.timer.Stop()
			}
		}
		if srv.pulse.timer != nil || srv.pulse.first != nil || srv.pulse.last != nil {
			t.Errorf("an empty pulse still has a timer or a connection")
		}
	})
}

// A timer fires while the last connection leaves, and another one comes before the wake-up runs: there is still one timer,
// not one for each such race from then on.
func TestPulseKeepsOneTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &Server{log: zap.NewNop()}
		srv.pulse.interval = 20 * time.Second
		first, second := &conn{srv: srv}, &conn{srv: srv}
		srv.pulse.add(first)
		srv.pulse.remove(first)
		srv.pulse.add(second)
		started := srv.pulse.timer
		srv.pulse.wake() // of the first one's timer
		if srv.pulse.timer == nil || srv.pulse.timer == started {
			t.Fatal("nobody will wake the second connection")
		}
		if started.Stop() {
			t.Error("two timers run")
		}
		srv.pulse.remove(second)
	})
}
