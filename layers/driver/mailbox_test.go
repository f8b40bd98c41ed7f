package driver_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

func TestMailboxBounds(t *testing.T) {
	big := func(n int) *driver.Message { return driver.NewMessage("big", make([]byte, n)) }
	now := time.Now()
	never := func(*driver.Message) { t.Fatal("dropped") }
	var b driver.Mailbox
	for i := range 3 {
		if err := b.Put(message("m"), 3, now, never); err != nil {
			t.Fatalf("case 58: message %d of 3: %v", i+1, err)
		}
	}
	if err := b.Put(message("m"), 3, now, never); err != driver.ErrFull || b.Len() != 3 {
		t.Fatalf("case 58: a fourth: %v, %d stored", err, b.Len())
	}
	b.Get(now, never)
	if err := b.Put(message("m"), 3, now, never); err != nil {
		t.Fatalf("case 58: after one receive: %v", err)
	}

	b = driver.Mailbox{}
	if err := b.Put(big(driver.MailboxBytes+1), 100, now, never); err != nil {
		t.Fatalf("one message always fits: %v", err)
	}
	if err := b.Put(message("m"), 100, now, never); err != driver.ErrFull {
		t.Fatalf("beside it no other: %v", err)
	}
	b.Get(now, never)
	if err := b.Put(big(driver.MailboxBytes-10), 100, now, never); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(big(11), 100, now, never); err != driver.ErrFull {
		t.Fatalf("more than 2 MiB: %v", err)
	}
	if err := b.Put(big(10), 100, now, never); err != nil {
		t.Fatalf("2 MiB: %v", err)
	}
}

func TestMailboxExpiry(t *testing.T) {
	now := time.Now()
	at := func(typ string, age time.Duration) *driver.Message {
		return message(typ).Arrive(now.Add(-age), time.Minute)
	}
	var gone []string
	drop := func(m *driver.Message) { gone = append(gone, m.Type()) }
	var b driver.Mailbox
	for _, m := range []*driver.Message{at("a", 2*time.Minute), at("b", time.Minute), at("c", time.Minute-1)} {
		if err := b.Put(m, 3, now.Add(-3*time.Minute), drop); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Put(at("d", 0), 3, now, drop); err != nil || !slices.Equal(gone, []string{"a", "b"}) {
		t.Fatalf("L6: expired messages make room: %v, dropped %v", err, gone)
	}
	if m := b.Oldest(); m.Type() != "c" {
		t.Fatalf("the oldest is %s", m.Type())
	}
	if m := b.Get(now, drop); m.Type() != "c" {
		t.Fatalf("got %s", m.Type())
	}
	if b.Expire(now, drop); b.Oldest().Type() != "d" || len(gone) != 2 {
		t.Fatalf("L6: dropped %v, nothing more had expired", gone)
	}
	if m := b.Get(now.Add(time.Hour), drop); m != nil || len(gone) != 3 || !b.Idle() || b.Oldest() != nil {
		t.Fatalf("L6: got %v, dropped %v", m, gone)
	}
}

func TestMailboxWaiters(t *testing.T) {
	now := time.Now()
	var b driver.Mailbox
	first, second, third := b.Wait(), b.Wait(), b.Wait()
	put := func(typ string) {
		if err := b.Put(message(typ), 1, now, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	if m := b.Leave(second); m != nil {
		t.Fatalf("second had %s", m.Type())
	}
	put("b")
	if m := <-first.C; m.Type() != "a" {
		t.Fatalf("first in the line got %s", m.Type())
	}
	if m := b.Leave(third); m == nil || m.Type() != "b" {
		t.Fatal("case 30: who was handed a message while it left must get it")
	}
	if m := b.Leave(third); m != nil || !b.Idle() {
		t.Fatal("nothing may be left")
	}
	w := b.Wait()
	b.Clear()
	put("c")
	if m := <-w.C; m.Type() != "c" {
		t.Fatal("case 6: a receiver waits on when messages are dropped")
	}
	w = b.Wait()
	b.End()
	if m, ok := <-w.C; ok || m != nil {
		t.Fatal("L16: End wakes receivers with nothing")
	}
}

// TestMailboxOrder holds FIFO order over many puts and gets, and that memory is given back.
func TestMailboxOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var b driver.Mailbox
	in, out := 0, 0
	for range 20_000 {
		if r.IntN(100) < 50 {
			if b.Put(message(fmt.Sprint(in)), 200, time.Time{}, nil) == nil {
				in++
			}
		} else if m := b.Get(time.Time{}, nil); m != nil {
			if m.Type() != fmt.Sprint(out) {
				t.Fatalf("L3: got %s, want %d", m.Type(), out)
			}
			out++
		} else if in != out {
			t.Fatalf("L11: %d lost", in-out)
		}
	}
}

func TestNamer(t *testing.T) {
	a, b := driver.NewNamer(), driver.NewNamer()
	if a.Process() == b.Process() || len(a.Process()) != 16 {
		t.Fatalf("case 12, L2: processes %s and %s", a.Process(), b.Process())
	}
	seen := map[string]bool{}
	for range 5000 {
		for _, n := range []*driver.Namer{a, b} {
			name := n.Next()
			owner, ok := driver.Owner(name)
			if seen[name] || !ok || owner != n.Process() || len(name) > 99 || strings.Count(name, "!") != 1 {
				t.Fatalf("L2: %q of %q (owner %q)", name, n.Process(), owner)
			}
			seen[name] = true
		}
	}
	for _, name := range []string{"jobs", "specific.jobs", "other.x!1"} {
		if p, ok := driver.Owner(name); ok {
			t.Errorf("Owner(%q) = %q", name, p)
		}
	}
}
