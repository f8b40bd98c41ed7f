// Package redislayer is the channel layer over Redis, in the formats of channels_redis 4: a Django Channels deployment and
// Tideway share groups and channels, so connections can move to Go one consumer at a time.
//
//	layer, err := redislayer.Core(ctx, &redislayer.Options{Hosts: []string{"redis://10.0.0.1:6379"}})
//	layers.Register(layers.Default, layer)
//
// [Core] speaks with RedisChannelLayer, [PubSub] with RedisPubSubChannelLayer. They are two protocols: all processes of a
// deployment use the same one, with the same settings.
//
//	                    Core                               PubSub
//	messages            stored for up to Expiry            lost when nobody listens
//	group send          2 round trips, whatever the        1 round trip
//	                    members; a message for each
//	                    process that has some
//	channels without    queues                             errors.ErrUnsupported
//	"!"
//	needs               Redis 5                            Redis 6
//
// So a message for a group of 10,000 members in 10 processes is 2 round trips and 10 messages with Core, the sender's own
// members aside, and 1 round trip and 1 message with PubSub.
//
// The tests run both ways against channels_redis 4.0.0, and a Django Channels consumer on Daphne, with Redis 7.0, and on a
// server without the commands that came after 5.0 and 6.0. What channels_redis has since 4.2.1, JSON, and keys with PubSub,
// is tested against a subclass of ours of its 4.0.0.
//
// # What Redis cannot promise
//
// The promises L1 to L17 of package layers hold, except for these. Durable queues (L18) are errors.ErrUnsupported.
//
// Core:
//
//   - L5: the sender is told that a channel of another process is full only when the key of that process is: at the
//     channel's capacity for a process of Python, as channels_redis counts, and at 10,000 messages, or the capacity if it is
//     more, for one of Tideway, which takes what waits in bulk. A full mailbox in another Tideway process drops and counts
//     there. Python senders know only their own capacity for all channels of a process.
//   - L3: queues on several hosts have no order between hosts.
//   - L10: the members of a Python process that died stay until GroupExpiry. So does a membership that Python made for a
//     channel of Tideway, alive or not, unless a Tideway process sends to the group in the second half of that time: then it
//     is renewed, and ends with the channel.
//   - L12: a send to a channel of another process that does not exist is stored for nobody, and expires.
//
// PubSub:
//
//   - L5: a sender is never told that a channel is full; what is above the capacity is dropped and counted at the channel.
//   - L6: the format has no stamp: a message's age counts from its arrival.
//   - L3: with several hosts, direct and group messages take different ways.
//   - L11: there are no queues.
//   - L12: a send is ErrNoChannel when the whole process is gone, and lost when only the channel is.
//
// JSON (L17): no bytes, NaN and infinities: sending them is an error, to a channel of the same process too. Numbers without a
// fraction arrive as integers.
//
// At most once (L4) holds for Tideway: a message that was taken from Redis when the process or the connection died is lost.
// RedisChannelLayer keeps a copy of what it is reading and reads it again after a crash, and readers of one queue in several
// Python processes share that copy: on queues that Python reads too, a message may come twice, there.
//
// # Names and keys
//
// PREFIX is Options.Prefix. A Tideway process reads one key, whatever the number of its channels, with one connection for each
// host that waits in Redis, and never polls. The queues that somebody here waits for are waited for by the same command. What a
// process sends takes up to four more connections to each host.
//
//	PREFIXspecific.PROCESS!    messages for the channels of a process, as score the sender's Unix time
//	PREFIXjobs                 messages of the queue "jobs"
//	PREFIX:group:room          members of a group, as score the time at which they joined or were renewed
//	PREFIX:processes           Tideway processes and when they were last seen, by the clock of Redis
//	PREFIX:holders:room        which Tideway processes hold which queues in a group
//
// channels_redis knows the first three. The last two are what keeps L10: a process tells of itself every 2 s, and members of
// one that has not for 7 s are left out and removed by the next Tideway process that sends to their group. One that was only
// slow, or cut off, comes back with all its members. Python senders write for dead members until they are removed.
//
// For PubSub the Redis channels are
//
//	PREFIXspecific.PROCESS!ID  a channel of Tideway; Python's have no "!"
//	PREFIX__group__room        a group
//	PREFIX__tideway__          requests to all Tideway processes
//
// Clocks: with Core, what a sender stamps with a clock that is behind by more than Expiry is dropped on arrival, and Python
// drops it on its next send; a clock that is ahead keeps no message for longer. Order between senders is that of their clocks.
//
// # Outages
//
// When the connection to a host is lost, channels get layers.Down; when all hosts are back, and memberships are restored,
// layers.Up (L15). A host that was started again and still loads its file is not back. A connection that says nothing any more
// is given up within 20 s. Meanwhile methods that need the host return its error; nothing is kept to be sent later, and nothing
// is sent twice: a Send whose answer was lost is layers.ErrUncertain. Messages for this process wait in Redis with Core, and are
// lost with PubSub. A Receive waits on. Channels can be opened and ended, and leave their groups when the host is back. A
// GroupAdd or GroupDiscard that fails may be called again.
//
// With several hosts, what needs only those that are there works on. A message for a queue goes to the next of them, as long
// as it is certain that no other has it, and a queue's capacity is smaller by the part of the host that is lost. A GroupSend by
// Core is an error, certain and before anybody has the message, when the host that knows the group is lost. When the host of some
// member's process is, and another member may have it, it is ErrUncertain: members on other hosts and in this process have the
// message, those on the lost host do not. Do not send it again.
//
// # Hosts
//
// Several hosts share the load by names, as channels_redis does, without its faults: a direct message goes to the host on
// which the channel's process listens, ours and Python's; we listen on all hosts, since Python sends some direct messages to the
// wrong one; and queues are read on all hosts at once. A queue's capacity is shared among the hosts for what Tideway sends. A
// Python receiver of a queue looks at one host until something comes there, so leave reading queues on several hosts to
// Tideway.
//
// With master_set a host is found by Sentinel. The URL's user and password are those of Redis; sentinels that want some have
// theirs in sentinel_user and sentinel_password. When the master changes, what was stored and not yet copied to the new one
// is lost, and memberships are told again. Redis Cluster is refused: one script writes the keys of several processes.
//
// # Rules for a user of Redis
//
// With Core a user needs the keys PREFIX* and
//
//	+bzpopmin +zpopmin +zadd +zrem +zrange +zscore +zcard +zcount +zremrangebyscore +expire +unlink +type +scan
//	+evalsha +eval +time +ping
//
// with PubSub all channels (&*, since Redis lets nobody subscribe to a pattern by another one) and
//
//	+publish +subscribe +unsubscribe +psubscribe +ping
//
// and with either, if the version is to be checked, +info.
//
// # Moving from Django Channels
//
// examples/django/MOVING.md in this repository is a guide: a project, consumer by consumer. What the CONFIG of CHANNEL_LAYERS
// says is here
//
//	hosts                      Hosts, in the same order: (host, port) is "redis://host:port"
//	  sentinels, master_name   "redis://s1:26379?addr=s2:26379&master_set=NAME"
//	  sentinel_kwargs          &sentinel_user=NAME&sentinel_password=PASSWORD
//	prefix                     Prefix
//	expiry, capacity           Options.Expiry, Options.Capacity; in seconds there
//	channel_capacity           Capacities: layers.Glob, layers.Regexp
//	group_expiry               GroupExpiry
//	symmetric_encryption_keys  Keys
//	random_prefix_length       RandomPrefix; 0 there is -1 here
//	serializer_format          Serializer: redislayer.JSON, or your own
//	on_disconnect, on_reconnect (dead since 4.0)  layers.Down, layers.Up
//
// Django code goes on calling
//
//	async_to_sync(get_channel_layer().group_send)("chat.lobby", {"type": "chat.message", "text": "hello"})
//
// and the Go consumer of that group lists the type, const chatMessage layers.Type[said] = "chat.message". A message that Go
// sends calls the handler chat_message in Python. Keys of the map that no field names are ignored, and fields that no key
// names keep their zero value; bytes are []byte. Names of channels may be stored and sent between both. A trace that Go sends
// (layers.Options.Propagator) is one more key of the event in Python, "__trace__".
package redislayer
