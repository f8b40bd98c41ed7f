//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package server

import (
	"os"
	"syscall"
)

// lockDir makes processes that handle sockets in one directory take turns. The lock ends with the process at the latest, and
// leaves no file.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
	}
	return func() { f.Close() }, nil
}
