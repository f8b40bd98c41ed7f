package embedded

import (
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// Conn is a connection to the server inside this process. It reconnects for ever if the server cuts it off for being slow.
// It belongs to the server: Close drains and closes it.
func (s *Server) Conn() *nats.Conn { return s.conn }

func (s *Server) connect() (*nats.Conn, error) {
	return nats.Connect("",
		nats.InProcessServer(s),
		nats.Name(s.opts.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(func(attempts int) time.Duration {
			return rand.N(min(time.Duration(attempts)*50*time.Millisecond, time.Second)) + time.Millisecond
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // otherwise it was closed
				s.log.write(zap.WarnLevel, "connection inside the process lost; reconnecting", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { s.log.write(zap.WarnLevel, "connection inside the process is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) { // of a slow reader: once per episode
			fields := []zap.Field{zap.Error(err)}
			if sub != nil {
				fields = append(fields, zap.String("subject", sub.Subject))
			}
			s.log.write(zap.WarnLevel, "connection inside the process", fields...)
		}),
	)
}
