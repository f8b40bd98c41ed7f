package layertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// A breakage is a backend that breaks one promise.
type breakage struct {
	number  int
	name    string
	wrap    func() func(i int, n node) node // made anew for each run of a check
	harness func(*Harness)
	hooks   func(*backend)
	catches []string // the checks that must fail, by the beginning of their names
}

// onlyLayers are checks of package layers itself, which no backend and no wrapper of one can break.
var onlyLayers = []string{
	"a payload that is no map panics and is named",
	"a payload with a reserved key is refused",
}

// TestBroken shows that the suite fails, with the number and the words of the promise, on a backend that breaks it; and
// that every check fails on one of them, so none is there for show.
func TestBroken(t *testing.T) {
	failed := map[string]bool{}
	ran := 0
	for _, b := range breakages() {
		t.Run(fmt.Sprintf("L%d/%s", b.number, b.name), func(t *testing.T) {
			ran++
			r := &rules[b.number-1]
			for _, c := range r.checks {
				output := b.try(t, r, c, c.layouts()...)
				must := slices.ContainsFunc(b.catches, func(name string) bool { return strings.HasPrefix(c.name, name) })
				switch {
				case must && output == "":
					t.Errorf("the check %q passed", c.name)
				case output != "" && !strings.HasPrefix(output, r.broken()):
					t.Errorf("the check %q failed with %q, want it to begin with %q", c.name, output, r.broken())
				case output != "":
					failed[r.name()+" "+c.name] = true
				}
			}
			for _, name := range b.catches {
				if !slices.ContainsFunc(r.checks, func(c check) bool { return strings.HasPrefix(c.name, name) }) {
					t.Errorf("there is no check %q", name)
				}
			}
		})
	}
	if t.Failed() || ran < len(breakages()) {
		return
	}
	for _, r := range rules {
		for _, c := range r.checks {
			if !failed[r.name()+" "+c.name] && !slices.Contains(onlyLayers, c.name) {
				t.Errorf("no broken backend makes the check %q of %s fail", c.name, r.name())
			}
		}
	}
}

// try runs one check with so many instances, and returns what the first failure said.
func (b breakage) try(t *testing.T, r *rule, c check, instances ...int) (output string) {
	for _, n := range instances {
		synctest.Test(t, func(t *testing.T) {
			harness := memory()
			if b.harness != nil {
				b.harness(&harness)
			}
			broken := backend{Harness: harness}
			if b.wrap != nil {
				broken.wrap = b.wrap()
			}
			if b.hooks != nil {
				b.hooks(&broken)
			}
			if rec := record(t, func(tb testing.TB) { c.try(tb, broken, r, n) }); rec.failed && output == "" {
				output = rec.output
			}
			pause(10 * patience) // whatever a broken backend left behind ends by itself
		})
	}
	return output
}
