//go:build unix

package redislayer

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkGroupSend sends to a group whose members are all in another process, and waits for the last delivery: Core and PubSub
// beside the layers of channels_redis, on the same server.
func BenchmarkGroupSend(b *testing.B) {
	msg := note.With(text{strings.Repeat("x", 100)})
	for _, members := range []int{100, 1000} {
		for _, kind := range []string{"Core", "PubSub"} {
			b.Run(fmt.Sprintf("members=%d/%s", members, kind), func(b *testing.B) {
				d := newBed(b, 1)
				d.direct = true
				from, to := kinds[kind](d, nil), kinds[kind](d, nil)
				t := &tally{all: make(chan struct{}, 1)}
				t.want.Store(int64(members))
				for range members {
					channel, err := to.Listen(b.Context(), t)
					must(b, err)
					to.join("room", channel)
				}
				took, began := make([]time.Duration, 0, 1<<16), cpu()
				for b.Loop() {
					begun := time.Now()
					must(b, from.GroupSend(b.Context(), "room", msg))
					<-t.all
					took = append(took, time.Since(begun))
				}
				used := cpu() - began
				slices.Sort(took)
				b.ReportMetric(float64(used)/float64(len(took)*members), "cpu-ns/delivery")
				b.ReportMetric(float64(took[len(took)/2])/1e3, "p50-µs")
				b.ReportMetric(float64(took[len(took)*99/100])/1e3, "p99-µs")
			})
		}
		for name, class := range map[string]string{"channels_redis.core": pythonCore, "channels_redis.pubsub": pythonPubSub} {
			b.Run(fmt.Sprintf("members=%d/%s", members, name), func(b *testing.B) {
				benchPython(b, class, members)
			})
		}
	}
}

// benchPython runs the same in Python; the number of rounds is its own.
func benchPython(b *testing.B, class string, members int) {
	path, err := python()
	if err != nil {
		Lacking(b, "no Python with channels_redis: %v", err)
	}
	d := newBed(b, 1)
	arg, err := json.Marshal(map[string]any{
		"layer": class, "members": members, "rounds": 300_000 / members / 10,
		"config": map[string]any{"hosts": []string{"unix://" + Socket(b, 0)}, "prefix": d.prefix},
	})
	must(b, err)
	out, err := exec.Command(path, "testdata/bench.py", string(arg)).Output()
	must(b, err)
	var r struct{ CPU, P50, P99 float64 } // matched without regard to case
	must(b, json.Unmarshal(out, &r))
	for b.Loop() {
		// measured above, once
	}
	b.ReportMetric(r.CPU, "cpu-ns/delivery")
	b.ReportMetric(r.P50, "p50-µs")
	b.ReportMetric(r.P99, "p99-µs")
	b.ReportMetric(0, "ns/op")
}

// cpu is what the process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkSend sends to a channel of another process, many at once.
func BenchmarkSend(b *testing.B) {
	for _, kind := range []string{"Core", "PubSub"} {
		b.Run(kind, func(b *testing.B) {
			d := newBed(b, 1)
			d.direct = true
			from, to := kinds[kind](d, nil), kinds[kind](d, nil)
			channel, err := to.Listen(b.Context(), nothing{})
			must(b, err)
			msg := note.With(text{strings.Repeat("x", 100)})
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					must(b, from.Send(b.Context(), channel, msg))
				}
			})
		})
	}
}
