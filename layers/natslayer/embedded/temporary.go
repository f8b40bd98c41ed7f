package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const temporaryPrefix = "tideway-nats-"

// openTemporary makes a directory that goes with the server, and removes those that killed processes have left.
func openTemporary() (*store, error) {
	removeLeftOvers()
	for {
		dir, err := os.MkdirTemp("", temporaryPrefix)
		if err != nil {
			return nil, fmt.Errorf("JetStream needs a temporary directory (TMPDIR), or Options.Dir: %w", err)
		}
		s := &store{dir: dir, temporary: true}
		if !canLock {
			return s, nil
		}
		s.lock, err = take(dir, os.O_CREATE)
		switch {
		case err == nil && s.stands():
			return s, nil
		case err == nil, errors.Is(err, errInUse), errors.Is(err, os.ErrNotExist): // another start took it for left over
			if err := s.close(); err != nil {
				return nil, err
			}
		default:
			return nil, errors.Join(fmt.Errorf("temporary directory %s: %w", dir, err), s.close())
		}
	}
}

// stands says that the lock is that of the directory: it may have been removed before it was locked.
func (s *store) stands() bool {
	held, err := s.lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(filepath.Join(s.dir, lockName))
	return err == nil && os.SameFile(held, there)
}

// removeLeftOvers removes the temporary directories of processes of this user that are dead: their locks are free. What
// cannot be removed stays: it is in nobody's way.
func removeLeftOvers() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*"))
	if err != nil || !canLock {
		return
	}
	for _, dir := range dirs {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() || !mine(info) {
			continue
		}
		f, err := take(dir, 0)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(dir)
		_ = f.Close()
	}
}
