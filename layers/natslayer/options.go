package natslayer

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

// Options are the settings of [New] and [Open]. Nil and the zero value are ready. All layers of one deployment should have
// the same.
type Options struct {
	layers.Options // capacity, expiry, size limit, durable queues

	// Prefix begins every subject and the name of every stream; default "tideway". Deployments that share a broker
	// and must not hear each other have different ones. ASCII letters, digits, '-' and '_', at most 32.
	Prefix string

	// Storage says where JetStream keeps queues; default: durable queues in files, other queues in memory. An existing
	// stream is never changed: see the package comment.
	Storage Storage

	// Replicas is on how many servers of a cluster JetStream keeps queues; default 1. One is lost, or stands
	// still, with its server; 3 survive the loss of one. A single server has room for one only.
	Replicas int

	// Logger gets one warning when the connection is lost, one when it is back, both with the server, and one for each
	// episode of lost messages; default: warnings and errors to stderr. zap.NewNop() is silence.
	Logger *zap.Logger
}

// Storage says where JetStream keeps messages.
type Storage string

// The storages. Files survive a restart of the server; memory is lost with it.
const (
	DefaultStorage Storage = ""
	FileStorage    Storage = "file"
	MemoryStorage  Storage = "memory"
)

// DefaultPrefix begins subjects when Options.Prefix is empty.
const DefaultPrefix = "tideway"

// withDefaults returns a copy with defaults filled in. It panics on what cannot work.
func (o *Options) withDefaults() Options {
	var r Options
	if o != nil {
		r = *o
	}
	layers.New(struct{ driver.Driver }{}, &r.Options) // panics on what cannot work, before a connection is made
	if r.Prefix == "" {
		r.Prefix = DefaultPrefix
	}
	checkPrefix(r.Prefix)
	switch r.Storage {
	case DefaultStorage, FileStorage, MemoryStorage:
	default:
		panic(fmt.Sprintf("natslayer: Options.Storage is %q: write natslayer.FileStorage or natslayer.MemoryStorage", r.Storage))
	}
	if r.Replicas == 0 {
		r.Replicas = 1
	}
	if r.Replicas < 0 || r.Replicas > 5 {
		panic(fmt.Sprintf("natslayer: Options.Replicas is %d: JetStream keeps 1 to 5 copies", r.Replicas))
	}
	if r.Logger == nil {
		r.Logger = defaultLogger()
	}
	return r
}

// defaultLogger writes warnings and errors to stderr.
func defaultLogger() *zap.Logger {
	enc := zap.NewDevelopmentEncoderConfig()
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(os.Stderr), zap.WarnLevel)
	return zap.New(zapcore.NewSamplerWithOptions(core, time.Second, 10, 100))
}
