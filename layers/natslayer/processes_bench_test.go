//go:build unix

package natslayer

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
)

// BenchmarkProcesses sends to a group whose members are in another process, over a server in a third: the CPU that the
// members' process uses for each delivery, and the time until the sender hears that all members have theirs. Beside it raw
// NATS, with one subscription that calls each member's function, and with a subscription for each member.
func BenchmarkProcesses(b *testing.B) {
	for _, members := range []int{100, 1000} {
		for _, way := range []string{"layer", "raw-one-subscription", "raw-subscription-each"} {
			b.Run(fmt.Sprintf("members=%d/%s", members, way), func(b *testing.B) { benchmarkProcesses(b, way, members) })
		}
	}
}

func benchmarkProcesses(b *testing.B, way string, members int) {
	url := startChild(b, "TestServerProcess", "serving ", "TIDEWAY_TEST_SERVER=1")
	startChild(b, "TestMembersProcess", "ready", "TIDEWAY_TEST_MEMBERS="+strconv.Itoa(members), "TIDEWAY_TEST_WAY="+way, "TIDEWAY_TEST_URL="+url)
	nc, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	done, err := nc.SubscribeSync("done")
	if err != nil {
		b.Fatal(err)
	}
	used := func() time.Duration {
		reply, err := nc.Request("cpu", nil, patience)
		if err != nil {
			b.Fatal(err)
		}
		n, err := strconv.Atoi(string(reply.Data))
		if err != nil {
			b.Fatal(err)
		}
		return time.Duration(n)
	}
	payload := append([]byte(nil), hello...)
	send := func() error { return nc.Publish("room", payload) }
	if way == "layer" {
		l, err := Open(b.Context(), url, &Options{Logger: zap.NewNop()})
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close(b.Context())
		msg := note.With(text{strings.Repeat("x", 5)}) // as long as hello
		send = func() error { return l.GroupSend(b.Context(), "room", msg) }
	}
	m := newMeter(b)
	before := used()
	for b.Loop() {
		m.run(func() {
			if err := send(); err != nil {
				b.Fatal(err)
			}
			if _, err := done.NextMsg(patience); err != nil {
				b.Fatal(err)
			}
		})
	}
	there := used() - before
	m.report(members)
	b.ReportMetric(float64(there)/float64(len(m.took)*members), "members-cpu-ns/delivery")
}

// TestMembersProcess is no test but the members for BenchmarkProcesses.
func TestMembersProcess(t *testing.T) {
	members, _ := strconv.Atoi(os.Getenv("TIDEWAY_TEST_MEMBERS"))
	if members == 0 {
		t.Skip("run by BenchmarkProcesses")
	}
	nc, err := nats.Connect(os.Getenv("TIDEWAY_TEST_URL"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	got := 0 // on one goroutine: of the layer, or of the one subscription
	one := func() {
		if got++; got == members {
			got = 0
			_ = nc.Publish("done", nil)
		}
	}
	switch os.Getenv("TIDEWAY_TEST_WAY") {
	case "layer":
		l, err := Open(t.Context(), os.Getenv("TIDEWAY_TEST_URL"), &Options{Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(t.Context())
		for range members {
			channel, err := l.Listen(t.Context(), inbox(func(layers.Message) error { one(); return nil }))
			if err == nil {
				err = l.GroupAdd(t.Context(), "room", channel)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	case "raw-one-subscription":
		_, err = nc.Subscribe("room", func(*nats.Msg) {
			for range members {
				one()
			}
		})
	default:
		all := newTally(members)
		for range members {
			if _, err = nc.Subscribe("room", func(*nats.Msg) { all.one() }); err != nil {
				t.Fatal(err)
			}
		}
		go func() { // ends with the process
			for range all.all {
				_ = nc.Publish("done", nil)
			}
		}()
	}
	if err == nil {
		_, err = nc.Subscribe("cpu", func(m *nats.Msg) { _ = m.Respond([]byte(strconv.Itoa(int(cpu())))) })
	}
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the benchmark ends
}
