package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// listenUnix listens on a Unix socket. Its file is replaced if nobody listens there any more. Processes that start at the
// same time take turns at looking, so none removes what another has just made.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	addr := &net.UnixAddr{Name: path, Net: "unix"}
	if strings.HasPrefix(path, "@") { // it has no file
		return net.ListenUnix("unix", addr)
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	ln, err := net.ListenUnix("unix", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return nil, err
		}
		ln, err = net.ListenUnix("unix", addr)
	}
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	file, err := os.Lstat(path)
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return &unixListener{ln, path, file}, nil
}

// removeStale removes the file of a socket on which nobody listens.
func removeStale(path string) error {
	file, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case file.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is a file and no socket: remove it, or choose another path", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return fmt.Errorf("somebody listens on %s already: another process, or this one", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("whether somebody listens on %s cannot be told: %w", path, err)
	}
	return os.Remove(path)
}

// A unixListener removes its file at the end, if it is still its own.
type unixListener struct {
	*net.UnixListener
	path string
	file fs.FileInfo
}

func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	if err != nil {
		return err // it was closed before
	}
	unlock, err := lockDir(filepath.Dir(l.path))
	if err != nil {
		return err
	}
	defer unlock()
	if file, err := os.Lstat(l.path); err == nil && os.SameFile(file, l.file) {
		return os.Remove(l.path)
	}
	return nil
}
