package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// DefaultMaxPayload lets through the 2 MiB that a layer takes by default, and the 4 KiB around them.
const DefaultMaxPayload = 2<<20 + 4<<10

const (
	defaultMaxMemory = 256 << 20
	defaultMaxDisk   = 4 << 30
)

// Options are the settings of an embedded server. Nil and the zero value are ready: a server alone, without a port, with
// JetStream.
type Options struct {
	// Name is the name of this server, without spaces; default: a random one. Peers that hold JetStream must have one
	// that is unique in the cluster and stays, because their share of the data is kept under it.
	Name string

	// Dir is the directory of JetStream. What is in it survives the death of the process; when a machine loses its
	// power, up to the last 2 minutes may be lost. Default: none. What JetStream keeps in files is then in a temporary
	// directory (TMPDIR), which is removed at the end, so that all queues are lost with the process. One that a killed
	// process has left is removed by the next start of the same user.
	Dir string

	// MaxMemory and MaxDisk bound what JetStream keeps in memory and in files, in bytes; default 256 MiB and 4 GiB.
	// Above, queues refuse.
	MaxMemory, MaxDisk int64

	// MaxPayload bounds one message with its headers, in bytes; default 2 MiB and 4 KiB. All nodes of a cluster should
	// have the same. Large ones hold up others: NATS warns above 8 MiB, and more than 64 MiB are refused.
	MaxPayload int

	// Listen is the address, "host:port", where other programs reach this server as NATS clients, such as a
	// command that sends one message. Default: none.
	Listen string

	// User and Password are asked of clients that come in by Listen. Default: whoever reaches the port may do everything.
	User, Password string

	// Cluster makes this server a node of a cluster. Default: alone.
	Cluster *Cluster

	// Logger is for what the server has to say: its own notices are debug. Default: warnings and errors to stderr;
	// zap.NewNop() is silence.
	Logger *zap.Logger
}

// maxPending is how much may wait for one connection before the server closes it; NATS's own default.
const maxPending = 64 << 20

// withDefaults returns a copy with defaults filled in, or says what to change.
func (o *Options) withDefaults() (Options, error) {
	var r Options
	if o != nil {
		r = *o
	}
	if err := r.check(); err != nil {
		return r, err
	}
	if r.Cluster != nil {
		var err error
		if r.Cluster, err = r.Cluster.withDefaults(&r); err != nil {
			return r, err
		}
	}
	if r.MaxMemory == 0 {
		r.MaxMemory = defaultMaxMemory
	}
	if r.MaxDisk == 0 {
		r.MaxDisk = defaultMaxDisk
	}
	if r.MaxPayload == 0 {
		r.MaxPayload = DefaultMaxPayload
	}
	if r.Name == "" {
		r.Name = rand.Text()
	}
	if r.Logger == nil {
		r.Logger = warnings()
	}
	r.Logger = r.Logger.Named("nats")
	return r, nil
}

func (o *Options) check() error {
	switch {
	case o.MaxMemory < 0:
		return fmt.Errorf("Options.MaxMemory is %d: it must not be negative (bytes; 0 means 256 MiB)", o.MaxMemory)
	case o.MaxDisk < 0:
		return fmt.Errorf("Options.MaxDisk is %d: it must not be negative (bytes; 0 means 4 GiB)", o.MaxDisk)
	case o.MaxPayload < 0 || o.MaxPayload > maxPending:
		return fmt.Errorf("Options.MaxPayload is %d: it must be at most 64 MiB (bytes; 0 means 2 MiB and 4 KiB)", o.MaxPayload)
	case o.Password != "" && o.Listen == "":
		return errors.New("Options.Password is set without Options.Listen: clients inside this process need none; a cluster has its own")
	case (o.User == "") != (o.Password == ""):
		return errors.New("Options.User and Options.Password: set both or none")
	case strings.ContainsAny(o.Name, " \t\n"):
		return fmt.Errorf("Options.Name is %q: it must not contain spaces", o.Name)
	}
	if o.Listen != "" {
		if _, _, err := hostPort(o.Listen); err != nil {
			return fmt.Errorf("Options.Listen: %w", err)
		}
	}
	return nil
}

// jetStream says whether this server stores anything.
func (o *Options) jetStream() bool { return o.Cluster == nil || o.Cluster.JetStreamPeers > 0 }

// warnings is the logger of who names none.
func warnings() *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), zap.WarnLevel))
}
