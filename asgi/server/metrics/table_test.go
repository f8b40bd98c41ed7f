package metrics_test

import (
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestTable compares the table in the package comment with what a site that uses everything shows.
func TestTable(t *testing.T) {
	var got []string
	for _, f := range gather(t, everything(t)) {
		labels := make(map[string]bool)
		var names []string
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if !labels[l.GetName()] {
					labels[l.GetName()] = true
					names = append(names, l.GetName())
				}
			}
		}
		slices.SortFunc(names, func(a, b string) int { return rank(a) - rank(b) })
		got = append(got, f.GetName()+" "+strings.ToLower(f.GetType().String())+" "+strings.Join(names, " ")+" "+f.GetHelp())
	}
	want := documented(t)
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("the package comment does not have the line\n%s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("the package comment has a line for nothing\n%s", line)
		}
	}
	if len(got) < 30 {
		t.Errorf("there are %d metrics", len(got))
	}
}

// rank is the order in which labels are named.
func rank(label string) int {
	return slices.Index([]string{"server", "layer", "worker", "consumer", "kind", "type", "lane", "result", "cause", "reason", "outcome"}, label)
}

// documented is the table, a line for each metric, without its spaces.
func documented(t *testing.T) (lines []string) {
	f, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(f.Doc.Text(), "# All metrics\n")
	if !ok {
		t.Fatal("the package comment has no section \"All metrics\"")
	}
	for line := range strings.Lines(table) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "name" {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	return lines
}

// TestLint holds the conventions of Prometheus.
func TestLint(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(everything(t))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestDescribed: what is collected was described before, so that a registry can find clashes at start.
func TestDescribed(t *testing.T) {
	m := everything(t)
	descs, found := make(chan *prometheus.Desc, 100), make(chan prometheus.Metric, 1000)
	m.Describe(descs)
	m.Collect(found)
	close(descs)
	close(found)
	described := make(map[string]bool)
	for d := range descs {
		described[d.String()] = true
	}
	for metric := range found {
		if d := metric.Desc().String(); !described[d] {
			t.Errorf("%s was not described", d)
		}
	}
}
