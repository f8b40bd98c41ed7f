package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// firstPassed is the first descriptor that systemd passes (SD_LISTEN_FDS_START of sd_listen_fds(3)).
const firstPassed = 3

// inherit makes a listener of a descriptor, which is closed: the listener has a copy, which no child process inherits.
func inherit(fd int, name string) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), name)
	if f == nil {
		return nil, fmt.Errorf("%d is no file descriptor", fd)
	}
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is no socket that listens: %w", fd, err)
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the file is its maker's
	}
	return ln, nil
}

// inheritSystemd makes listeners of what systemd passes (sd_listen_fds(3)): all, or those with a name.
func inheritSystemd(name string) ([]net.Listener, error) {
	if pid := os.Getenv("LISTEN_PID"); pid != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("LISTEN_PID is %q and not this process: start it by a systemd service that has a .socket unit", pid)
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil, fmt.Errorf("LISTEN_FDS is %q: it must be the number of sockets", os.Getenv("LISTEN_FDS"))
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if name != "" && !slices.Contains(names[:min(n, len(names))], name) {
		return nil, fmt.Errorf("systemd passed no socket of that name, but %q: set FileDescriptorName= in the .socket unit", names)
	}
	var all []net.Listener
	for i := range n {
		if name != "" && (i >= len(names) || names[i] != name) {
			continue
		}
		ln, err := inherit(firstPassed+i, "systemd")
		if err != nil {
			for _, ln := range all {
				err = errors.Join(err, ln.Close())
			}
			return nil, err
		}
		all = append(all, ln)
	}
	return all, nil
}
