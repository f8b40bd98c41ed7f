package server

import (
	"errors"
	"log"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tideway-go/tideway/asgi"
)

// defaultLogger writes warnings and errors to stderr. It is sampled: what peers can cause, they can cause often.
func defaultLogger() *zap.Logger {
	enc := zap.NewDevelopmentEncoderConfig()
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(os.Stderr), zap.WarnLevel)
	return zap.New(zapcore.NewSamplerWithOptions(core, time.Second, 10, 100))
}

// errorLog takes what net/http has to say: failed TLS handshakes, and such.
func (s *Server) errorLog() *log.Logger {
	l, err := zap.NewStdLogAt(s.log, zap.WarnLevel)
	if err != nil {
		return zap.NewStdLog(s.log) // the level is a known one, so this is never used
	}
	return l
}

// about is what each line about one connection or request says, and more.
func about(scope *asgi.Scope, more ...zap.Field) []zap.Field {
	return append([]zap.Field{zap.String("path", scope.Path()), zap.String("client", scope.Client())}, more...)
}

// failure is what a line about a failed application says, with the stack if it was a panic.
func failure(scope *asgi.Scope, err error) []zap.Field {
	fields := about(scope, zap.Error(err))
	var p *asgi.PanicError
	if errors.As(err, &p) {
		fields = append(fields, zap.ByteString("stack", p.Stack))
	}
	return fields
}
