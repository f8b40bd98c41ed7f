package natslayer_test

import (
	"testing"
	"time"

	"github.com/tideway-go/tideway/testing/layertest"
)

// TestEmbedded keeps the promises on a server inside the process, a new one for each check.
func TestEmbedded(t *testing.T) {
	layertest.Run(t, harness(embeddedBroker, 0))
}

// TestExternal keeps the promises on a nats-server in a process of its own.
func TestExternal(t *testing.T) {
	layertest.Run(t, harness(startExternal(t), 0))
}

// TestCluster keeps the promises on three nodes that all hold JetStream, each layer on another.
func TestCluster(t *testing.T) {
	layertest.Run(t, harness(startCluster(t), interestDelay))
}

// interestDelay is what the package comment states for clusters.
const interestDelay = 250 * time.Millisecond
