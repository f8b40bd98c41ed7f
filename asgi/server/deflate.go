package server

import (
	"bytes"
	"compress/flate"
	"strings"
	"sync"

	"github.com/tideway-go/tideway/asgi"
)

// A deflater compresses messages (RFC 7692) without context takeover, so that the same bytes serve every receiver and no
// connection keeps a compressor. Those who find all compressors at work wait for one: that takes no longer than the work, of
// which a processor can do no more anyway.
type deflater struct {
	min, level int
	slots      chan struct{} // as many as compressors may be at work
	pool       sync.Pool
}

func newDeflater(o *Options) deflater {
	return deflater{min: o.CompressionMin, level: o.CompressionLevel, slots: make(chan struct{}, o.Compressors)}
}

// deflateWriter is a compressor and where it writes.
type deflateWriter struct {
	flate *flate.Writer
	buf   bytes.Buffer
}

// encode makes one piece of header and payload, compressed if that makes it smaller.
func (d *deflater) encode(f asgi.Frame) []byte {
	if len(f.Data) < d.min {
		return encodePlain(f)
	}
	d.slots <- struct{}{}
	defer func() { <-d.slots }()
	w, _ := d.pool.Get().(*deflateWriter)
	if w == nil {
		w = &deflateWriter{}
		w.flate, _ = flate.NewWriter(&w.buf, d.level) // an error would be about the level
	}
	defer d.pool.Put(w)
	w.buf.Reset()
	w.flate.Reset(&w.buf)
	w.flate.Write(f.Data) // a bytes.Buffer takes everything
	w.flate.Flush()
	payload := bytes.TrimSuffix(w.buf.Bytes(), []byte{0, 0, 0xFF, 0xFF}) // RFC 7692 section 7.2.1
	if len(payload) >= len(f.Data) {
		return encodePlain(f)
	}
	b := appendHeader(make([]byte, 0, maxHeader+len(payload)), bitRSV1|dataOpcode(f.Binary), len(payload))
	return append(b, payload...)
}

// acceptsDeflate reports whether a client offers permessage-deflate in a way that this server can keep to. Among several
// offers the first such one counts. A smaller window for our side is out of reach of compress/flate; all else may be
// answered with less than was offered (RFC 7692 section 7.1).
func acceptsDeflate(offers []string) bool {
	for _, line := range offers {
		for offer := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(offer, ";")
			if strings.TrimSpace(name) == "permessage-deflate" && deflateParams(params) {
				return true
			}
		}
	}
	return false
}

// deflateParams reports whether every parameter of an offer is known and possible.
func deflateParams(params string) bool {
	if strings.TrimSpace(params) == "" {
		return true
	}
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if value != "" {
				return false
			}
		case "client_max_window_bits": // a hint that it may be limited
		case "server_max_window_bits":
			if strings.Trim(value, `"`) != "15" {
				return false
			}
		default:
			return false
		}
	}
	return true
}
