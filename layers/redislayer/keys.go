package redislayer

import "strings"

// keyspace names the keys of one deployment. A prefix has no separator behind it: channels_redis has none.
type keyspace struct{ prefix string }

// message is the key of a channel's messages: those of a process-local channel share that of the process.
func (k keyspace) message(channel string) string { return k.prefix + nonLocal(channel) }

// group is the key of a group's members.
func (k keyspace) group(group string) string { return k.prefix + ":group:" + group }

// holders is the key of the processes that hold queues in a group. Python knows no such thing.
func (k keyspace) holders(group string) string { return k.prefix + ":holders:" + group }

// processes is the key of the processes that are alive.
func (k keyspace) processes() string { return k.prefix + ":processes" }

// nonLocal is what a channel shares with all channels of its process, the "!" included, and the whole name of a queue.
func nonLocal(channel string) string {
	if i := strings.IndexByte(channel, '!'); i >= 0 {
		return channel[:i+1]
	}
	return channel
}

func isQueue(channel string) bool { return !strings.Contains(channel, "!") }

// processOf is the process in the name of a channel that a Tideway process made; false for queues and for those of Python,
// whose processes have names of another length.
func processOf(channel string) (process string, ok bool) {
	head, _, ok := strings.Cut(channel, "!")
	if !ok {
		return "", false
	}
	process, ok = strings.CutPrefix(head, "specific.")
	if !ok || len(process) != processNameLength {
		return "", false
	}
	for i := range len(process) {
		if c := process[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return "", false
		}
	}
	return process, true
}

// processNameLength is that of what driver.Namer makes, in base 32.
const processNameLength = 16
