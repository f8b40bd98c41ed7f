//go:build unix

package main

import (
	"fmt"
	"syscall"
	"testing"
)

// needFiles sees to it that n descriptors can be open.
func needFiles(t testing.TB, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if uint64(limit.Max) < n {
		missing(t, fmt.Sprintf("a process may open %d files here, %d are needed: raise the hard limit, with ulimit -Hn %d as root", limit.Max, n, n))
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}
