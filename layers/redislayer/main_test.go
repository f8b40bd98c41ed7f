package redislayer_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers/redislayer"
)

// TestMain runs more tests at once than there are processors: most of them wait for clocks.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		redislayer.StopServers()
		os.Exit(code)
	}))
}
