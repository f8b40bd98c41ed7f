// Package asgitest plays the server and the client of an [asgi.App], so that a test needs no socket, no port and no
// sleep. It works in a [testing/synctest] bubble and outside of one.
//
//	func TestEcho(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			site := asgitest.New(t, app)
//			ws := site.Dial("/ws/echo/")
//			ws.SendText("hi")
//			ws.ExpectText("hi")
//			ws.Disconnect()
//		})
//	}
//
// [New] makes a [Site]: the app, a channel layer of its own for every scope, and the limits of the test. From a Site come
//
//   - [Site.Dial], [Site.Open] and [Site.Refused]: a [WebSocket], one whose handshake is not answered yet, and the
//     refusal of one;
//   - [Site.Request], [Site.Stream] and [Site.Upload]: a whole HTTP [Response], or an [Exchange] that goes part by part;
//   - [Site.EventSource]: a stream of server-sent events, read as a browser reads it;
//   - [Site.Raw]: any scope, driven event by event, the lifespan included;
//   - [Site.Work]: a worker of named channels;
//   - [Site.Shutdown]: the end of the server, as its apps see it;
//   - [Site.Live]: a real server on a loopback port, for real clients.
//
// [Site.With] gives the same Site with other headers, cookies, subprotocols or limits.
//
// # What a test can rely on
//
//   - The server in memory keeps the contract of package asgi: bounded queues, frames that More holds back stay
//     held back, an event that does not fit the state of the connection is an error to the app.
//   - An expectation names what it wanted, what came instead, how the app ended if it did, and the last events of the
//     conversation. It waits for at most [Options.Timeout], 5 s, which is fake time in a bubble.
//   - What the app sent before it failed can still be read; its failure shows at once after that, also to an expectation
//     that is already waiting.
//   - An expectation that ran out of time has changed nothing: the app goes on, and the event comes with the next call.
//   - Everything that a Site started has ended when the test ends. Connections that are still open are cut then; what
//     does not end in time fails the test, with its name and where its goroutines are.
//   - An error that an app returned and that nothing has shown fails the test at its end. Shown is what a failure text has
//     told, what Wait has returned, and what the test has read as a close with 1011 or a status 500. [asgi.ErrClosed],
//     the cause of an ended ctx, [asgi.Deny] and [asgi.CloseError] are no failures.
//   - A panic of the app fails the test with its stack; the connection ends as on a real server.
//
// Methods that check something end the test like [testing.T.FailNow], so they belong on the test's own goroutine. Next
// and the sending methods may be called from any.
//
// # That nothing comes
//
// In a bubble, ExpectNothing waits until every goroutine is blocked ([testing/synctest.Wait]); then nothing can come
// before the clock moves. Outside of one no wait is long enough, so ExpectNothing refuses to guess. Make the app send a
// marker afterwards and expect the marker: every expectation is about the very next event, so whatever came before
// it fails the test.
package asgitest
