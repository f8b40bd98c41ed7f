package driver

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync/atomic"
)

// Namer makes the names of one process's channels: "specific.<process>!<n>", where process is 16 characters of
// crypto/rand and n counts in base 36. They are short, because a process holds one per connection.
type Namer struct {
	process string
	prefix  string
	n       atomic.Uint64
}

// NewNamer draws the name of a process.
func NewNamer() *Namer {
	p := strings.ToLower(rand.Text()[:16]) // base 32: 80 bits
	return &Namer{process: p, prefix: "specific." + p + "!"}
}

// Process is the process's name.
func (n *Namer) Process() string { return n.process }

// Next is a new channel name.
func (n *Namer) Next() string {
	var digits [16]byte
	return n.prefix + string(strconv.AppendUint(digits[:0], n.n.Add(1), 36))
}

// Owner is the process in a name that some process's Namer made; false for a queue and for other people's names.
func Owner(channel string) (process string, ok bool) {
	head, _, ok := strings.Cut(channel, "!")
	if !ok {
		return "", false
	}
	return strings.CutPrefix(head, "specific.")
}
