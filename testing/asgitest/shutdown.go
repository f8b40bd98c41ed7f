package asgitest

import (
	"net/http"

	"github.com/tideway-go/tideway/asgi"
)

// reasonShutdown is the reason that asgi/server gives.
const reasonShutdown = "server is shutting down"

// Shutdown plays the shutdown of a server: each open WebSocket is closed with 1001 by the server, and the ctx of its
// app ends 5 s later; a handshake that is not answered gets 503 and its ctx ends at once; new handshakes get 503.
// HTTP requests go on, as they do on a server, but for those that heed [asgi.Fields.Closing], such as streams of server-sent
// events. It does not wait.
func (s *Site) Shutdown() {
	s.mu.Lock()
	s.down = true
	sockets := s.sockets
	s.mu.Unlock()
	s.goAway()
	for _, server := range sockets {
		server.goAway()
	}
}

// enlist makes a WebSocket known to Shutdown, and reports whether that was called already.
func (c *core) enlist(server *wsServer) (down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sockets = append(c.sockets, server)
	return c.down
}

// goAway ends one WebSocket in a shutdown.
func (s *wsServer) goAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if s.phase == open {
		s.closeBy(codeGoingAway, reasonShutdown, shutdownGrace)
		return
	}
	if s.phase == connecting {
		s.emit(asgi.WebSocketHTTPResponseStart{Status: http.StatusServiceUnavailable})
		s.emit(asgi.WebSocketHTTPResponseBody{})
	}
	s.over(asgi.DisconnectError{Code: codeGoingAway, Reason: reasonShutdown, By: asgi.ByServer}, lost)
}
