package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tideway-go/tideway/asgi"
)

// readBuffer is what an idle connection keeps for its next message. Most messages of a chat fit; the rest of a longer one is
// read past it, into the scratch, so a larger buffer would spare a system call only to clients that send a burst of messages.
// gorilla takes no buffer of ours that has 256 bytes or less.
const readBuffer = 288

// accept completes the handshake with 101. Its steps are functions of their own, because net/http's goroutine, on which it
// runs, would need a larger stack for all of them at once.
func (c *conn) accept(w http.ResponseWriter, r *http.Request, hs *handshake, e asgi.WebSocketAccept) (bool, error) {
	if err := checkAccept(r, e); err != nil {
		return false, err
	}
	switch err := c.takeOver(w); {
	case err == errCut:
		hs.result = resultDraining
		return true, asgi.ErrClosed
	case err != nil:
		return false, err
	}
	if err := c.upgrade(w, r, acceptHeader(e, c.srv.opts.ServerHeader)); err != nil {
		c.net.Close()
		c.lose(asgi.DisconnectError{Code: codeAbnormal, Reason: err.Error(), By: asgi.ByNetwork}, false)
		hs.result = resultAbandoned
		return true, asgi.ErrClosed
	}
	c.begin()
	hs.result = resultAccepted
	return true, nil
}

// acceptHeader is what the 101 says besides the handshake itself.
func acceptHeader(e asgi.WebSocketAccept, server string) http.Header {
	if e.Subprotocol == "" && server == "" {
		return e.Header
	}
	header := e.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if e.Subprotocol != "" {
		header["Sec-Websocket-Protocol"] = []string{e.Subprotocol}
	}
	if server != "" && len(header["Server"]) == 0 {
		header["Server"] = []string{server}
	}
	return header
}

// errCut says that a shutdown was cut before the server had the socket.
var errCut = errors.New("the server cut its connections")

// takeOver takes the socket from net/http.
func (c *conn) takeOver(w http.ResponseWriter) error {
	nc, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("asgi/server: accept: the server underneath cannot hand over its connection (a middleware that wraps http.ResponseWriter needs Unwrap): %w", err)
	}
	if n := buffered.Reader.Buffered(); n > 0 {
		early := make([]byte, n)
		buffered.Read(early) // buffered bytes come at once
		c.early = bytes.NewReader(early)
	}
	nc = below(nc)
	raw := rawConn(nc)
	c.mu.Lock()
	cut := c.cut
	c.net, c.raw = nc, raw
	c.mu.Unlock()
	if cut { // there was nothing to close then
		closeSocket(nc, true)
		return errCut
	}
	if !c.direct {
		limitUnsentOf(nc)
	}
	return nil
}

// upgrade writes the 101.
func (c *conn) upgrade(w http.ResponseWriter, r *http.Request, header http.Header) (err error) {
	c.in = bufio.NewReaderSize((*transport)(c), readBuffer)
	response := takenOver{w, c, c.srv.responses.get((*transport)(c), c.in)}
	defer c.srv.responses.put(response.rw)
	if c.srv.opts.Compression && acceptsDeflate(r.Header["Sec-Websocket-Extensions"]) {
		c.deflate = true
		c.ws, err = deflateUpgrader.Upgrade(response, deflateHandshake(r), header)
	} else {
		c.ws, err = upgrader.Upgrade(response, r, header)
	}
	if err == nil {
		c.net.SetDeadline(time.Time{})
	}
	return err
}

// writeResponse writes the 101. A socket takes that at once, mostly, and a deadline would cost more than the write.
func (c *conn) writeResponse(p []byte) (n int, err error) {
	if c.raw != nil {
		w := c.srv.writers.get()
		defer c.srv.writers.put(w)
		if n, err = w.write(c.raw, p); err != nil || n == len(p) {
			return n, err
		}
	}
	c.net.SetWriteDeadline(time.Now().Add(c.srv.opts.WriteTimeout)) // upgrade lifts it
	k, err := c.net.Write(p[n:])
	return n + k, err
}

// checkAccept finds what the application got wrong.
func checkAccept(r *http.Request, e asgi.WebSocketAccept) error {
	if offered := subprotocols(r.Header); e.Subprotocol != "" && !slices.Contains(offered, e.Subprotocol) {
		return fmt.Errorf("asgi/server: accept: the client did not offer the subprotocol %q: choose one of Scope.Subprotocols, %q, or none", e.Subprotocol, offered)
	}
	for name, values := range e.Header {
		if !validToken(name) {
			return fmt.Errorf("asgi/server: accept: %q is no header name: use letters, digits and hyphens", name)
		}
		switch http.CanonicalHeaderKey(name) {
		case "Sec-Websocket-Protocol":
			return fmt.Errorf("asgi/server: accept: the header has Sec-WebSocket-Protocol: set Subprotocol instead")
		case "Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Connection", "Upgrade", "Content-Length", "Transfer-Encoding":
			return fmt.Errorf("asgi/server: accept: the header has %s: leave it out, the server sets it", name)
		}
		for _, v := range values {
			if !validHeaderValue(v) {
				return fmt.Errorf("asgi/server: accept: the header %s has a control character in its value %q: remove it", name, v)
			}
		}
	}
	return nil
}

// begin turns a handshake into a connection.
func (c *conn) begin() {
	limit := int64(c.srv.opts.MaxMessage)
	if c.deflate && limit > 0 {
		limit += limit/64 + 64 // what cannot be compressed grows a little; gather bounds what comes out
	}
	c.ws.SetReadLimit(limit)
	c.ws.SetPingHandler(c.answerPing)
	c.ws.SetCloseHandler(c.answerClose)
	c.srv.mu.Lock()
	c.srv.open++
	c.srv.mu.Unlock()
	c.mu.Lock()
	c.open = true
	if age := c.srv.opts.MaxAge; age > 0 {
		c.old = time.Since(c.srv.begun) + age + rand.N(age/10+1)
	}
	if c.srv.opts.PingInterval > 0 {
		c.srv.pulse.add(c)
	}
	c.mu.Unlock()
	select {
	case <-c.srv.closing: // while the 101 was written, when the shutdown found nothing to close yet
		c.close(c.srv.goodbye)
	default:
	}
}

// takenOver is the ResponseWriter that gorilla upgrades: the connection is ours already.
type takenOver struct {
	http.ResponseWriter
	c  *conn
	rw *bufio.ReadWriter // its writer's buffer serves the 101
}

// Hijack implements [http.Hijacker].
func (t takenOver) Hijack() (net.Conn, *bufio.ReadWriter, error) { return (*transport)(t.c), t.rw, nil }

// upgrader and deflateUpgrader write the 101. They decide nothing: all is checked before the application runs. A
// noBuffers keeps gorilla from giving each connection a write buffer for which it has no use.
var (
	upgrader        = websocket.Upgrader{WriteBufferPool: noBuffers{}, CheckOrigin: anyOrigin}
	deflateUpgrader = websocket.Upgrader{WriteBufferPool: noBuffers{}, CheckOrigin: anyOrigin, EnableCompression: true}
)

func anyOrigin(*http.Request) bool { return true }

type noBuffers struct{}

func (noBuffers) Get() any { return nil }
func (noBuffers) Put(any)  {}

// deflateHandshake is what gorilla is to see of a request with an offer that was found acceptable. It would accept others.
func deflateHandshake(r *http.Request) *http.Request {
	return &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection":               {"Upgrade"},
		"Upgrade":                  {"websocket"},
		"Sec-Websocket-Version":    {"13"},
		"Sec-Websocket-Key":        r.Header["Sec-Websocket-Key"],
		"Sec-Websocket-Extensions": {"permessage-deflate"},
	}}
}

// responsePool keeps the buffers that 101 responses are written with.
type responsePool struct{ pool sync.Pool }

func (p *responsePool) get(nc net.Conn, in *bufio.Reader) *bufio.ReadWriter {
	rw, ok := p.pool.Get().(*bufio.ReadWriter)
	if !ok {
		rw = bufio.NewReadWriter(nil, bufio.NewWriterSize(nil, 512))
	}
	rw.Reader = in
	rw.Writer.Reset(nc)
	return rw
}

func (p *responsePool) put(rw *bufio.ReadWriter) {
	rw.Reader = nil
	rw.Writer.Reset(nil)
	p.pool.Put(rw)
}
