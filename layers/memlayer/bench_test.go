package memlayer_test

import (
	"fmt"
	"testing"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

func BenchmarkGroupSend(b *testing.B) {
	for _, members := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			l := memlayer.New(nil)
			ctx := b.Context()
			for range members {
				ch, err := l.Listen(ctx, discard{})
				if err != nil {
					b.Fatal(err)
				}
				if err := l.GroupAdd(ctx, "g", ch); err != nil {
					b.Fatal(err)
				}
			}
			m := note.With(text{"hello"})
			b.ReportAllocs()
			for b.Loop() {
				if err := l.GroupSend(ctx, "g", m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(members), "ns/delivery")
		})
	}
}

func BenchmarkSend(b *testing.B) {
	l := memlayer.New(nil)
	ctx := b.Context()
	ch, err := l.Listen(ctx, discard{})
	if err != nil {
		b.Fatal(err)
	}
	m := note.With(text{"hello"})
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Send(ctx, ch, m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSendReceive(b *testing.B) {
	l := memlayer.New(nil)
	ctx := b.Context()
	ch, err := l.NewChannel(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"channel", "queue"} {
		if name == "queue" {
			ch = name
		}
		b.Run(name, func(b *testing.B) {
			m := note.With(text{"hello"})
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Send(ctx, ch, m); err != nil {
					b.Fatal(err)
				}
				if _, err := l.Receive(ctx, ch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkJoinLeave joins and leaves a group of many.
func BenchmarkJoinLeave(b *testing.B) {
	for _, members := range []int{1, 10_000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			l := memlayer.New(&layers.Options{})
			ctx := b.Context()
			var ch string
			for range members {
				var err error
				if ch, err = l.Listen(ctx, discard{}); err != nil {
					b.Fatal(err)
				}
				if err := l.GroupAdd(ctx, "g", ch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := l.GroupDiscard(ctx, "g", ch); err != nil {
					b.Fatal(err)
				}
				if err := l.GroupAdd(ctx, "g", ch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
