package asgitest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// A job of a durable queue that fails is tried again and buried at last; in a bubble the time in between costs nothing.
func TestWorkOfADurableQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(&layers.Options{Durables: []layers.Durable{{Queues: "thumbnails"}}})
		defer func() {
			if err := layer.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		tries := map[int]int{}
		app := consumers.AsyncConsumer[struct{}]{
			Messages: []consumers.Handler[struct{}]{
				consumers.On(resize, func(_ *struct{}, _ context.Context, _ *consumers.Conn, p picture) error {
					if tries[p.ID]++; tries[p.ID] <= p.ID {
						return fmt.Errorf("picture %d is no picture", p.ID)
					}
					return nil
				}),
			},
		}.App()
		site := asgitest.New(t, app).With(&asgitest.Options{Layer: layer})
		stop := site.Work(consumers.Worker{
			Channels: []string{"thumbnails"}, Attempts: 3,
			Backoff: func(attempt int) time.Duration { return time.Duration(attempt) * time.Minute },
		})
		for id := range 5 { // fails so often
			if err := layer.Send(t.Context(), "thumbnails", resize.With(picture{id})); err != nil {
				t.Fatal(err)
			}
		}
		for want := 3; want < 5; want++ {
			letter, err := layer.Take(t.Context(), layers.DeadLetters("thumbnails"))
			if err != nil {
				t.Fatal(err)
			}
			if p, err := resize.Decode(letter.Message()); err != nil || letter.Reason() != fmt.Sprintf("picture %d is no picture", p.ID) || p.ID < 3 {
				t.Errorf("the dead letter is %v (%v): %q", p, err, letter.Reason())
			}
			if err := letter.Done(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		for id := range 5 {
			if want := min(id+1, 3); tries[id] != want {
				t.Errorf("picture %d was tried %d times, want %d", id, tries[id], want)
			}
		}
	})
}

// A job that is stopped in the middle is given back, for the next worker of the test.
func TestWorkIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(&layers.Options{Durables: []layers.Durable{{Queues: "thumbnails"}}})
		t.Cleanup(func() { // after the site's, which ends the second worker
			if err := layer.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		began := make(chan time.Duration, 2)
		patience := time.Hour
		begun := time.Now()
		app := consumers.AsyncConsumer[struct{}]{
			Messages: []consumers.Handler[struct{}]{
				consumers.On(resize, func(_ *struct{}, ctx context.Context, _ *consumers.Conn, _ picture) error {
					began <- time.Since(begun)
					select {
					case <-time.After(patience):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}),
			},
		}.App()
		site := asgitest.New(t, app).With(&asgitest.Options{Layer: layer})
		stop := site.Work(consumers.Worker{Channels: []string{"thumbnails"}})
		if err := layer.Send(t.Context(), "thumbnails", resize.With(picture{1})); err != nil {
			t.Fatal(err)
		}
		<-began
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		patience = time.Second
		site.Work(consumers.Worker{Channels: []string{"thumbnails"}})
		if d := <-began; d != 2500*time.Millisecond {
			t.Errorf("the second worker began after %v, want half of Timeout", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*layers.DefaultLease)
		defer cancel()
		if _, err := layer.Take(ctx, "thumbnails"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the job that the second worker has done came again: %v", err)
		}
	})
}
