package embedded_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

var jobs = jetstream.StreamConfig{Name: "jobs", Subjects: []string{"jobs.>"}}

func TestDirectoryStays(t *testing.T) {
	t.Parallel()
	opts := &embedded.Options{Dir: filepath.Join(t.TempDir(), "new", "store")}
	srv := start(t, opts)
	js := streams(t, srv.Conn())
	if _, err := js.CreateStream(soon(t), jobs); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(soon(t), "jobs.a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	closeServer(t, srv)
	srv = start(t, opts)
	s, err := streams(t, srv.Conn()).Stream(soon(t), jobs.Name)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.GetLastMsgForSubject(soon(t), "jobs.a"); err != nil || string(m.Data) != "1" {
		t.Errorf("after a restart: %v, %v", m, err)
	}
}

func TestDirectoryIsLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := start(t, &embedded.Options{Dir: dir})
	refused(t, soon(t), &embedded.Options{Dir: dir}, dir, "another server uses it")
	refused(t, soon(t), &embedded.Options{Dir: filepath.Join(dir, "..", filepath.Base(dir))}, dir, "another server uses it")
	closeServer(t, srv)
	start(t, &embedded.Options{Dir: dir})
}

// hold runs the test in a process of its own again, which starts a server in a directory ("": a temporary one) and is killed
// by what is returned.
func hold(t *testing.T, test, dir string) (kill func()) {
	t.Helper()
	cmd := exec.CommandContext(soon(t), os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), "EMBEDDED_TEST_HOLD="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if _, err := out.Read(buf); err != nil || string(buf) != "held\n" {
		t.Fatalf("%q, %v", buf, err)
	}
	return func() {
		t.Helper()
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		in.Close()
		cmd.Wait()
	}
}

// held starts a server until the input ends, in the process that hold has made.
func held(t *testing.T) bool {
	dir, ok := os.LookupEnv("EMBEDDED_TEST_HOLD")
	if ok {
		start(t, &embedded.Options{Dir: dir})
		os.Stdout.WriteString("held\n")
		os.Stdin.Read(make([]byte, 1))
	}
	return ok
}

func TestLockOfAnotherProcess(t *testing.T) {
	if held(t) {
		return
	}
	t.Parallel()
	dir := t.TempDir()
	kill := hold(t, "TestLockOfAnotherProcess", dir)
	refused(t, soon(t), &embedded.Options{Dir: dir}, dir, "another server uses it")
	kill() // a dead process holds nothing
	start(t, &embedded.Options{Dir: dir})
}

// The temporary directory of a killed process is removed by the next start, and no other.
func TestLeftOvers(t *testing.T) {
	if held(t) {
		return
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	dirs := func() []string {
		all, err := filepath.Glob(filepath.Join(tmp, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	kill := hold(t, "TestLeftOvers", "")
	start(t, nil)
	foreign := filepath.Join(tmp, "tideway-nats-without-a-lock")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if n := len(dirs()); n != 3 {
		t.Fatalf("%d directories of two living servers and another", n)
	}
	kill()
	before := dirs()
	if len(before) != 3 {
		t.Fatalf("a killed process leaves %q", before)
	}
	closeServer(t, start(t, nil))
	if left := dirs(); len(left) != 2 {
		t.Errorf("left are %q of %q, want the living server's and the one that is not ours", left, before)
	}
}

func TestDirectoryKeepsItsShape(t *testing.T) {
	t.Parallel()
	member := func(dir, name, cluster string, peers int) *embedded.Options {
		routes := []string{"h:1", "h:2", "h:3", "h:4"}[:peers-1]
		return &embedded.Options{Dir: dir, Name: name, Cluster: &embedded.Cluster{
			Listen: "127.0.0.1:1", Name: cluster, Routes: routes, JetStreamPeers: peers,
		}}
	}
	write := func(t *testing.T, dir string, files ...string) string {
		t.Helper()
		for i := 0; i < len(files); i += 2 {
			path := filepath.Join(dir, files[i])
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(files[i+1]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	alone := t.TempDir()
	closeServer(t, start(t, &embedded.Options{Dir: alone}))
	clustered := write(t, t.TempDir(), "tideway.json", `{"cluster":"c","name":"a","peers":3}`)
	do := "use another directory"
	for _, c := range []struct {
		name  string
		opts  *embedded.Options
		words []string
	}{
		{"alone, then clustered", member(alone, "a", "c", 3), []string{alone, "was written by a server alone", `node "a" of cluster "c"`, do}},
		{"clustered, then alone", &embedded.Options{Dir: clustered}, []string{clustered, `node "a" of cluster "c"`, "is a server alone", do}},
		{"another name", member(clustered, "b", "c", 3), []string{`node "a"`, `node "b"`, do}},
		{"another cluster", member(clustered, "a", "d", 3), []string{`cluster "c"`, `cluster "d"`, do}},
		{"another number of peers", member(clustered, "a", "c", 5), []string{"3 JetStream peers", "5 JetStream peers", do}},
		{"another program's, clustered", &embedded.Options{Dir: write(t, t.TempDir(), "jetstream/$SYS/_js_/_meta_/x", "")}, []string{"a node of a cluster", do}},
		{"another program's, alone", member(write(t, t.TempDir(), "jetstream/$G/x", ""), "a", "c", 3), []string{"a server alone", do}},
		{"not ours", &embedded.Options{Dir: write(t, t.TempDir(), "tideway.json", "what")}, []string{"tideway.json"}},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, soon(t), c.opts, c.words...) })
	}
	start(t, &embedded.Options{Dir: write(t, t.TempDir(), "jetstream/$G/x", "")}) // another program's, in the same shape
}

func TestDirectoryThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, soon(t), &embedded.Options{Dir: file}, "store directory", file)
	refused(t, soon(t), &embedded.Options{Dir: filepath.Join(file, "below")}, "store directory", file)
	if os.Getuid() == 0 {
		return // root writes everywhere
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	refused(t, soon(t), &embedded.Options{Dir: dir}, "store directory", dir, "permission")
}
