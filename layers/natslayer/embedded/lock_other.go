//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package embedded

import (
	"errors"
	"os"
)

const canLock = false

func mine(os.FileInfo) bool { return false }

// lock refuses: two servers on one directory would destroy it, and nothing here would notice.
func lock(*os.File) error {
	return errors.New("there is no lock for it on this operating system: leave Options.Dir empty, or run a NATS server beside the program")
}
