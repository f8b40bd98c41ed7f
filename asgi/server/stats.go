package server

import (
	"iter"
	"sync/atomic"
)

// Stats are the figures of a Server, counted from [New] on. Those that are named in the plural only grow; Open, Handshaking and
// HTTPOpen are of now. There is a fixed number of them, whatever clients send, so each may be a time series.
//
// Bytes are those of frames on the wire, headers and control frames included, before TLS and after compression, without the
// handshake. Outbound messages count when they enter the queue, outbound bytes when the socket has taken them.
type Stats struct {
	Open        int        // WebSockets between the accept and the end of their application
	Handshaking int        // WebSockets whose application has not answered yet
	Handshakes  Handshakes // those that were answered, by how

	MessagesIn, MessagesOut uint64
	BytesIn, BytesOut       uint64

	Pings           uint64 // sent after silence
	PingsUnanswered uint64 // connections cut because no answer came
	SlowReaders     uint64 // connections cut because a write took longer than Options.WriteTimeout
	ProtocolErrors  uint64 // connections closed because of what the peer sent: 1002, 1007, 1009
	QueueFull       uint64 // messages not taken ([asgi.ErrFull]): a broadcast went on without this member
	Failures        uint64 // applications that failed after the accept: an error, or a panic
	Overdue         uint64 // applications that went on after Options.AppCloseTimeout

	HTTPOpen        int    // requests that are being answered
	HTTPRequests    uint64 // those that have begun
	HTTPFailures    uint64 // applications that failed: 500, or a cut connection
	HTTPBadRequests uint64 // requests that no application sees, or whose body nobody can read
	HTTPRefused     uint64 // Options.MaxRequests: 503
	HTTPSlowReaders uint64 // clients cut because they did not take a response
}

// Handshakes counts answers to WebSocket handshakes. Each handshake is in one of the fields.
type Handshakes struct {
	Accepted    uint64
	Denied      uint64 // the application refused: 403, or another status of its choice below 500
	Unavailable uint64 // the application refused with 500 or above, such as 503 while a broker is away
	Failed      uint64 // the application failed, or returned before it answered: 500
	TimedOut    uint64 // no answer within Options.HandshakeTimeout: 503
	Origin      uint64 // the page's origin is not allowed: 403
	Malformed   uint64 // no handshake of RFC 6455: 400, 405 or 431
	Limited     uint64 // Options.MaxWebSockets or MaxHandshakes: 503
	Draining    uint64 // it came during the shutdown, or was unanswered when that began: 503
	Abandoned   uint64 // the client left before the answer
}

// All yields each field with a name in lower case, such as "accepted", for the label of a metric.
func (h Handshakes) All() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for r := range handshakeResults {
			if !yield(resultNames[r], *h.field(r)) {
				return
			}
		}
	}
}

// A handshakeResult is how a handshake was answered.
type handshakeResult int

const (
	resultAccepted handshakeResult = iota
	resultDenied
	resultUnavailable
	resultFailed
	resultTimedOut
	resultOrigin
	resultMalformed
	resultLimited
	resultDraining
	resultAbandoned
	handshakeResults
)

var resultNames = [handshakeResults]string{"accepted", "denied", "unavailable", "failed", "timed_out", "origin", "malformed",
	"limited", "draining", "abandoned"}

// field is where a result is counted.
func (h *Handshakes) field(r handshakeResult) *uint64 {
	return [handshakeResults]*uint64{&h.Accepted, &h.Denied, &h.Unavailable, &h.Failed, &h.TimedOut, &h.Origin, &h.Malformed,
		&h.Limited, &h.Draining, &h.Abandoned}[r]
}

// A traffic is what one connection counts for each message. It is the connection's own, so that no two processors meet at it.
type traffic struct {
	messagesIn, messagesOut, bytesIn, bytesOut atomic.Uint64
}

// addTo adds t to st.
func (t *traffic) addTo(st *Stats) {
	st.MessagesIn += t.messagesIn.Load()
	st.MessagesOut += t.messagesOut.Load()
	st.BytesIn += t.bytesIn.Load()
	st.BytesOut += t.bytesOut.Load()
}

// counters are what happens seldom enough to be counted for all connections at once.
type counters struct {
	handshakes [handshakeResults]atomic.Uint64

	pings, pingsUnanswered, slowReaders, protocolErrors, queueFull, failures, overdue atomic.Uint64

	httpOpen                                                                  atomic.Int64
	httpRequests, httpFailures, httpBadRequests, httpRefused, httpSlowReaders atomic.Uint64
}

// Stats returns the figures. It may be called at any time; its cost is a look at each open WebSocket, 10 ms for 100,000, during
// which no other begins or ends. The fields are not all of the same moment.
func (s *Server) Stats() Stats {
	n := &s.counts
	s.mu.Lock()
	st := s.gone
	st.Open, st.Handshaking = s.open, -s.open
	for c := s.newest; c != nil; c = c.older {
		st.Handshaking++
		c.traffic.addTo(&st)
	}
	s.mu.Unlock()
	for r := range handshakeResults {
		*st.Handshakes.field(r) = n.handshakes[r].Load()
	}
	st.Pings, st.PingsUnanswered = n.pings.Load(), n.pingsUnanswered.Load()
	st.SlowReaders, st.ProtocolErrors = n.slowReaders.Load(), n.protocolErrors.Load()
	st.QueueFull, st.Failures, st.Overdue = n.queueFull.Load(), n.failures.Load(), n.overdue.Load()
	st.HTTPOpen, st.HTTPRequests = int(n.httpOpen.Load()), n.httpRequests.Load()
	st.HTTPFailures, st.HTTPBadRequests = n.httpFailures.Load(), n.httpBadRequests.Load()
	st.HTTPRefused = n.httpRefused.Load()
	st.HTTPSlowReaders = n.httpSlowReaders.Load()
	return st
}
