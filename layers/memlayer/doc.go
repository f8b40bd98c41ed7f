// Package memlayer is the channel layer of one process: for development, tests and sites that need no second process.
//
//	layer := memlayer.New(nil)
//	layers.Register(layers.Default, layer)
//
// # Delivery
//
// It holds every promise of package layers (L1 to L18). Messages are encoded and decoded as by a backend with a
// network, so what would break in production breaks here. A send delivers on the caller's goroutine; the package starts
// no goroutine, and an unused layer costs nothing. Memory is bounded by the number of channels and
// queues, their capacities, and 2 MiB for each, 64 MiB for a durable queue.
//
// A message to a queue that nobody receives is dropped at the first use of any queue after its expiry.
//
// # Durable queues
//
// They keep their jobs in memory, so jobs outlive their workers and the layer that took them, but not the process. A layer
// that is closed gives back at once what it holds. Jobs that come again, when they are due, come before those that
// nobody has taken yet. A timer runs only while a Take waits for a job that another holds, or that is to come again.
// Jobs older than their MaxAge are dropped when their queue is next used.
//
// # Several processes
//
// [NewBus] gives several layers over one bus, each of which stands for a process: channels belong to one, groups and
// queues are common. [Bus.Cut] and [Bus.Mend] play a lost broker, so that Down and Up can be tested. The suite
// testing/layertest runs on both.
package memlayer
