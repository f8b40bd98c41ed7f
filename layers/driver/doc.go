// Package driver is what a backend of package layers implements. Applications need package layers only.
//
// A [Driver] moves bytes between processes, and nothing more. The *layers.Layer above it has checked names, message
// sizes and reserved types, the closed state and nil arguments, before a driver sees them; it encodes, decodes, counts
// and words the errors. What only some backends can do is an interface of its own, found by type assertion: [Groups],
// [Queues], [Jobs], [Flusher], [Limited]. A driver without one lacks the feature, and the layer answers
// errors.ErrUnsupported.
//
// A driver's constructor is its package's business; it ends with layers.New(d, opts). The receiving side of a process
// is the same for every backend and is written here: [Local] is the table of its channels and of the groups that they
// are in, [Mailbox] a bounded queue with waiting receivers, [Namer] makes channel names. What a driver needs
// from its layer comes with [Starter]: a [Host] and the [Limits].
//
// # How the backends fit
//
// memlayer, one process or a bus of several: Send and GroupSend find the Local of the owner, or of every process, and
// deliver on the caller's goroutine.
//
// NATS. Open takes a name from a Namer; one wildcard subscription on the process's part of it serves all channels. Join
// says which group has its first member here, and Leave and Shut which has lost its last: the group's subject is
// subscribed in between (and a while longer), and GroupAdd flushes before it returns. Everything arrives on
// one delivery goroutine, which calls Host.Message once and Local.Deliver or Local.DeliverGroup; a process's own sends
// take that way too, so nothing overtakes (L3), and inboxes never block, so it never stalls. A direct send to another
// process is a request, answered with what Local.Deliver returned; no answer is [ErrUncertain]. GroupAdd of a foreign
// channel is a request to the process in its name ([Owner]). Queues are streams, one per distinct (capacity, expiry), which
// Limits tell; without JetStream, Lacks says so at start. A server's own payload limit is [ErrTooLarge].
//
// Redis, Core. Any valid name with a "!" will do for Open. GroupAdd writes the full name of any channel, own or foreign, to
// the group's sorted set, and Joins an own one to the Local too: Shut tells all its groups, to be removed from Redis,
// and Memberships lists what has to be renewed. GroupSend reads the set and writes one message per process key, which
// lists the process's channels; its reader calls Host.Message once, with the score as the stamp, and Local.Deliver for each
// name in the list, and tells Host.Dropped of those that are full. What a format adds (the reserved field, encryption, JSON)
// the driver adds after the layer and removes before Host.Message.
//
// Redis, PubSub. Open makes a name without "!" and subscribes it. Groups work as on NATS. It has no Queues, so the layer
// knows that a name which is not one of its own channels cannot be received from.
//
// A lost connection: the driver calls Host.Outage(cause), hands the message to Local.DeliverAll, reconnects, restores its
// subscriptions from what it has, and does the same with Outage(nil). Errors of methods meanwhile tell the cause; what may
// have left is ErrUncertain.
//
// # What may come
//
// Each of these is one more optional interface with at most four methods, and one more Feature; nothing above changes.
// History: GroupHistory(ctx, group, after Position, limit) beside a GroupSend that returns a Position, with Message
// carrying it. Presence: Members(ctx, group) and Touch(ctx, group, channel, info), for which Memberships is the local
// half. Delayed sends: SendAt(ctx, at, channel, m).
package driver
