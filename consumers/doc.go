// Package consumers is where applications are written: a consumer is the code of one connection, an actor with a
// mailbox, whose handlers run one at a time.
//
// A consumer is a table: which function handles what. The state S is the author's own struct, one per connection.
//
//	const chatMessage layers.Type[said] = "chat.message"
//
//	type chat struct{ room string }
//
//	var Chat = consumers.AsyncWebsocketConsumer[chat]{
//		Connect: (*chat).connect,
//		Text:    consumers.JSON((*chat).receive),
//		Forward: consumers.Types(chatMessage),
//	}.App()
//
//	func (s *chat) connect(ctx context.Context, c *consumers.Conn) error {
//		s.room = "chat." + routing.Param(c.Scope(), "room")
//		if layers.CheckGroup(s.room) != nil {
//			return asgi.Deny{Status: http.StatusNotFound}
//		}
//		return c.GroupAdd(ctx, s.room)
//	}
//
//	func (s *chat) receive(ctx context.Context, c *consumers.Conn, in said) error {
//		return c.GroupSend(ctx, s.room, chatMessage.With(said{User: "anonymous", Text: in.Text}))
//	}
//
// The tables are [AsyncWebsocketConsumer], [AsyncSSEConsumer] for server-sent events, [AsyncHTTPConsumer] and, for any protocol
// and for workers, [AsyncConsumer]. Their handlers take a ctx that ends with the connection. [SyncWebsocketConsumer],
// [SyncSSEConsumer], [SyncHTTPConsumer] and [SyncConsumer] are the same for blocking handlers, which run to their end. A table is
// made an app by App, which panics where the table cannot be meant.
//
// # The life of a WebSocket
//
//   - A client asks. The groups are joined and Connect decides: nil accepts, an error refuses. A refusal is an HTTP
//     response and has no close code; to give one, such as 4401, call [Conn.Accept] first.
//   - Each message of the client runs Text or Binary. Each message of the channel layer runs what Messages lists for
//     its type, or goes straight to the client where Forward lists it.
//   - Handlers send by the methods of [Conn], to the client, to groups, to channels. What they send to the client comes
//     before what they send to a group that the connection is in itself: messages of the layer wait for the handler.
//   - The end comes from the client, from a handler (Close, or an error), from the network or from the server.
//   - Disconnect runs, the groups are left, and what the connection started is waited for.
//
// # The life of a request
//
// A request runs Handle with its whole body, or Stream, which reads the body while it comes. What ends it is the last part of the
// response, not the return of the handler: layer messages and [Conn.Go] may answer later, part by part. A stream of server-sent
// events lives as a WebSocket does: the groups are joined, Connect decides, messages go out until an end comes. One Connect, one
// list of Messages and one Forward serve both.
//
// # Promises
//
// Each is held by a test that carries its number.
//
// C1. Handlers of one connection never overlap; state needs no lock. All methods of Conn are safe from any goroutine.
//
// C2. Each lane, that of the client's events and that of the layer's messages, is handled in order; neither starves
// the other.
//
// C3. Only listed handlers are reachable. A message of an unlisted type is dropped and counted, and logged once per
// type and table, for a table's first 1,000 types.
//
// C4. Client events read before a close are still handled, in order; then, or 1 s after the close, the ctx of the
// handlers ends with an [asgi.DisconnectError] as its cause, which tells code, reason and who ended the connection. A
// lost connection, a failed [Conn.Go], and the end of the server's shutdown window end it at once. While the client lane
// is full, the end is seen only by a failed write, and the server's pong clock stops while nobody reads. Before the
// accept, ctx also ends with the request.
//
// C5. Disconnect runs exactly once if and only if Connect returned nil or called Accept, whatever ended the
// connection, with a ctx of its own of 10 s; the groups are left after it.
//
// C6. Nil from Connect accepts. [asgi.Deny] refuses with that HTTP response.
//
// C7. A handler's error closes with 1011 and one log line, or with the code it carries ([asgi.CloseError]); [ErrStop]
// ends quietly; a panic closes with 1011 and its stack is logged once; no other connection notices. After the end,
// the cause of ctx and [asgi.ErrClosed] are no errors. Bad JSON from a peer, an empty message too, closes with 1007 in
// [JSON]: one line, no stack.
//
// C8. Nothing from a group is written before the accept.
//
// C9. A client that never reads is cut when one write has taken 10 s; nobody else waits for it, and the memory it holds
// is bounded: by the server's queue, then by the mailbox (capacity messages and 2 MiB, the frames of forwarded messages
// counted with them). The body of a request waits with the client until somebody reads it.
//
// C10. Every goroutine that a connection started has ended when Serve returns. A handler that ignores its ctx cannot be
// cut: 10 s after the end one line names it, and the server's Shutdown returns an error with the count.
//
// # Metrics and traces
//
// An [Observer] that middleware puts into the scope follows the handlers: package asgi/server/metrics counts and times them,
// asgi/server/tracing makes spans of them.
//
// # What a handler should not do
//
// It should not wait for a message to its own connection: that message waits for the handler. Work that takes long goes
// to [Conn.Go], which answers by a message to [Conn.ChannelName], or to a [Worker].
//
// It should not return the error of a send to somebody else as it is: [layers.ErrNoChannel] says that the other
// connection has gone, [layers.ErrChannelFull] that it has too much to read, and either would close this one with 1011.
package consumers
