package payload

import "fmt"

// maxTrace bounds what a trace context may be: a traceparent has 55 bytes, a tracestate 512 (W3C Trace Context sections 3.2
// and 3.3.1.5).
const maxTrace = 1024

// WithTrace returns a message with a trace context under its key. data has none, must have passed [Check], and stays as it
// is.
func WithTrace(data []byte, trace string) []byte {
	r := reader{data: data}
	head, err := r.root()
	if err != nil {
		panic(fmt.Sprintf("payload: WithTrace: %v", err))
	}
	b := appendMap(make([]byte, 0, len(data)+len(TraceKey)+len(trace)+12), head.n+1)
	return appendString(appendString(append(b, r.data...), TraceKey), trace)
}

// CutTrace returns a message without the key of trace contexts, and what was under it: the last one, if that is a text of a
// size that a trace context may have. data must have passed [Check], and stays as it is.
func CutTrace(data []byte) (bare []byte, trace string) {
	r := reader{data: data}
	head, err := r.root()
	if err != nil {
		panic(fmt.Sprintf("payload: CutTrace: %v", err))
	}
	pairs, left := make([]byte, 0, len(data)), head.n
	for range head.n {
		start := r.data
		key, err := r.key()
		value := r.data
		if err == nil {
			err = r.pass()
		}
		if err != nil {
			panic(fmt.Sprintf("payload: CutTrace: %v", err))
		}
		if string(key) != TraceKey {
			pairs = append(pairs, start[:len(start)-len(r.data)]...)
			continue
		}
		left--
		trace = ""
		if t, err := (&reader{data: value}).next(); err == nil && t.kind == kindText && len(t.raw) <= maxTrace {
			trace = string(t.raw)
		}
	}
	return append(appendMap(make([]byte, 0, len(pairs)+5), left), pairs...), trace
}
