// Package natstest gives tests a channel layer on a NATS server inside the test process.
//
//	func TestOrders(t *testing.T) {
//		t.Parallel()
//		site := asgitest.New(t, app).With(&asgitest.Options{Layer: natstest.New(t)})
//		...
//
// It opens no port, shares nothing with other tests, is there within some milliseconds, and is removed with the test. Use it
// where a test is about NATS: several processes, or queues that outlive one. For all else there is memlayer, which passes
// the same suite, is quicker, and runs in bubbles of testing/synctest, where a server must not be.
package natstest
