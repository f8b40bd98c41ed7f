package archtest

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// caseCount is how many behaviour cases there are, counted from 1.
const caseCount = 210

// checkCases demands that each behaviour case is named by a test or a suite, in a comment or a string, or stands
// with its reason in DESIGN.md: in the first column of a table under a heading that contains "Cases left out".
func checkCases(tr *tree) []string {
	var held [caseCount + 1]bool
	for _, f := range tr.files {
		if !f.demonstrates() || f.pkg == "testing/archtest" {
			continue
		}
		for _, text := range f.commentsAndStrings() {
			for _, list := range named.FindAllStringSubmatch(text, -1) {
				mark(&held, list[1])
			}
		}
	}
	design, _ := fs.ReadFile(tr.fs, "DESIGN.md")
	for _, list := range leftOut(string(design)) {
		mark(&held, list)
	}
	var broken []string
	for first := 1; first <= caseCount; first++ {
		last := first
		for last < caseCount && !held[first] && !held[last+1] {
			last++
		}
		switch {
		case held[first]:
		case first == last:
			broken = append(broken, fmt.Sprintf("case %d", first))
		default:
			broken = append(broken, fmt.Sprintf("cases %d to %d", first, last))
		}
		first = last
	}
	return broken
}

const numbers = `\d+(?:(?:\s*[-–,]\s*|\s+to\s+|,?\s+and\s+)\d+)*`

var (
	named = regexp.MustCompile(`(?i)\bcases?\s+(` + numbers + `)`)
	span  = regexp.MustCompile(`(\d+)(?:(?:\s*[-–]\s*|\s+to\s+)(\d+))?`)
)

// mark takes a list such as "3, 7 and 12 to 14" apart.
func mark(held *[caseCount + 1]bool, list string) {
	for _, m := range span.FindAllStringSubmatch(list, -1) {
		first, _ := strconv.Atoi(m[1])
		last := first
		if m[2] != "" {
			last, _ = strconv.Atoi(m[2])
		}
		for n := max(first, 1); n <= min(last, caseCount); n++ {
			held[n] = true
		}
	}
}

// leftOut returns the first column of the tables of cases that have no test.
func leftOut(design string) []string {
	var columns []string
	inside := false
	for line := range strings.Lines(design) {
		if strings.HasPrefix(line, "#") {
			inside = strings.Contains(line, "Cases left out")
		}
		if first, _, ok := strings.Cut(strings.TrimPrefix(line, "|"), "|"); ok && inside && strings.HasPrefix(line, "|") {
			columns = append(columns, first)
		}
	}
	return columns
}
