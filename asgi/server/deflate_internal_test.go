package server

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
)

// No more messages are compressed at once than Options.Compressors says; the others wait, and small ones have no need to.
func TestCompressors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeflater(&Options{CompressionMin: 100, CompressionLevel: 1, Compressors: 2})
		large, small := asgi.TextFrame(strings.Repeat("tideway ", 100)), asgi.TextFrame("tideway")
		d.slots <- struct{}{}
		if b := d.encode(large); b[0]&bitRSV1 == 0 {
			t.Error("with a compressor left a large message is not compressed")
		}
		d.slots <- struct{}{}
		var done bool
		go func() { // ends below
			d.encode(large)
			done = true
		}()
		synctest.Wait()
		if b := d.encode(small); b[0]&bitRSV1 != 0 {
			t.Error("a small message is compressed")
		}
		if done {
			t.Error("a third message is compressed beside two")
		}
		<-d.slots
		synctest.Wait()
		if !done {
			t.Error("a message waits though a compressor is free")
		}
	})
}

func FuzzAcceptsDeflate(f *testing.F) {
	for _, s := range []string{"permessage-deflate", "permessage-deflate; server_max_window_bits=\"15\"", ";;,,=", "permessage-deflate;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if acceptsDeflate([]string{s}) && !acceptsDeflate([]string{"other, " + s}) {
			t.Errorf("%q is acceptable alone and not as the second offer", s)
		}
	})
}

// What compression would make larger goes out as it is.
func TestIncompressible(t *testing.T) {
	d := newDeflater(&Options{CompressionMin: 1, CompressionLevel: 1, Compressors: 1})
	noise := make([]byte, 1000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	if b := d.encode(asgi.Frame{Binary: true, Data: noise}); b[0]&bitRSV1 != 0 || len(b) != len(noise)+4 {
		t.Errorf("%d bytes of noise became %d, first byte %#x", len(noise), len(b), b[0])
	}
}
