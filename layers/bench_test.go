package layers_test

import (
	"context"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

var line = said{"ann", "Would you like to come to the harbour with us tonight?"}

func BenchmarkWith(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		chatMessage.With(line)
	}
}

func BenchmarkWithMap(b *testing.B) {
	const typ layers.Type[map[string]any] = "chat.message"
	v := map[string]any{"user": line.User, "message": line.Text, "at": 5}
	b.ReportAllocs()
	for b.Loop() {
		typ.With(v)
	}
}

// BenchmarkDecode is the cost of each message, and of each further member.
func BenchmarkDecode(b *testing.B) {
	b.Run("first", func(b *testing.B) {
		arrived := arrivals(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := chatMessage.Decode(arrived()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("shared", func(b *testing.B) {
		m := chatMessage.With(line)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := chatMessage.Decode(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	b.Run("first", func(b *testing.B) {
		arrived := arrivals(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := chatMessage.JSON(arrived()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("shared", func(b *testing.B) {
		m := chatMessage.With(line)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := chatMessage.JSON(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFields(b *testing.B) {
	m := chatMessage.With(line)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Fields(); err != nil {
			b.Fatal(err)
		}
	}
}

// arrivals makes messages as they come from another process: checked, and nothing decoded yet.
func arrivals(b *testing.B) func() layers.Message {
	b.Helper()
	d := &started{}
	l := layers.New(d, nil)
	var got []layers.Message
	if _, err := l.Listen(b.Context(), keep{&got}); err != nil {
		b.Fatal(err)
	}
	var wire []byte
	tap := &tap{data: &wire}
	if err := layers.New(tap, nil).Send(b.Context(), "x", chatMessage.With(line)); err != nil {
		b.Fatal(err)
	}
	return func() layers.Message {
		got = got[:0]
		m, ok := d.host.Message("x", wire, time.Time{})
		if !ok || d.in.Deliver(m) != nil {
			b.Fatal("message did not arrive")
		}
		return got[0]
	}
}

// tap keeps the bytes of what is sent.
type tap struct {
	plain
	data *[]byte
}

func (t *tap) Send(_ context.Context, _ string, m *driver.Message) error {
	*t.data = m.Data()
	return nil
}

// BenchmarkNames checks the names of a send that then goes nowhere.
func BenchmarkNames(b *testing.B) {
	l := layers.New(&plain{}, nil)
	ctx := b.Context()
	m := chatMessage.With(line)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Send(ctx, "specific.k2zq7ynwtjgcw6bd!1a4", m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCapacity(b *testing.B) {
	l := layers.New(&plain{}, &layers.Options{Capacities: []layers.Capacity{layers.Glob("thumbnails*", 5), layers.Glob("specific.*!*", 6)}})
	b.ReportAllocs()
	for b.Loop() {
		l.Capacity("specific.k2zq7ynwtjgcw6bd!1a4")
	}
}
