package server

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// envPrefix begins the names of all variables.
const envPrefix = "TIDEWAY_"

// warnMisspelt writes one line about variables that [FromEnv] does not know, but whose names are nearly those that it knows.
// Others with the prefix may be an application's own. No value is shown: it may be a secret.
func warnMisspelt(log *zap.Logger) {
	var hints []string
	for _, entry := range os.Environ() {
		name, text, _ := strings.Cut(entry, "=")
		if known := nearestVariable(name); known != "" && text != "" {
			hints = append(hints, fmt.Sprintf("%s: did you mean %s?", name, known))
		}
	}
	if len(hints) > 0 {
		slices.Sort(hints)
		log.Warn("environment: variables that nobody reads", zap.Strings("names", hints))
	}
}

// nearestVariable is the variable that somebody may have meant by a name that is none, or "".
func nearestVariable(name string) (nearest string) {
	typed, ok := strings.CutPrefix(strings.ToUpper(name), envPrefix)
	if !ok {
		return ""
	}
	least := len(name)
	for _, v := range variables {
		if v.name == name {
			return ""
		}
		meant := strings.TrimPrefix(v.name, envPrefix)
		if d := editDistance(typed, meant); d <= max(1, len(meant)/5) && d < least {
			nearest, least = v.name, d
		}
	}
	return nearest
}

// editDistance is how many letters are missing, too many, wrong or swapped with the next one.
func editDistance(a, b string) int {
	var before, above []int // the last two rows
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			wrong := above[j]
			if a[i] != b[j] {
				wrong++
			}
			row[j+1] = min(wrong, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
