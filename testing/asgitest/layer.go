package asgitest

import (
	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Layer is the channel layer that the scopes of this Site hold: one of its own, or that of [Options.Layer].
func (s *Site) Layer() *layers.Layer { return s.options.Layer }

// equip puts the layer and the logger into a scope that has none.
func (s *Site) equip(scope *asgi.Scope) *asgi.Scope {
	if _, ok := consumers.LayerKey.Get(scope); !ok {
		scope = consumers.LayerKey.With(scope, s.options.Layer)
	}
	if _, ok := asgi.LoggerKey.Get(scope); !ok {
		scope = asgi.LoggerKey.With(scope, s.options.Logger)
	}
	return scope
}

// logger writes to the log of the test for as long as that runs.
func (c *core) logger() *zap.Logger {
	config := zap.NewDevelopmentEncoderConfig()
	config.TimeKey = ""
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(config), testLog{c}, zapcore.DebugLevel))
}

// testLog is the log of a test as a [zapcore.WriteSyncer].
type testLog struct{ *core }

func (l testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.t.Logf("%s", p)
	}
	return len(p), nil
}

func (l testLog) Sync() error { return nil }
