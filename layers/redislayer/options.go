package redislayer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tideway-go/tideway/layers"
)

// Options are the settings of [Core] and [PubSub]. Nil and the zero value are ready: one Redis at localhost:6379, and the
// defaults of channels_redis. All processes of a deployment must have the same Hosts, Prefix, Keys, Serializer and
// RandomPrefix, in Python too.
type Options struct {
	layers.Options // capacity, expiry, size limit; durable queues are not offered

	// Hosts are the Redis servers; default: redis://localhost:6379. Several share the load by channels_redis's hash of
	// names, and their order matters. Changing the list loses what is stored.
	//
	//	redis://user:password@host:6379/0
	//	rediss://host:6379                        TLS
	//	unix:///run/redis/redis.sock?db=0
	//	redis://user:password@sentinel1:26379?addr=sentinel2:26379&master_set=mymaster&sentinel_password=another
	Hosts []string

	// TLS is used for the rediss hosts; default: the system's certificates.
	TLS *tls.Config

	// Prefix begins every key; default "asgi". Nothing is put between it and what follows, so a prefix must not
	// begin with another one's.
	Prefix string

	// GroupExpiry is after how long a member that is not added again is forgotten; default 24 h, as in
	// channels_redis. Members of a live Tideway process are added again by themselves; those of Python are not. Core only.
	GroupExpiry time.Duration

	// Keys encrypt all messages: symmetric_encryption_keys of channels_redis. The first encrypts, all decrypt. To change a key,
	// put the new one behind the old in all processes, then before it, then drop the old. PubSub of channels_redis
	// before 4.2.1 ignores keys.
	Keys []string

	// Serializer writes messages in another format than msgpack; see [JSON].
	Serializer Serializer

	// RandomPrefix is channels_redis's random_prefix_length; default 12, negative is none. With none, two equal messages
	// at one time are one. Core only.
	RandomPrefix int

	// Logger gets one line when a connection is lost, one when it is back, and one a minute for messages that cannot be
	// read; at the debug level also one for each try to connect that failed. Default: warnings and errors to stderr.
	// zap.NewNop() is silence.
	Logger *zap.Logger
}

// Defaults of [Options], those of channels_redis.
const (
	DefaultHost         = "redis://localhost:6379"
	DefaultPrefix       = "asgi"
	DefaultGroupExpiry  = 24 * time.Hour
	defaultRandomPrefix = 12
)

// withDefaults returns a copy with defaults filled in. What concerns the layer itself panics, as in every backend.
func (o *Options) withDefaults() (Options, error) {
	var r Options
	if o != nil {
		r = *o
	}
	if len(r.Hosts) == 0 {
		r.Hosts = []string{DefaultHost}
	}
	if r.Prefix == "" {
		r.Prefix = DefaultPrefix
	}
	if r.Logger == nil {
		r.Logger = defaultLogger()
	}
	switch {
	case !utf8.ValidString(r.Prefix):
		return r, fmt.Errorf("redislayer: Options.Prefix %q is not valid UTF-8", r.Prefix)
	case r.GroupExpiry < 0 || r.GroupExpiry > 0 && r.GroupExpiry < time.Second:
		return r, fmt.Errorf("redislayer: Options.GroupExpiry is %v: Redis counts whole seconds, at least 1; 0 means 24 h", r.GroupExpiry)
	}
	for i, key := range r.Keys {
		if key == "" {
			return r, fmt.Errorf("redislayer: Options.Keys[%d] is empty", i)
		}
	}
	return r, nil
}

// forCore fills in what only Core has.
func (o *Options) forCore() {
	if o.GroupExpiry == 0 {
		o.GroupExpiry = DefaultGroupExpiry
	}
	switch {
	case o.RandomPrefix == 0:
		o.RandomPrefix = defaultRandomPrefix
	case o.RandomPrefix < 0:
		o.RandomPrefix = 0
	}
}

// forPubSub refuses what PubSub does not have.
func (o *Options) forPubSub() error {
	switch {
	case o.GroupExpiry != 0:
		return errors.New("redislayer: Options.GroupExpiry is for Core: PubSub stores no memberships")
	case o.RandomPrefix != 0:
		return errors.New("redislayer: Options.RandomPrefix is for Core: PubSub stores no messages")
	case len(o.Prefix) > maxPubSubPrefix || !isName(o.Prefix):
		return fmt.Errorf("redislayer: Options.Prefix %q begins the names of channels: at most %d ASCII letters, digits, '-', '_' and '.'",
			o.Prefix, maxPubSubPrefix)
	}
	return nil
}

// maxPubSubPrefix leaves room for the rest of a channel's name.
const maxPubSubPrefix = 32

func isName(s string) bool { return layers.CheckGroup(s) == nil }

// defaultLogger writes warnings and errors to stderr.
func defaultLogger() *zap.Logger {
	enc := zap.NewDevelopmentEncoderConfig()
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(os.Stderr), zap.WarnLevel)
	return zap.New(zapcore.NewSamplerWithOptions(core, time.Second, 10, 100))
}
