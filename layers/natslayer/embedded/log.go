package embedded

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// serverLog is the log of the server. What the server calls fatal is recorded for [Start] to return; the process goes on.
type serverLog struct {
	to     *zap.Logger
	ending atomic.Bool // a server that is told to end complains of itself

	mu   sync.Mutex
	err  error // the first fatal one
	said map[string]*episode
}

// An episode is a line that comes again and again.
type episode struct {
	at      time.Time // when it was written last
	leftOut int       // how often it came since
}

const (
	quietTime   = 10 * time.Second // between two lines that differ in numbers only
	maxEpisodes = 256              // kinds of lines that are told apart; others are one kind
)

func newServerLog(to *zap.Logger) *serverLog {
	return &serverLog{to: to, said: make(map[string]*episode)}
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

func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if strings.HasPrefix(text, "Error trying to connect to route") { // normal while nodes come and go: see watch
		l.to.Debug(text)
		return
	}
	l.write(zap.ErrorLevel, text)
}

func (l *serverLog) Warnf(format string, v ...any) {
	l.write(zap.WarnLevel, fmt.Sprintf(format, v...))
}

func (l *serverLog) Noticef(format string, v ...any) { l.debug(format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.debug(format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.debug(format, v) }

func (l *serverLog) debug(format string, v []any) {
	if l.to.Core().Enabled(zap.DebugLevel) {
		l.to.Debug(fmt.Sprintf(format, v...))
	}
}

// write writes a line, but the same at most once in quietTime.
func (l *serverLog) write(level zapcore.Level, text string, fields ...zap.Field) {
	if l.ending.Load() {
		l.to.Debug(text, fields...)
		return
	}
	leftOut, ok := l.episode(kind(text), time.Now())
	if !ok {
		return
	}
	if leftOut > 0 {
		fields = append(fields, zap.Int("left_out", leftOut))
	}
	l.to.Log(level, text, fields...)
}

// kind is what is equal in lines that differ in numbers: of connections, ports, attempts.
func kind(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text)
}

// episode says whether a line of this kind is to be written now, and how many were not since the last.
func (l *serverLog) episode(kind string, now time.Time) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.said[kind]
	if e == nil {
		if len(l.said) >= maxEpisodes {
			l.forget(now)
		}
		if len(l.said) >= maxEpisodes {
			kind = ""
		}
		if e = l.said[kind]; e == nil {
			l.said[kind] = &episode{at: now}
			return 0, true
		}
	}
	if now.Sub(e.at) < quietTime {
		e.leftOut++
		return 0, false
	}
	leftOut = e.leftOut
	*e = episode{at: now}
	return leftOut, true
}

// forget drops what has not come for long. The lock is held.
func (l *serverLog) forget(now time.Time) {
	for kind, e := range l.said {
		if now.Sub(e.at) >= quietTime {
			delete(l.said, kind)
		}
	}
}
