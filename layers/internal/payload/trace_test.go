package payload_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// TestTrace: what was put into a message comes out, and leaves the message as it was.
func TestTrace(t *testing.T) {
	wide := map[string]int{} // whose head grows with one more key
	for _, c := range "abcdefghijklmn" {
		wide[string(c)] = 1
	}
	for name, v := range map[string]map[string]int{"empty": {}, "one key": {"a": 1}, "15 keys": wide} {
		data, err := payload.Marshal("x", &v)
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(data)
		with := payload.WithTrace(data, trace)
		if typ, traced, err := payload.CheckTraced(with); typ != "x" || !traced || err != nil {
			t.Errorf("%s: with a trace: type %q, traced %v, %v", name, typ, traced, err)
		}
		if _, traced, _ := payload.CheckTraced(data); traced {
			t.Errorf("%s: a message without a trace is traced", name)
		}
		if bare, got := payload.CutTrace(with); got != trace || !bytes.Equal(bare, before) || !bytes.Equal(data, before) {
			t.Errorf("%s: got %q back, and %x, want %x", name, got, bare, before)
		}
	}
}

// TestHostileTraces: whatever is under the key goes, and only what may be a trace context counts.
func TestHostileTraces(t *testing.T) {
	for _, tc := range []struct {
		name string
		data string
		want string
	}{
		{"before the type", "\x82\xa9__trace__\xa3abc\xa4type\xa1x", "abc"},
		{"a number", "\x82\xa4type\xa1x\xa9__trace__\x01", ""},
		{"bytes", "\x82\xa4type\xa1x\xa9__trace__\xc4\x01a", ""},
		{"a map with the key in it", "\x82\xa4type\xa1x\xa9__trace__\x81\xa9__trace__\xa1a", ""},
		{"twice", "\x83\xa9__trace__\xa1a\xa4type\xa1x\xa9__trace__\xa1b", "b"},
		{"twice, the last a number", "\x83\xa9__trace__\xa1a\xa4type\xa1x\xa9__trace__\x02", ""},
		{"1,024 bytes", "\x82\xa4type\xa1x\xa9__trace__\xda\x04\x00" + strings.Repeat("a", 1024), strings.Repeat("a", 1024)},
		{"1,025 bytes", "\x82\xa4type\xa1x\xa9__trace__\xda\x04\x01" + strings.Repeat("a", 1025), ""},
		{"empty", "\x82\xa4type\xa1x\xa9__trace__\xa0", ""},
	} {
		if _, traced, err := payload.CheckTraced([]byte(tc.data)); !traced || err != nil {
			t.Errorf("%s: traced %v, %v", tc.name, traced, err)
		}
		bare, got := payload.CutTrace([]byte(tc.data))
		if got != tc.want || string(bare) != "\x81\xa4type\xa1x" {
			t.Errorf("%s: got %q, want %q, and the message %x", tc.name, got, tc.want, bare)
		}
	}
}

// TestTraceKey: no payload has the key, but what came from the wire in another encoding may.
func TestTraceKey(t *testing.T) {
	v := map[string]any{payload.TraceKey: "a"}
	if _, err := payload.Marshal("x", &v); err == nil || !strings.Contains(err.Error(), payload.TraceKey) {
		t.Errorf("a payload with the key: %v", err)
	}
	if data, err := payload.MarshalWire("x", &v); err != nil || string(data) != "\x82\xa4type\xa1x\xa9__trace__\xa1a" {
		t.Errorf("MarshalWire: %q, %v", data, err)
	}
}

// FuzzCutTrace: what passes the check loses its trace and nothing else, whatever it is.
func FuzzCutTrace(f *testing.F) {
	f.Add([]byte("\x83\xa9__trace__\xa1a\xa4type\xa1x\xa9__trace__\x81\xa1b\xc0"))
	f.Add([]byte("\x83\xa4type\xa1x\xa1v\x91\x01\xa9__trace__\xa1b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		typ, traced, err := payload.CheckTraced(data)
		if err != nil || !traced {
			return
		}
		bare, _ := payload.CutTrace(data)
		left, again, err := payload.CheckTraced(bare)
		if left != typ || again || err != nil {
			t.Fatalf("%x was cut to %x: type %q, traced %v, %v", data, bare, left, again, err)
		}
		if got, _ := payload.CutTrace(payload.WithTrace(bare, trace)); !bytes.Equal(got, bare) {
			t.Fatalf("%x came back as %x", bare, got)
		}
	})
}
