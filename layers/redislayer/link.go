package redislayer

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers/driver"
)

// link says whether all hosts are connected, and tells local channels.
type link struct {
	log   *zap.Logger
	host  driver.Host
	local *driver.Local

	mu    sync.Mutex
	lost  map[int]error // by host
	since time.Time
	turn  sync.Mutex // held while channels are told, so that Down and Up come in turn
}

var errLost = errors.New("the connection to Redis is lost")

// down notes that a host is lost.
func (l *link) down(i int, name string, cause error) {
	l.turn.Lock()
	defer l.turn.Unlock()
	err := fmt.Errorf("%w: %s: %w", errLost, name, cause)
	l.mu.Lock()
	_, known := l.lost[i]
	first := len(l.lost) == 0
	if l.lost == nil {
		l.lost = make(map[int]error)
	}
	l.lost[i] = err
	if first {
		l.since = time.Now()
	}
	l.mu.Unlock()
	if known {
		return
	}
	l.log.Warn("redislayer: the connection to Redis is lost", zap.String("host", name), zap.Error(cause))
	if first {
		l.local.DeliverAll(l.host.Outage(err))
	}
}

// isLost says that a host is known to be lost.
func (l *link) isLost(i int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.lost[i]
	return known
}

// up notes that a host is back.
func (l *link) up(i int, name string) {
	l.turn.Lock()
	defer l.turn.Unlock()
	l.mu.Lock()
	_, known := l.lost[i]
	delete(l.lost, i)
	last := known && len(l.lost) == 0
	after := time.Since(l.since)
	l.mu.Unlock()
	if !known {
		return
	}
	l.log.Info("redislayer: the connection to Redis is back", zap.String("host", name), zap.Duration("after", after))
	if last {
		l.local.DeliverAll(l.host.Outage(nil))
	}
}
