// Package natslayer is the channel layer over NATS: any process reaches any connection.
//
//	layer, err := natslayer.Open(ctx, "nats://10.0.0.1:4222,nats://10.0.0.2:4222", nil)
//	layers.Register(layers.Default, layer)
//
// [Open] connects by itself; [New] takes a connection that the application has, such as that of a server inside the
// process (package natslayer/embedded). It holds the promises L1 to L17 of package layers; this page says what is
// particular to NATS.
//
// # Channels and groups
//
// All channels of a process share one subscription. A group has a subject, which a process subscribes while it has a
// member, and for 5 s after; the members of a process are served by one message. Everything that arrives is handed out by
// one goroutine, and what a process sends to itself takes the way through the broker too, so nothing overtakes (L3).
//
// A direct send is a request: the process that owns the channel answers that it took the message, that the channel is full
// (layers.ErrChannelFull) or gone (layers.ErrNoChannel). Where no process listens it is gone too, though a process that has lost the broker is not heard of either: in the first 5 s after an
// outage of its own, a sender waits up to 2 s for others to come back, and in a cluster always 50 ms for the news of them. Without an
// answer within 2 s, or before ctx ends, it is layers.ErrUncertain, and never sent again (L14).
//
// A group send is one publish; the broker is not waited for. It may still be on its way when another process adds a
// member, which then gets it. Processes on the same server reach a new member at once; on other servers of a cluster within
// 50 ms (L8), which is what the tests allow; on one busy machine half of the joins were known after 1.2 ms, all after 29.
//
// GroupAdd waits for the broker, at most 2 s. For a channel of another process it asks that process.
//
// # Outages
//
// When the connection is lost, channels get layers.Down; when it is back and the broker has taken all subscriptions
// again, layers.Up (L15). In between
//
//   - a group send is kept, up to 8 MiB of them, and sent when this process is back; above that it is an error. Processes that
//     come back later miss it.
//   - what needs an answer waits for the connection during the first 2 s of the outage, and fails at once later.
//   - a Receive waits on, and channels can be opened and ended, and groups left.
//
// What others send to the groups of a process meanwhile passes it by.
//
// A server that stands still without closing anything is taken for gone after 10 to 15 s. What was sent to it until then,
// at most 16 MiB, is lost like all that is on its way when a connection breaks: nobody knows what arrived. With Open no
// call waits for such a server longer than its ctx.
//
// A connection of the application's own should be made with nats.MaxReconnects(-1), since the layer stays down when the client
// gives up; and with nats.FlusherTimeout and nats.ReconnectOnFlusherError, since while the client waits for a server that
// stands still, by default for a minute, nothing else gets through to it.
//
// # Bounds
//
//   - One message: layers.Options.MaxMessageSize, and the server's max_payload less 4 KiB. With the servers' default of
//     1 MiB that is 1,044,480 bytes (L13).
//   - Messages that wait for the delivery goroutine: 65,536. It waits for nobody, so they wait only while the machine is
//     busy. Above, the client drops: messages of groups are counted (layers.DropFailed), with one line in the log for an
//     episode, and direct sends are uncertain.
//   - Requests of other processes that wait: 1,024. Above, they go unanswered.
//
// A process that dies leaves its groups when the server notices that its connection is gone: at once when the
// process ends; when its machine does, after ping_interval × ping_max of the server's configuration, for which "4s" and 2
// keep L10.
//
// # Queues
//
// Channels without "!" are kept by JetStream; without it they are errors.ErrUnsupported, which layers.Layer.Require finds
// out at start, and everything else works. Streams and consumers are made at the first use, and made again when they have
// gone, as after a restart of a broker that kept them in memory; a Receive waits through that.
//
// A Send waits at most 2 s for the broker's word: stored, full, or layers.ErrUncertain when none came; it is not sent twice.
// With Options.Replicas the first use of a queue may take up to 12 s, while the servers elect who leads it.
// A message is taken out of a queue before Receive returns it, so it is received at most once (L11). One that was on its way to
// a process that died or lost its connection is lost, and counted where that can be (layers.DropFailed). Age counts from the
// moment of storing, by the broker's clock; a difference to this process's is allowed for.
//
// A durable queue (layers.Durable) gives a job to another worker when its lease has run out, and keeps it in files
// unless Options.Storage says otherwise. A process that stood still (a stopped machine) does not begin the jobs that were given to
// it meanwhile, which others may have done; it hears of none that it has begun. Its two bounds are Capacity and MaxAge. A Take that is cancelled in the very moment when
// a job arrives gives it back at once, and that counts as one of the job's attempts.
//
// There is one stream for all queues of equal capacity and expiry, and one for all durable queues of equal capacity and
// age. Options.Storage and Options.Replicas say how streams are made; one that exists with another configuration is an
// error that names both values. So is a queue to which processes give different capacities or expiries, as far as it has
// messages or receivers: who comes second is told at its first use, a sender that was there before within 10 s. To change such
// options, let the queues run empty, or delete the stream.
//
// A queue that is a member of a group is held by the processes that added it. One of them subscribes to the group and puts what
// comes into the queue, in its order; at most 1,024 messages wait for that, more are dropped and counted as full. The others
// stand by and look every second. One that closes hands over, and nothing is lost, though messages of the 100 ms in which both
// forward may overtake each other; when one dies, what is sent until another takes its place, about a second after the broker
// has noticed, does not reach the queue. GroupDiscard, from any process, ends it for all of them; so does Flush.
//
// What differs from the promises: 2 MiB are not the bound of a queue, as they are of a mailbox (L5).
//
// # Wire format
//
// Any NATS client can send to groups and channels. PREFIX is Options.Prefix, "tideway" by default.
//
// A message is a msgpack map with string keys. One of them is "type", a string: the name of the message, not beginning with
// "layer.". Another is "__trace__", a string, if the sender is traced (layers.Propagator). The others are its payload. There
// are no headers, and those of others are ignored.
//
//	{"type": "note", "text": "hello"}
//	82 A4 74 79 70 65 A4 6E 6F 74 65 A4 74 65 78 74 A5 68 65 6C 6C 6F
//
// A name becomes one token of a subject: every "." is written "~"; letters, digits, "-", "_" and "!" stay. (Any other
// byte would be "=" and two upper-case hexadecimal digits, but no valid name has one.) The group chat.lobby is
// chat~lobby.
//
//	PREFIX.group.GROUP             publish: a message for each member
//	PREFIX.channel.PROCESS.ID      request: a message for the channel specific.PROCESS!ID
//	PREFIX.control.PROCESS         request: a change of a membership
//	PREFIX.mark.PROCESS            what a process sends to itself, to know what has arrived before
//	PREFIX.flush                   request without payload: all processes drop memberships and unread messages, and each
//	                               answers
//	PREFIX.queue.SHAPE.QUEUE       request: a message for a queue; JetStream answers
//	PREFIX.holder.GROUP.QUEUE      request: to the processes that hold a queue's membership in a group
//	PREFIX.forwarder.GROUP.QUEUE   request: to the one of them that forwards
//
// A request without a reply subject is obeyed and not answered. When nobody listens the broker itself answers, with status
// 503: there is no such process any more. Otherwise the answer to a request is text:
//
//	ok                   done
//	full                 the channel has no room; nothing was stored
//	gone                 there is no such channel
//	invalid              the request cannot be read
//	failed REASON        anything else
//
// The payload of a control request is text: a verb, a group and a channel of that process, with one space between.
//
//	join chat.lobby specific.PROCESS!ID
//	leave chat.lobby specific.PROCESS!ID
//
// Names are as they are here, not escaped.
//
// SHAPE is CAPACITY-EXPIRY, and for durable queues durable-CAPACITY-AGE; the times are written as Go does, as one token.
// By default it is 100-1m0s, and durable-10000-168h0m0s. The stream of a shape is PREFIX-queue-SHAPE: retention by work
// queue, discard new, discard new per subject, at most CAPACITY messages per subject. It is there when a process has used
// a queue of that shape. JetStream's answer to a request names the stream, or is error 10077, "maximum messages per subject
// exceeded", when the queue is full. Whoever receives shares the stream's one durable consumer of the queue, which is
// named QUEUE, with explicit acknowledgement; its AckWait is the lease of a durable queue, and 1 s more than the expiry of
// another. Of a queue that is not durable, a message may be handled only when its acknowledgement was confirmed.
// Retry is a -NAK with a delay, Extend is +WPI. A dead letter has the headers Tideway-Reason and Tideway-Queue, the queue
// that it comes from; headers of other messages are ignored.
//
// Requests to holders are text. "leave" to PREFIX.holder ends the membership in all that hear it; it is ended when nobody
// answers any more. "take" lets them forward. "look" to PREFIX.forwarder is answered by who forwards, "here PROCESS" ends
// the forwarding of all whose process is greater. A forwarder subscribes to the group in the broker's queue group QUEUE.
//
// Who may publish below PREFIX may do all this: accounts and permissions of the
// broker are what keeps others out. The process itself needs PREFIX.> and _INBOX.>, and for queues $JS.API.>.
package natslayer
