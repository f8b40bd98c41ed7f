package redislayer

import "hash/crc32"

// shardOf is channels_redis's consistent hash: which of n hosts a name belongs to.
func shardOf(name string, n int) int {
	if n == 1 {
		return 0
	}
	slot := crc32.ChecksumIEEE([]byte(name)) & 0xfff
	return int(float64(slot) / (4096 / float64(n)))
}
