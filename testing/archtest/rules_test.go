package archtest

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite testdata/api from the source")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rule is one sentence about the source, and the function that finds what breaks it. Its name is also that of its
// fixture in testdata/broken.
type rule struct {
	name  string
	text  string
	check func(*tree) []string
}

var rules = []rule{
	{"imports", "who may import whom is the table in imports_test.go", checkImports},
	{"api", "the exported API is testdata/api; after a deliberate change run: go test ./testing/archtest -update", checkAPI},
	{"shown", "every exported name appears in an example or a test", checkShown},
	{"manual", "every package has a comment that begins as godoc wants it", checkManual},
	{"globals", "no package keeps a pool, a channel, a timer or a wait group: they belong to a Server or a Layer", checkGlobals},
	{"goroutines", "every go statement has a comment that says who ends it and who waits for it", checkGoroutines},
	{"waitgroups", "a wait group that starts goroutines is waited for in its package", checkWaitGroups},
	{"sleep", "no test sleeps: use a synctest bubble, a marker, or a condition that is waited for", checkSleep},
	{"leaks", "every package has a TestMain that calls goleak.VerifyTestMain", checkLeaks},
	{"files", "a file that is no test has at most 500 lines", checkFileLength},
	{"functions", "a function has at most 60 lines, or its comment says \"long because\"", checkFunctionLength},
	{"names", "a file is named after its concept, not utils, helpers, common or types", checkFileNames},
	{"unfinished", "nothing is left for later in the code", checkUnfinished},
	{"top", "the top level holds the parts of the house and nothing else", checkTopLevel},
	{"promises", "every promise stands in its package's comment and in the text of a test", checkPromises},
	{"cases", "every behaviour case is named by a test (\"case 12\", \"cases 12 to 14\") or listed in DESIGN.md under \"Cases left out\"", checkCases},
}

func TestRules(t *testing.T) {
	root := filepath.Join("..", "..")
	source := readTree(t, os.DirFS(root))
	if *update {
		if err := writeAPI(source, root); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if broken := r.check(source); len(broken) > 0 {
				t.Errorf("rule: %s\n%s", r.text, strings.Join(broken, "\n"))
			}
		})
	}
}

// TestRulesBite shows that each rule reports a tree that breaks it, and how.
func TestRulesBite(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			want, files := readFixture(t, filepath.Join("testdata", "broken", r.name+".txt"))
			broken := readTree(t, files)
			broken.fileLines, broken.functionLines = 12, 4
			got := strings.Join(r.check(broken), "\n")
			if got != want {
				t.Errorf("the rule reports\n%s\nwant\n%s", got, want)
			}
			if got == "" {
				t.Error("the rule lets its fixture pass")
			}
		})
	}
}

// readFixture reads the report that is wanted, and after it the files, each under a line "-- path --".
func readFixture(t *testing.T, name string) (want string, files fstest.MapFS) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files = fstest.MapFS{}
	var current *fstest.MapFile
	for line := range strings.Lines(string(text)) {
		path, isHeader := strings.CutPrefix(strings.TrimSuffix(line, " --\n"), "-- ")
		switch {
		case isHeader:
			current = &fstest.MapFile{}
			files[path] = current
		case current == nil:
			want += line
		default:
			current.Data = append(current.Data, line...)
		}
	}
	return strings.TrimSuffix(want, "\n"), files
}

// each calls check on every file and joins the reports.
func each(tr *tree, check func(*file) []string) []string {
	var broken []string
	for _, f := range tr.files {
		broken = append(broken, check(f)...)
	}
	return slices.Compact(broken)
}
