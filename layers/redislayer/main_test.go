package redislayer_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers/redislayer"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		redislayer.StopServers()
		os.Exit(code)
	}))
}
