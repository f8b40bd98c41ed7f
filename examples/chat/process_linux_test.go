package main

import "syscall"

// diesWithUs has the system kill a process when this one dies, also one that is frozen.
func diesWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
