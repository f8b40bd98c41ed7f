//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package server

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	lockTime  = 2 * time.Second // that a turn may take to come
	lockPause = 10 * time.Millisecond
)

// lockDir makes processes that handle sockets in one directory take turns. The lock ends with the process at the latest, and
// leaves no file. Whoever may read the directory can lock it, so nobody waits for that longer than lockTime.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockTime); ; time.Sleep(lockPause) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR && err != syscall.EWOULDBLOCK || time.Now().After(deadline) {
			break
		}
	}
	if err == syscall.EWOULDBLOCK {
		err = fmt.Errorf("another process has kept the directory locked (flock) for %v", lockTime)
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
	}
	return func() { f.Close() }, nil
}
