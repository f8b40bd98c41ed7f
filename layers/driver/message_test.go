package driver_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

func TestMessage(t *testing.T) {
	m := message("chat.message")
	now := time.Now()
	a := m.Arrive(now, time.Second)
	if m.Expired(now.Add(time.Hour)) || a.Expired(now.Add(time.Second-1)) || !a.Expired(now.Add(time.Second)) {
		t.Fatal("L6: the expiry counts from the arrival")
	}
	if again := m.Arrive(now.Add(time.Minute), time.Second); again.Expired(now.Add(time.Minute)) {
		t.Fatal("L6: a message that is sent again arrives again")
	}
	if a.Type() != "chat.message" || string(a.Data()) != "chat.message" || !a.Arrived().Equal(now) || a.Local() || !a.MakeLocal().Local() {
		t.Fatal("content")
	}
}

// TestTracedMessage: what travels carries the trace, what is decoded does not, and a copy shares nothing that was derived.
func TestTracedMessage(t *testing.T) {
	type key struct{}
	now := time.Now()
	m := driver.NewTracedMessage("x", []byte("with a trace"), []byte("bare"), "trace").Arrive(now, time.Second)
	plain := message("plain")
	if string(plain.Bare()) != "plain" || plain.Trace() != "" || plain.Copy().Trace() != "" {
		t.Errorf("a message without a trace has %q and %q", plain.Bare(), plain.Trace())
	}
	c := m.Copy()
	for _, m := range []*driver.Message{m, c} {
		if m.Type() != "x" || string(m.Data()) != "with a trace" || string(m.Bare()) != "bare" || m.Trace() != "trace" {
			t.Errorf("%s: %q, %q, %q", m.Type(), m.Data(), m.Bare(), m.Trace())
		}
	}
	if !c.Arrived().Equal(now) || !c.Expired(now.Add(time.Second)) || c.Local() || !m.MakeLocal().Copy().Local() {
		t.Error("a copy arrives when the message does")
	}
	for _, m := range []*driver.Message{m, c} {
		made := false
		if _, err := m.Once(key{}, func() (any, error) { made = true; return nil, nil }); err != nil || !made {
			t.Errorf("a copy shares what is derived: %v, %v", made, err)
		}
	}
}

func TestOnce(t *testing.T) {
	type key struct{ n int }
	m := message("x")
	var made atomic.Int32
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			k := key{i % 4}
			v, err := m.Arrive(time.Time{}, 0).Once(k, func() (any, error) {
				made.Add(1)
				return k.n, errors.New("kept too")
			})
			if v != k.n || err == nil {
				t.Errorf("key %d: %v, %v", k.n, v, err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 4 {
		t.Fatalf("made %d times for 4 keys", made.Load())
	}
}

func TestOncePanics(t *testing.T) {
	type key struct{}
	m := message("x")
	entered := make(chan struct{})
	second := make(chan any)
	go func() {
		<-entered
		v, _ := m.Once(key{}, func() (any, error) { return "second", nil })
		second <- v
	}()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic goes to the caller")
			}
		}()
		_, _ = m.Once(key{}, func() (any, error) {
			close(entered)
			panic("render")
		})
	}()
	if v := <-second; v != "second" {
		t.Fatalf("got %v: a panic of the first must not keep the others from it", v)
	}
}
