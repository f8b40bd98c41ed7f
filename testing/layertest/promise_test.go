package layertest

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestPromises holds the words that a failure prints to those of package layers, which makes the promises.
func TestPromises(t *testing.T) {
	doc, err := os.ReadFile("../../layers/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.NewReplacer("[", "", "]", "")
	made := regexp.MustCompile(`(?ms)^//   - (L\d+) (.*?)\.\n//(?:   - L|\n)`)
	text := string(doc)
	for i, r := range rules {
		if r.number != i+1 {
			t.Errorf("rule %d has the number %d", i+1, r.number)
		}
		m := made.FindStringSubmatchIndex(text)
		if m == nil {
			t.Fatalf("package layers does not promise %s", r.name())
		}
		name, promise := text[m[2]:m[3]], text[m[4]:m[5]]
		text = text[m[5]:] // the match ended inside the next item
		promise = plain.Replace(strings.Join(strings.Fields(strings.ReplaceAll(promise, "\n//", " ")), " "))
		if name != r.name() || promise != r.promise {
			t.Errorf("rule %s says\n\t%s\npackage layers says %s\n\t%s", r.name(), r.promise, name, promise)
		}
	}
	if m := made.FindString(text); m != "" {
		t.Errorf("package layers promises more: %s", m)
	}
}

// TestIncomplete shows that a harness with a function missing is refused, so no promise is silently left out.
func TestIncomplete(t *testing.T) {
	if missing := memory().missing(); missing != "" {
		t.Errorf("a complete harness lacks %s", missing)
	}
	for field, clear := range map[string]func(*Harness){
		"New":   func(h *Harness) { h.New = nil },
		"Break": func(h *Harness) { h.Break = nil },
		"Mend":  func(h *Harness) { h.Mend = nil },
		"Crash": func(h *Harness) { h.Crash = nil },
	} {
		h := memory()
		clear(&h)
		if missing := h.missing(); missing != field {
			t.Errorf("a harness without %s lacks %q", field, missing)
		}
	}
}
