package memlayer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// jobs declares the queue "work" with a lease of 10 s, and a lot of others.
var jobs = &layers.Options{Expiry: time.Second, Durables: []layers.Durable{
	{Queues: "work", Lease: 10 * time.Second, Capacity: 50, MaxAge: time.Hour}, {Queues: "stress", Lease: time.Second},
}}

// testJobs runs f in a bubble with two layers of one bus.
func testJobs(t *testing.T, f func(t *testing.T, bus *memlayer.Bus, a, b bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(jobs)
		f(t, bus, bed{t, bus.Layer()}, bed{t, bus.Layer()})
	})
}

// take demands a job at once.
func (b bed) take(want string) *layers.Job {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Millisecond)
	defer cancel()
	j, err := b.Take(ctx, "work")
	b.must(err)
	if v, err := note.Decode(j.Message()); err != nil || v.Text != want {
		b.Fatalf("took %q (%v), want %q", v.Text, err, want)
	}
	return j
}

// none demands that there is no job now.
func (b bed) none() {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Millisecond)
	defer cancel()
	if j, err := b.Take(ctx, "work"); !errors.Is(err, context.DeadlineExceeded) {
		b.Fatalf("took %v, %v, want to wait", j, err)
	}
}

func (b bed) kept(bus *memlayer.Bus, what string, queues, jobs, timers int) {
	b.Helper()
	if q, j, w := bus.Jobs(); q != queues || j != jobs || w != timers {
		b.Errorf("%s: %d queues, %d jobs and %d timers are kept, want %d, %d and %d", what, q, j, w, queues, jobs, timers)
	}
}

// TestJobOrder: first in first out; what comes again goes before what has not come yet, when it is due.
func TestJobOrder(t *testing.T) {
	testJobs(t, func(t *testing.T, bus *memlayer.Bus, a, b bed) {
		a.send("work", "1", "2", "3", "4")
		one, two := a.take("1"), b.take("2")
		b.must(two.Retry(b.Context(), 5*time.Second))
		a.must(one.Retry(a.Context(), time.Second))
		a.must(b.take("3").Done(b.Context()))
		b.wait(5 * time.Second)
		a.must(a.take("1").Done(a.Context()))
		a.must(a.take("2").Done(a.Context()))
		a.must(a.take("4").Done(a.Context()))
		a.kept(bus, "all is done", 0, 0, 0)

		a.send("work", "5", "6")
		five, six := a.take("5"), b.take("6")
		b.must(six.Retry(b.Context(), time.Second)) // due at the same moment: the first that was sent comes first
		a.must(five.Retry(a.Context(), time.Second))
		b.wait(time.Second)
		a.must(a.take("5").Done(a.Context()))
		a.must(a.take("6").Done(a.Context()))
	})
}

// TestJobLeases: a hold that runs out is no hold any more; a layer that is closed gives back at once.
func TestJobLeases(t *testing.T) {
	testJobs(t, func(t *testing.T, bus *memlayer.Bus, a, b bed) {
		ctx := t.Context()
		a.send("work", "1", "2")
		slow, kept := a.take("1"), a.take("2")
		b.wait(6 * time.Second)
		b.must(kept.Extend(ctx))
		b.none()
		b.wait(4 * time.Second)
		again := b.take("1")
		for what, err := range map[string]error{
			"Extend": slow.Extend(ctx), "Retry": slow.Retry(ctx, 0), "Bury": slow.Bury(ctx, "slow"),
		} {
			if !errors.Is(err, layers.ErrNotHeld) {
				t.Errorf("L18 broken: %s of a hold that has run out: %v", what, err)
			}
		}
		b.must(slow.Done(ctx)) // the work is done
		b.must(again.Done(ctx))
		if err := again.Extend(ctx); err != nil {
			t.Errorf("Extend of a job that is done: %v", err)
		}
		b.none()

		waiting := make(chan string, 1)
		go func() { // ends with the Take
			j, err := b.Take(context.Background(), "work")
			if err != nil {
				waiting <- err.Error()
				return
			}
			waiting <- fmt.Sprint(j.Attempt(), j.Done(context.Background()))
		}()
		synctest.Wait()
		b.kept(bus, "one is held, and one waits for it", 1, 1, 1)
		begun := time.Now()
		a.must(a.Close(ctx))
		if got := <-waiting; got != "2 <nil>" || time.Since(begun) != 0 {
			t.Errorf("L18 broken: the job of a closed layer came as %q after %v", got, time.Since(begun))
		}
		b.kept(bus, "all is done", 0, 0, 0)
	})
}

// TestJobsOfACutLayer: it is given nothing and cannot end what it has; when it is back it can.
func TestJobsOfACutLayer(t *testing.T) {
	testJobs(t, func(t *testing.T, bus *memlayer.Bus, a, b bed) {
		ctx := t.Context()
		a.send("work", "1")
		held := a.take("1")
		got := make(chan *layers.Job, 1)
		go func() { // ends with the Take
			j, err := a.Take(context.Background(), "work")
			if err != nil {
				t.Error(err)
			}
			got <- j
		}()
		synctest.Wait()
		bus.Cut(a.Layer, errors.New("unplugged"))
		for what, err := range map[string]error{
			"Done": held.Done(ctx), "Retry": held.Retry(ctx, 0), "Bury": held.Bury(ctx, "x"), "Extend": held.Extend(ctx),
		} {
			if err == nil || !strings.Contains(err.Error(), "unplugged") {
				t.Errorf("%s of a layer that is cut off: %v", what, err)
			}
		}
		if _, err := a.Take(ctx, "work"); err == nil || !strings.Contains(err.Error(), "unplugged") {
			t.Errorf("Take of a layer that is cut off: %v", err)
		}
		b.wait(15 * time.Second) // the lease has passed, and only a cut layer waits
		b.send("work", "2")
		if len(got) > 0 {
			t.Error("L18 broken: a layer that is cut off was given a job")
		}
		b.must(b.take("1").Retry(ctx, time.Minute))
		bus.Mend(a.Layer)
		j := <-got
		if v, err := note.Decode(j.Message()); err != nil || v.Text != "2" {
			t.Errorf("a layer that is back was given %q", v.Text)
		}
		a.must(j.Done(ctx))
		a.must(held.Done(ctx)) // of what it had
		a.kept(bus, "all is done", 0, 0, 0)
	})
}

// TestJobBounds: jobs that wait, are held, and are put off take room; the old make room and are counted; 64 MiB.
func TestJobBounds(t *testing.T) {
	testJobs(t, func(t *testing.T, bus *memlayer.Bus, a, b bed) {
		for i := range 50 {
			a.send("work", fmt.Sprint(i))
		}
		a.full("work")
		a.must(a.take("0").Retry(t.Context(), 24*time.Hour))
		a.full("work")
		a.take("1")
		a.full("work")
		b.wait(time.Hour - time.Second)
		held := a.take("1") // again, after its lease
		b.wait(time.Second)
		a.send("work", "new") // 49 are too old, and nobody works at them
		if n := a.Stats().Dropped[layers.DropExpired]; n != 49 {
			t.Errorf("%d jobs that were too old are counted, want 49", n)
		}
		a.must(held.Done(t.Context()))
		a.must(a.take("new").Done(t.Context()))
		a.send("work", "1", "2")
		b.wait(time.Hour)
		b.none()
		if n := b.Stats().Dropped[layers.DropExpired]; n != 2 {
			t.Errorf("%d jobs that were too old are counted by who looked for them, want 2", n)
		}
		a.kept(bus, "all were too old", 0, 0, 0)

		mega := strings.Repeat("x", 2_000_000)
		for range 64 << 20 / 2_000_100 {
			a.send("work", mega)
		}
		a.full2(mega)
		a.must(a.Flush(t.Context()))
		a.kept(bus, "flushed", 0, 0, 0)
		a.send("work", "stays")
		stays := a.take("stays")
		for range 64<<20/2_000_100 + 1 { // what is done takes no room
			a.send("work", mega)
			a.must(a.take(mega).Done(t.Context()))
		}
		a.must(stays.Done(t.Context()))
		a.send("work", mega)
		j := a.take(mega)
		a.must(a.Flush(t.Context()))
		a.must(j.Done(t.Context()))
		if s := a.Stats(); s.Delivered != s.Sent {
			t.Errorf("%d were sent and %d delivered", s.Sent, s.Delivered)
		}
	})
}

// full2 demands that the queue has no room for this.
func (b bed) full2(s string) {
	b.Helper()
	if err := b.Layer.Send(b.Context(), "work", note.With(text{s})); !errors.Is(err, layers.ErrChannelFull) {
		b.Fatalf("L5: %d bytes to a full queue: %v", len(s), err)
	}
}

// TestBuriedReason: the reason travels with the letter, which is new there.
func TestBuriedReason(t *testing.T) {
	testJobs(t, func(t *testing.T, bus *memlayer.Bus, a, b bed) {
		a.send("work", "1")
		b.wait(30 * time.Minute)
		a.must(a.take("1").Bury(t.Context(), "no such picture"))
		b.wait(45 * time.Minute)
		j, err := b.Take(t.Context(), layers.DeadLetters("work"))
		b.must(err)
		if j.Reason() != "no such picture" || j.Attempt() != 1 || j.Message().Expired(time.Now()) || !j.Message().Expired(time.Now().Add(time.Hour)) {
			t.Errorf("the letter: %q, attempt %d", j.Reason(), j.Attempt())
		}
		b.must(j.Done(t.Context()))
		b.kept(bus, "all is done", 0, 0, 0)
	})
}

// TestJobStress: many workers that end jobs in every way, are cancelled, stand still and die. Every job is done at last,
// and none comes after that.
func TestJobStress(t *testing.T) {
	const total, workers = 500, 8
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(jobs)
		sender := bed{t, bus.Layer()}
		var mu sync.Mutex
		done := map[string]int{}
		ctx, cancel := context.WithCancel(t.Context())
		var crew sync.WaitGroup
		for w := range workers {
			crew.Go(func() {
				random := rand.New(rand.NewPCG(uint64(w), 7))
				l := bus.Layer()
				for ctx.Err() == nil {
					wait, stop := context.WithTimeout(ctx, time.Duration(random.IntN(50))*time.Millisecond)
					j, err := l.Take(wait, "stress")
					stop()
					if err != nil {
						continue
					}
					v, err := note.Decode(j.Message())
					if err != nil {
						t.Error(err)
					}
					switch random.IntN(8) {
					case 0: // it stands still, and says nothing more
					case 1:
						_ = l.Close(context.Background())
						l = bus.Layer()
					case 2:
						_ = j.Retry(ctx, time.Duration(random.IntN(2000))*time.Millisecond)
					case 3:
						<-time.After(500 * time.Millisecond)
						_ = j.Extend(ctx)
						_ = j.Retry(ctx, 0)
					default:
						mu.Lock()
						if err := j.Done(context.Background()); err == nil {
							done[v.Text]++
						}
						mu.Unlock()
					}
				}
			})
		}
		for i := range total {
			sender.send("stress", fmt.Sprint(i))
		}
		for {
			if _, left, _ := bus.Jobs(); left == 0 {
				break
			}
			sender.wait(time.Second)
		}
		cancel()
		crew.Wait()
		for i := range total {
			if n := done[fmt.Sprint(i)]; n == 0 {
				t.Errorf("L18 broken: job %d was never done", i)
			}
		}
		sender.kept(bus, "all is done", 0, 0, 0)
	})
}
