//go:build race

package main

// raceEnabled says that the race detector makes everything many times slower.
const raceEnabled = true
