package natslayer_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/testing/layertest"
)

// TestEmbedded keeps the promises on a server inside the process, a new one for each check.
func TestEmbedded(t *testing.T) {
	alone(t, "", 16, func(t *testing.T) { layertest.Run(t, harness(embeddedBroker, 0)) })
}

// TestExternal keeps the promises on a nats-server in a process of its own.
func TestExternal(t *testing.T) {
	alone(t, "", 16, func(t *testing.T) { layertest.Run(t, harness(startExternal(t), 0)) })
}

// TestCluster keeps the promises on three nodes that all hold JetStream, each layer on another.
func TestCluster(t *testing.T) {
	alone(t, "", 16, func(t *testing.T) { layertest.Run(t, harness(startCluster(t, 1), interestDelay)) })
}

// TestClusterWithoutJetStream keeps all but those of queues on three nodes as they are by default. What queues say then is in
// TestWithoutJetStream.
func TestClusterWithoutJetStream(t *testing.T) {
	alone(t, "^L([1-9]|1[02-7])$", 16, func(t *testing.T) {
		h := harness(startCluster(t, 0), interestDelay)
		h.Exceptions = layertest.Exceptions{NoQueues: true, NoJobs: true}
		layertest.Run(t, h)
	})
}

// TestReplicas keeps the promises of queues where each is on all three nodes. These agree on every step, so the checks are
// slow, and few of them run at once.
func TestReplicas(t *testing.T) {
	alone(t, "^(L5|L11|L18)$", 4, func(t *testing.T) { layertest.Run(t, harness(startCluster(t, 3), interestDelay)) })
}

// interestDelay is what the package comment states for clusters. BenchmarkInterestDelay measures it.
const interestDelay = 50 * time.Millisecond

// alone runs f in a process of its own, beside others: the suite mostly waits for the clock, but counts goroutines, so two
// of them cannot share a process. It runs these rules (none: all), or what -run says of subtests, and so many checks at
// once, whatever -parallel says, because they wait.
func alone(t *testing.T, rules string, parallel int, f func(*testing.T)) {
	t.Helper()
	const inside = "NATSLAYER_TEST_ALONE"
	if os.Getenv(inside) == t.Name() {
		f(t)
		return
	}
	t.Parallel()
	if _, subtests, ok := strings.Cut(flag.Lookup("test.run").Value.String(), "/"); ok {
		rules = subtests
	}
	args := []string{fmt.Sprintf("-test.run=^%s$/%s", t.Name(), rules), fmt.Sprint("-test.parallel=", parallel)}
	if end, ok := t.Deadline(); ok {
		args = append(args, fmt.Sprint("-test.timeout=", time.Until(end.Add(-time.Second))))
	}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil || testing.Verbose() {
		t.Logf("%s", out.Bytes())
	}
	if err != nil {
		t.Errorf("%s: %v", cmd, err)
	}
}
