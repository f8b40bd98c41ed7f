package layertest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// A Harness is what only the backend knows. New, Break, Mend and Crash are required.
type Harness struct {
	// New returns n layers with the same options over one broker that nobody else uses: n processes, as far as the
	// broker can tell. It registers the clean-up of all of them with tb.Cleanup, which must bear that the suite has
	// closed some of them, and fails tb if it cannot. Options that the backend refuses (a negative capacity) must
	// panic out of it. Checks that wait for the clock run in parallel, so it may be called concurrently, as may the
	// functions below.
	New func(tb testing.TB, opts layers.Options, n int) []*layers.Layer

	// Break cuts l off from its broker, Mend ends the cut (L15). Both may return before the layer has noticed.
	Break, Mend func(tb testing.TB, l *layers.Layer)

	// Crash makes the process of l die as seen by everybody else: nothing is said, nothing is given back (L10). The
	// suite does not use l again.
	Crash func(tb testing.TB, l *layers.Layer)

	// Bubble runs every check in a bubble of testing/synctest, where time is free. It is for backends that live in
	// memory; a socket blocks a bubble for good. Default: real time.
	Bubble bool

	// InterestDelay says that other instances may need some time, usually at most this long, before their group sends
	// reach a new member (L8). Zero demands the first message already.
	InterestDelay time.Duration

	// Stay is how long a live member is watched to show that it stays one (L10): several times the period of whatever
	// lease the backend renews, which New sets as short as the backend allows. Default: 3 s; in a bubble 48 hours.
	Stay time.Duration

	// Exceptions names what this backend cannot promise. Default: it promises everything.
	Exceptions Exceptions
}

// Exceptions names what a backend cannot promise. Each changes what the suite expects; none skips a check. A backend's
// documentation lists the ones that it sets.
type Exceptions struct {
	// FullUnseen (L5): the sender may not be told that a channel is full. The message is then dropped and counted where
	// the channel lives.
	FullUnseen bool
	// Unordered (L3): messages of one sender may overtake each other, because they take different ways. They still
	// all arrive. Absence is proved less sharply, since a marker may overtake too.
	Unordered bool
	// NoQueues (L11): channels without "!" are errors that match [errors.ErrUnsupported].
	NoQueues bool
	// NoJobs (L18): what is declared in Options.Durables is an error that matches [errors.ErrUnsupported] where it is
	// sent to, taken or received from, or added to a group.
	NoJobs bool
	// NoErrNoChannel (L12): a direct send to a process-local channel that does not exist may return nil.
	NoErrNoChannel bool
	// JSON (L17): payloads travel as JSON, so there are no bytes, no NaN and no Inf, and one kind of numbers: a whole one may
	// come back as an integer, which is exact then, or as a float64.
	JSON bool
}

// Run checks the promises L1 to L18 against the backend of h, each in a subtest of t. It must not be called from a
// test that is parallel: one check counts goroutines.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if field := h.missing(); field != "" {
		t.Fatalf("layertest: Harness.%s is nil: write it, for there is a promise that cannot be shown without it", field)
	}
	for i := range rules {
		r := &rules[i]
		t.Run(r.name(), func(t *testing.T) { runRule(t, h, r) })
	}
}

// missing is the first required field that is not set.
func (h Harness) missing() string {
	switch {
	case h.New == nil:
		return "New"
	case h.Break == nil:
		return "Break"
	case h.Mend == nil:
		return "Mend"
	case h.Crash == nil:
		return "Crash"
	default:
		return ""
	}
}

func runRule(t *testing.T, h Harness, r *rule) {
	for _, c := range r.checks {
		parallel := c.clock && !h.Bubble
		t.Run(c.name, func(t *testing.T) {
			if parallel {
				t.Parallel()
			}
			for _, n := range c.layouts() {
				t.Run(fmt.Sprintf("instances=%d", n), func(t *testing.T) {
					if parallel {
						t.Parallel()
					}
					inTime(t, h, func(t *testing.T) { c.try(t, backend{Harness: h}, r, n) })
				})
			}
		})
	}
}

// inTime runs f in the kind of time that h asks for.
func inTime(t *testing.T, h Harness, f func(*testing.T)) {
	if !h.Bubble {
		f(t)
		return
	}
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() {
			if t.Failed() { // a call that should have returned still blocks, and has a time limit
				pause(4 * patience)
			}
		})
		f(t)
	})
}
