package asgitest

import (
	"bytes"
	"runtime/pprof"
	"strings"
)

// labelKey marks the goroutines of a run, and those which they start, in goroutine profiles.
const labelKey = "asgitest"

// maxFrames and maxStacks bound what a failure text shows.
const (
	maxFrames = 12
	maxStacks = 4
)

// stacks says where the goroutines of a run are, in lines to put behind a failure text; "" if there are none.
func stacks(label string) string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return ""
	}
	var text strings.Builder
	found := 0
	for record := range strings.SplitSeq(profile.String(), "\n\n") {
		if !strings.Contains(record, labelKey+`":`+quote(label)) {
			continue
		}
		if found++; found > maxStacks {
			text.WriteString("\n\t(and more)")
			break
		}
		text.WriteString("\n\tgoroutine:")
		text.WriteString(frames(record))
	}
	return text.String()
}

// frames turns one record of a goroutine profile into "function file:line" lines.
func frames(record string) string {
	var text strings.Builder
	n := 0
	for line := range strings.Lines(record) {
		// A frame is `#	0x46e5f7	package.function+0x57	/path/file.go:84`.
		fields := strings.Fields(line)
		if len(fields) != 4 || fields[0] != "#" || strings.HasPrefix(fields[2], "runtime/pprof.") {
			continue
		}
		if n++; n > maxFrames {
			text.WriteString("\n\t\t...")
			break
		}
		function, _, _ := strings.Cut(fields[2], "+0x")
		text.WriteString("\n\t\t" + function + " " + fields[3])
	}
	return text.String()
}
