package layers

import (
	"strings"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// Down and Up tell the channels of this process that the layer's connection to its broker was lost and is back (L15).
// They come once per outage, to every local channel; consumers get those they list. They are made by the layer of the
// process and never sent: types that begin with "layer." are reserved.
const (
	Down Type[Outage] = "layer.down"
	Up   Type[Outage] = "layer.up"
)

// Outage is the payload of [Down] and [Up].
type Outage struct {
	Cause string    `json:"cause"` // what was lost and why; the same text in Up
	Since time.Time `json:"since"` // when it was noticed
}

// Outage returns the outage that lasts now; false while the layer is connected to its broker, as far as it knows, and
// for a nil layer. It is for health checks: [Down] and [Up] tell consumers.
func (l *Layer) Outage() (Outage, bool) {
	if l == nil {
		return Outage{}, false
	}
	l.outages.Lock()
	defer l.outages.Unlock()
	return l.lastOutage, l.isOut
}

const reservedPrefix = "layer."

func reserved(typ string) bool { return strings.HasPrefix(typ, reservedPrefix) }

// outage makes Down for a cause and Up for nil, which tells of the outage that it ends.
func (l *Layer) outage(cause error) *driver.Message {
	now := time.Now()
	l.outages.Lock()
	typ := Up
	l.isOut = cause != nil
	if cause != nil {
		typ = Down
		l.lastOutage = Outage{Cause: cause.Error(), Since: now}
	}
	payload := l.lastOutage
	l.outages.Unlock()
	return typ.With(payload).m.Arrive(now, l.opts.Expiry).MakeLocal()
}
