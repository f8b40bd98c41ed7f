//go:build unix && !linux

package main

import "syscall"

// diesWithUs does nothing: the system knows no such wish.
func diesWithUs() *syscall.SysProcAttr { return nil }
