// Package layers lets any process of an application send to any connection: channel layers, as in Django Channels.
//
// A [Layer] moves messages between channels. A channel with a "!" in its name is process-local: it belongs to one
// connection, in one process, and ends with it. A channel without is a queue, for workers. A group is a set of
// channels. Backends make layers: package memlayer for one process, natslayer and redislayer for several.
//
//	// chatMessage is the one place where a message's name and its payload meet.
//	const chatMessage layers.Type[said] = "chat.message"
//
//	layer := memlayer.New(nil)
//	layers.Register(layers.Default, layer) // where consumers find it
//
//	err := layer.GroupSend(ctx, "chat.lobby", chatMessage.With(said{User: "ann", Text: "hello"}))
//
// Connections are consumers (package consumers), which open their channel with [Layer.Listen]; other code opens one
// with [Layer.NewChannel] and waits in [Layer.Receive]. Anything may send: a handler, an HTTP handler, a command.
//
// # Promises
//
// Every backend holds them, and the suite testing/layertest shows it.
//
//   - L1 Names are ASCII letters, digits, "-", "_", "."; 1 to 99 bytes; a channel may have one "!", not first; a group
//     none. Anything else is an [ErrInvalidName] that states the rule, and nothing is stored.
//   - L2 A channel from NewChannel or Listen is unique across processes and reaches its owner only.
//   - L3 One goroutine's sends through one Layer, each begun after the last returned, direct or by group, reach one
//     process-local channel in that order; reconnects excepted.
//   - L4 At most once: never twice. Jobs of durable queues (L18) excepted.
//   - L5 Capacity is per channel (default 100, patterns override; 0 is the default, negative panics). A direct send to a
//     full channel is [ErrChannelFull] and stores nothing, also when the owner is another process. A group send
//     skips full members, counts them, and never fails for them.
//   - L6 A message unread for longer than Options.Expiry (default 60 s) is never handled: measured from its arrival in
//     the process that holds the mailbox, or from the sender's stamp where the format has one; checked when the
//     handler starts.
//   - L7 What was sent is a snapshot: no later change by the sender or by another receiver shows.
//   - L8 A GroupSend that happens after GroupAdd returned is offered to the member (L5 and L6 apply); one after
//     GroupDiscard returned is not. Between nodes of a cluster a backend states how long it takes.
//   - L9 Adding twice is adding once; discarding a stranger, or sending to an empty group, is no error.
//   - L10 Membership ends with its channel, and with its process within 10 s when that dies; a live member stays,
//     however long.
//   - L11 A channel without "!" is a queue: each message goes to at most one receiver, and waits for one up to expiry
//     and capacity.
//   - L12 A direct send to a process-local channel that does not exist is [ErrNoChannel] where the backend can know.
//   - L13 1,000,000 encoded bytes pass everywhere; above Options.MaxMessageSize (2 MiB) it is [ErrMessageTooLarge] and
//     nothing is stored.
//   - L14 Sending never waits for a handler or a mailbox. Over a network it waits a bounded time for the owner's
//     answer, then it is [ErrUncertain]; nothing is sent again.
//   - L15 A lost broker connection kills no consumer: the layer reconnects, restores its subscriptions, and tells local
//     channels by [Down] and [Up], which are local only and never decoded from the wire.
//   - L16 Close first sends what is buffered, or says what it could not; after it everything is [ErrClosed]; nothing
//     leaks.
//   - L17 A payload is a map with a "type", encoded as msgpack as channels_redis does; text, bytes, int64 (uint64 above
//     2^63-1), float64, bool, nil, lists and maps come back as they went. T encodes as a map without "type" and
//     "__asgi_channel__", else With panics naming T; json tags name fields.
//   - L18 A durable queue gives each job to one worker at a time until that says that it is done: again after its Lease
//     when the worker dies, after the time that Retry names, never after Done. A job outlives Expiry, up to its
//     MaxAge; Bury moves it to the dead letters, at no moment in neither.
//
// # Durable queues
//
// What Options.Durables name is kept until it is done ([Durable]): senders send as ever, and consumers.Worker runs a
// handler for each job, again where it failed or died, and buries it at last ([DeadLetters]). [Layer.Take] is for
// other code. Not every backend has them: ask [Layer.Require] for [Jobs] at start.
//
// # Payloads
//
// The keys and values of a payload are those that encoding/json shows of it: json tags with their options, embedded
// structs, text for types with MarshalText (time.Time), whatever MarshalJSON writes. Unlike JSON, []byte and byte arrays
// stay bytes, and numbers keep their kind: a float64 of 1 comes back as a float64. Names match exactly. Invalid UTF-8
// in a string becomes U+FFFD: send bytes as []byte.
//
// # Traces
//
// With Options.Propagator a message carries the trace of its sender to the handlers in every process, under one reserved key
// of the map, "__trace__", which no payload may have. It is off by default, and no receiver sees the key in a payload.
//
// # Nothing is logged
//
// Layers return errors and count. What is dropped where nobody can be told shows in [Layer.Stats] and goes to
// Options.OnDrop.
package layers
