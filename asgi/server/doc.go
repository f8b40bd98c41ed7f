// Package server serves an [asgi.App] over HTTP and WebSocket, on net/http and gorilla/websocket.
//
//	srv := server.New(app, nil)
//	err := srv.Run(ctx) // listens on 127.0.0.1:8000 until ctx ends
//
// [Server.RunUntilSignal] ends with Ctrl-C or SIGTERM instead, and [FromEnv] reads [Options] from the environment. A server can
// face the Internet by itself: it ends TLS ([Options.CertFile], or ACME by [Options.TLS]) and bounds what strangers may use up.
//
// A Server is an [http.Handler] too: http.Handle("/ws/", srv) mounts it in any mux. Then whoever runs the mux runs the
// HTTP side, and [Server.Shutdown] ends the WebSockets, which http.Server.Shutdown does not know. Call both at once, as the
// example of [Server.ServeHTTP] does: one after the other, http.Server.Shutdown waits for streams of server-sent events, which
// have no end of their own, until its ctx ends, and leaves no time for the sockets.
//
// # Promises
//
// S1: Until the application accepts a WebSocket, no 101 is sent. No route is 404 (an [asgi.Deny] with that status), a
// refusal is 403, an application that fails or returns first is 500.
//
// S2: Everything has a limit with a safe default: header 5 s, handshake 5 s, message 1 MiB, a ping after 20 s of silence and
// 30 s for the answer, write 10 s, application close 10 s. [Options] has them all. For a peer that
// does not read, Options.QueueSize bytes wait in the server, and on Linux and macOS no more than about 128 KiB in the system.
//
// S3: Only pages of the same origin may open a WebSocket, unless Options.Origins says otherwise.
//
// S4: Close codes and reasons pass both ways. A close frame without a code is 1005, a lost connection 1006, text that is not
// UTF-8 1007, a message that is too big 1009, any other breach of the protocol 1002.
//
// S5: Shutdown stops accepting, tells each application why, closes sockets with 1001 spread over a window, delivers the
// disconnect, waits, then cuts.
//
// S6: A response, once begun, either completes or the connection is cut. It never hangs: each piece of it, 64 KiB at most, has
// the time of a write.
//
// S7: Sending after the end is [asgi.ErrClosed], not a panic.
//
// S8: Only [errors.ErrUnsupported], or no route, means that an application has no lifespan, and only until it has received
// lifespan.startup. Any other error before the startup is complete fails the start.
//
// # The end
//
// When the ctx of Run ends, or Shutdown is called, [Server.Ready] says no. After Options.DrainDelay new handshakes get 503 and
// the listeners close. Side by side, WebSockets are closed with 1001 (or Options.ShutdownCode), each at a moment of its own in
// Options.ShutdownWindow, and HTTP requests go on; clients of HTTP/2 are told by GOAWAY. After the window and 5 s for the closing
// handshakes the ctx of every request and socket that is left ends with an [asgi.DisconnectError]. After AppCloseTimeout their
// connections are cut, and what still runs is counted in the error. Then the lifespan has AppCloseTimeout to clean up. With
// the defaults that is 27 s at worst; a second Shutdown, the end of its ctx, or a second signal, cuts it short.
//
// # HTTP/2
//
// With TLS a client may choose HTTP/2, for requests only: a WebSocket needs a connection of HTTP/1.1, which browsers open by
// themselves. Extended CONNECT (RFC 8441) is not announced; what tries it gets a reset of its stream, and an Upgrade header
// in HTTP/2 is 400.
//
// # Outbound bytes
//
// Send puts a message into the connection's queue, bounded by Options.QueueSize, and does not wait for the peer. A few
// goroutines per Server write what waits, joined, and never block: a peer that takes no more gets a goroutine of its own and
// WriteTimeout for each piece. Messages sent with More wait for a flush, the next Receive, or a full queue. When
// the queue is full Send waits for room as long as its ctx lasts; with a ctx that has ended it returns [asgi.ErrFull].
//
// # Inbound bytes
//
// Receive reads the socket on the caller's goroutine if its ctx is the connection's own, or one that ends with it. For any
// other ctx that can end, the first call starts a goroutine that reads from then on. A connection that does nothing is one
// goroutine and a read buffer of 288 bytes.
package server
