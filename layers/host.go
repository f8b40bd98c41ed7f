package layers

import (
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// host is the layer as its driver sees it.
type host Layer

// Message reads what came from outside this process. Its sender may have another size limit, or none.
func (h *host) Message(channel string, data []byte, sent time.Time) (*driver.Message, bool) {
	l := (*Layer)(h)
	typ, traced, err := l.checkArrived(data)
	if err != nil {
		l.Dropped(Drop{Channel: channel, Type: typ, Reason: DropInvalid, Err: err})
		return nil, false
	}
	if sent.IsZero() {
		sent = time.Now()
	}
	m := driver.NewMessage(typ, data)
	if traced {
		m = cutTrace(typ, data)
	}
	return m.Arrive(sent, l.opts.Expiry), true
}

func (l *Layer) checkArrived(data []byte) (typ string, traced bool, err error) {
	if len(data) > l.opts.MaxMessageSize {
		return "", false, &tooLargeError{len(data), l.opts.MaxMessageSize}
	}
	return checkPayload(data)
}

// Dropped counts what a member did not get.
func (h *host) Dropped(channel, group string, m *driver.Message, cause error) {
	(*Layer)(h).dropped(channel, group, m, cause)
}

// Delivered counts what channels took.
func (h *host) Delivered(n int) { h.count.delivered.Add(uint64(n)) }

// GroupDelivered counts what members of groups took.
func (h *host) GroupDelivered(n int) { h.count.groupDelivered.Add(uint64(n)) }

// Outage makes the message of a lost or restored connection.
func (h *host) Outage(cause error) *driver.Message { return (*Layer)(h).outage(cause) }
