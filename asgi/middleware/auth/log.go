package auth

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// quiet is how long nothing is logged after a warning: an outage concerns every connection, and is worth a line now and
// then, not one for each.
const quiet = 10 * time.Second

type warned struct {
	mu   sync.Mutex
	last time.Time
}

// now reports whether it is time for another line.
func (w *warned) now() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.last.IsZero() && time.Since(w.last) < quiet {
		return false
	}
	w.last = time.Now()
	return true
}

// tellWhy logs why credentials are refused, at the level Info: it is mostly a client's fault, and anybody can cause it.
func (c *connection[U]) tellWhy(err error) {
	v, _ := asgi.LoggerKey.Get(c.scope)
	if log, ok := v.(*zap.Logger); ok {
		log.Info("auth: credentials refused", zap.String("path", c.scope.Path()), zap.String("client", c.scope.Client()), zap.Error(err))
	}
}

// warn logs, with the logger of a connection, what no return value tells.
func (a *Authenticator[U]) warn(c *connection[U], text string, err error) {
	v, _ := asgi.LoggerKey.Get(c.scope)
	log, ok := v.(*zap.Logger)
	if !ok || !a.warned.now() {
		return
	}
	fields := []zap.Field{zap.String("path", c.scope.Path()), zap.Error(err)}
	var panicked *asgi.PanicError
	if errors.As(err, &panicked) {
		fields = append(fields, zap.ByteString("stack", panicked.Stack))
	}
	log.Warn("auth: "+text, fields...)
}
