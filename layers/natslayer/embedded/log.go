package embedded

import (
	"fmt"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// serverLog is the log of the server. What the server calls fatal is recorded for [Start] to return; the process goes on.
type serverLog struct {
	to *zap.SugaredLogger

	mu  sync.Mutex
	err error // the first fatal one
}

func newServerLog(to *zap.Logger) *serverLog {
	return &serverLog{to: to.Sugar()}
}

func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		text := fmt.Sprintf(format, v...)
		l.err = fmt.Errorf("%s%s", strings.ToLower(text[:1]), text[1:])
	}
}

// fatal is the first fatal error, or nil.
func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *serverLog) Errorf(format string, v ...any)  { l.to.Errorf(format, v...) }
func (l *serverLog) Warnf(format string, v ...any)   { l.to.Warnf(format, v...) }
func (l *serverLog) Noticef(format string, v ...any) { l.to.Debugf(format, v...) }
func (l *serverLog) Debugf(format string, v ...any)  { l.to.Debugf(format, v...) }
func (l *serverLog) Tracef(format string, v ...any)  { l.to.Debugf(format, v...) }
