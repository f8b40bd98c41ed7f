package driver_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host counts what a Local tells.
type host struct {
	mu        sync.Mutex
	delivered int
	ofGroups  int
	dropped   []string
}

func (h *host) Message(string, []byte, time.Time) (*driver.Message, bool) { return nil, false }

func (h *host) Outage(error) *driver.Message { return message("layer.down") }

func (h *host) Delivered(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delivered += n
}

func (h *host) GroupDelivered(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ofGroups += n
}

func (h *host) Dropped(channel, group string, m *driver.Message, cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropped = append(h.dropped, fmt.Sprint(channel, " ", group, " ", m.Type(), ": ", cause))
}

// inbox keeps the types of what it gets.
type inbox struct {
	err     error
	got     []string
	flushed bool
}

func (i *inbox) Deliver(m *driver.Message) error {
	if i.err != nil {
		return i.err
	}
	i.got = append(i.got, m.Type())
	return nil
}

func (i *inbox) Flush() { i.flushed = true }

func message(typ string) *driver.Message { return driver.NewMessage(typ, []byte(typ)) }

// A list of members is as good as the table's own group.
func TestDeliverTo(t *testing.T) {
	h := &host{}
	table := driver.NewLocal(h)
	one, two := &inbox{}, &inbox{}
	for name, in := range map[string]*inbox{"p!one": one, "p!two": two, "p!full": {err: driver.ErrFull}, "p!ended": {err: driver.ErrNoChannel}} {
		table.Open(name, in)
	}
	table.DeliverTo("g", []string{"p!one", "p!none", "p!full", "p!ended"}, message("a"))
	table.DeliverTo("", []string{"p!none"}, message("b"))
	if want := []string{"p!full g a: driver: channel is full"}; !slices.Equal(one.got, []string{"a"}) || two.got != nil || !slices.Equal(h.dropped, want) || h.ofGroups != 1 || h.delivered != 0 {
		t.Errorf("L5: got %v and %v, dropped %q, %d delivered of a group, %d others", one.got, two.got, h.dropped, h.ofGroups, h.delivered)
	}
}

func TestDeliverGroup(t *testing.T) {
	h := &host{}
	table := driver.NewLocal(h)
	ok, full, ended, broken := &inbox{}, &inbox{err: driver.ErrFull}, &inbox{err: driver.ErrNoChannel}, &inbox{err: errors.New("broken")}
	for name, in := range map[string]*inbox{"p!ok": ok, "p!full": full, "p!ended": ended, "p!broken": broken} {
		table.Open(name, in)
		if _, err := table.Join("g", name); err != nil {
			t.Fatal(err)
		}
	}
	table.DeliverGroup("g", message("a"))
	table.DeliverGroup("nobody", message("b"))
	table.DeliverAll(message("c"))
	if want := []string{"a", "c"}; !slices.Equal(ok.got, want) {
		t.Errorf("got %v, want %v", ok.got, want)
	}
	slices.Sort(h.dropped)
	want := []string{
		"p!broken  c: broken", "p!broken g a: broken",
		"p!full  c: driver: channel is full", "p!full g a: driver: channel is full",
	}
	if !slices.Equal(h.dropped, want) || h.ofGroups != 1 || h.delivered != 0 {
		t.Errorf("L5: full members are skipped and counted, ended ones are no loss:\ngot  %q, %d delivered of a group, %d others\nwant %q, 1, 0",
			h.dropped, h.ofGroups, h.delivered, want)
	}
	if err := table.Deliver("p!ok", message("d")); err != nil || h.delivered != 1 || h.ofGroups != 1 {
		t.Errorf("direct: %v, %d delivered, %d of a group", err, h.delivered, h.ofGroups)
	}
	if err := table.Deliver("p!full", message("d")); err != driver.ErrFull {
		t.Errorf("direct: %v", err)
	}
	if err := table.Deliver("p!none", message("d")); err != driver.ErrNoChannel {
		t.Errorf("L12: direct to nobody: %v", err)
	}
	table.Flush()
	if !ok.flushed || table.Members("g") != 0 {
		t.Error("Flush ends memberships and empties inboxes")
	}
	if _, err := table.Join("g", "p!ok"); err != nil {
		t.Errorf("channels stay open: %v", err)
	}
}

// TestMembershipsAgainstModel joins, leaves and ends at random and compares with sets.
func TestMembershipsAgainstModel(t *testing.T) {
	for _, size := range []struct{ channels, groups int }{{3, 3}, {40, 5}, {4, 60}} {
		r := rand.New(rand.NewPCG(1, 2))
		table := driver.NewLocal(&host{})
		boxes := map[string]*inbox{}
		model := map[string]map[string]bool{} // channel, group
		members := func(g string) (n int) {
			for _, in := range model {
				if in[g] {
					n++
				}
			}
			return n
		}
		for step := range 5000 {
			c, g := fmt.Sprint("p!", r.IntN(size.channels)), fmt.Sprint("g", r.IntN(size.groups))
			switch op := r.IntN(20); {
			case model[c] == nil:
				boxes[c], model[c] = &inbox{}, map[string]bool{}
				table.Open(c, boxes[c])
			case op == 0:
				left, ok := table.Shut(c)
				if !ok || len(left) != len(model[c]) {
					t.Fatalf("step %d: Shut told %v, %v; was in %v", step, left, ok, model[c])
				}
				delete(model, c)
				for _, l := range left {
					if l.Last != (members(l.Group) == 0) {
						t.Fatalf("step %d: Shut says last of %s: %v, %d left", step, l.Group, l.Last, members(l.Group))
					}
				}
			case op < 12:
				first, err := table.Join(g, c)
				if err != nil || first != (members(g) == 0) {
					t.Fatalf("step %d: Join: %v, %v with %d members", step, first, err, members(g))
				}
				model[c][g] = true
			default:
				was := model[c][g]
				delete(model[c], g)
				if last := table.Leave(g, c); last != (was && members(g) == 0) {
					t.Fatalf("step %d: Leave says last: %v, %d left, was member: %v", step, last, members(g), was)
				}
			}
			if table.Members(g) != members(g) {
				t.Fatalf("L8, L9: step %d: %s has %d members, want %d", step, g, table.Members(g), members(g))
			}
			if step%50 == 0 {
				checkModel(t, table, model, boxes, g)
			}
		}
	}
}

func checkModel(t *testing.T, table *driver.Local, model map[string]map[string]bool, boxes map[string]*inbox, g string) {
	t.Helper()
	table.DeliverGroup(g, message("m"))
	for c, in := range model {
		want := []string(nil)
		if in[g] {
			want = []string{"m"}
		}
		if !slices.Equal(boxes[c].got, want) {
			t.Fatalf("L8: %s got %v of %s, want %v", c, boxes[c].got, g, want)
		}
		boxes[c].got = nil
	}
	all := map[string]map[string]bool{}
	for c, g := range table.Memberships() {
		if all[c] == nil {
			all[c] = map[string]bool{}
		}
		all[c][g] = true
	}
	for c := range model {
		if !maps.Equal(all[c], model[c]) {
			t.Fatalf("Memberships of %s: %v, want %v", c, all[c], model[c])
		}
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	table := driver.NewLocal(&host{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 300 {
				c := fmt.Sprintf("p!%d.%d", i, j)
				table.Open(c, discard{})
				_, _ = table.Join("g", c)
				_, _ = table.Join(c[2:], c)
				table.DeliverGroup("g", message("x"))
				_ = table.Deliver(c, message("x"))
				if j%2 == 0 {
					table.Leave("g", c)
				}
				table.Shut(c)
			}
		})
	}
	wg.Wait()
	if n := table.Members("g"); n != 0 {
		t.Fatalf("L10: %d members left of ended channels", n)
	}
}

type discard struct{}

func (discard) Deliver(*driver.Message) error { return nil }

// TestDeliverGroupAllocations holds that the number of members costs no memory.
func TestDeliverGroupAllocations(t *testing.T) {
	table := driver.NewLocal(&host{})
	for i := range 1000 {
		c := fmt.Sprint("p!", i)
		table.Open(c, discard{})
		_, _ = table.Join("g", c)
	}
	m := message("x")
	if n := testing.AllocsPerRun(100, func() { table.DeliverGroup("g", m) }); n > 2 { // the race detector empties pools at random
		t.Fatalf("%v allocations to deliver to 1000 members, want none per member", n)
	}
}
