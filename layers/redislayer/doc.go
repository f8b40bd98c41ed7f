// Package redislayer is the channel layer over Redis, in the formats of channels_redis 4: Django Channels and Tideway share
// groups and channels.
package redislayer
