// Package layertest holds the promises of package layers, L1 to L18, as a suite that every backend runs.
//
// # Use
//
// A backend's test is a [Harness], which is what only the backend knows, and one call of [Run]; the example of Run is a
// complete one.
//
// Every promise is a subtest, every single check of it a subtest below, named by a sentence; each runs with one instance
// and with three, senders and receivers then being different instances ("processes" over one broker). To run one check:
//
//	go test -run 'TestPromises/L5/a_direct_send_to_a_full_channel'
//
// A failure prints the promise before it prints what was seen:
//
//	L9 broken: Adding twice is adding once; discarding a stranger, or sending to an empty group, is no error:
//	a member that was added three times: got [1 1], want [1]
//
// # How the checks judge
//
//   - A message that must come is awaited for half a minute, so a slow machine does not fail.
//   - A message that must not come is proved absent by a marker: it is sent later by the same goroutine through the same
//     layer and has to be the next one to arrive (L3).
//   - Nothing sleeps to "let things settle". Where a backend needs time before other instances hear of a new group
//     member ([Harness.InterestDelay]), the suite sends probes until the first arrives and demands everything from then on.
//   - Expiry (L6, L11), the end or not of a membership (L10), leases and retries (L18) are waited for by the clock. In a bubble
//     ([Harness.Bubble]) that costs nothing; in real time the expiries are a few seconds, and an attempt that fails is
//     made again with a longer one. These checks are parallel: with go test -parallel 16 the suite takes half a minute.
//   - What a backend cannot promise is named in [Exceptions]. An exception changes what is expected; it never skips.
//
// # What is not here
//
// Wire formats, behaviour of one backend alone (sharding, encryption, interest across clusters), what is left in a broker
// after a crash or a Flush, memory and speed are tests of that backend's package. Capacity patterns, message types and the registry do not depend on a backend and
// are tested in package layers.
package layertest
