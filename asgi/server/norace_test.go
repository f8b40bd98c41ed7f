//go:build !race

package server_test

// raceFactor is how much more memory the race detector may take: there is none.
const raceFactor = 1
