package redislayer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

// format is how messages are written to Redis: serialized, encrypted, and with Core behind random bytes, because a member
// of a sorted set must be unique.
type format struct {
	prefix     int // how many random bytes
	serializer Serializer
	keys       keyring
	ttl        time.Duration // of encrypted messages; 0 asks for no time
}

// pack writes a message for channels: none, one by a direct send, or a list by a group send.
func (f *format) pack(data []byte, names []string, list bool, now time.Time) ([]byte, error) {
	body, err := f.serialize(data, names, list)
	if err != nil {
		return nil, err
	}
	if f.keys != nil {
		body = f.keys.seal(body, now)
	}
	entry := make([]byte, f.prefix, f.prefix+len(body))
	_, _ = rand.Read(entry) // never fails
	return append(entry, body...), nil
}

func (f *format) serialize(data []byte, names []string, list bool) ([]byte, error) {
	if f.serializer == nil {
		if len(names) == 0 {
			return data, nil
		}
		return payload.WithAddress(data, names, list), nil
	}
	fields, err := toFields(data, names, list)
	if err != nil {
		return nil, err
	}
	body, err := f.serializer.Serialize(fields)
	if err != nil {
		return nil, fmt.Errorf("serialize: %w", err)
	}
	return body, nil
}

// again serializes a message and reads it back.
func (f *format) again(data []byte) ([]byte, error) {
	body, err := f.serialize(data, nil, false)
	if err != nil {
		return nil, err
	}
	data, _, err = f.deserialize(body)
	return data, err
}

var errShort = errors.New("it is shorter than its random prefix")

// unpack reads what pack or channels_redis wrote. The message is in the layer's encoding, and not checked yet.
func (f *format) unpack(entry []byte, now time.Time) (data []byte, to payload.Address, err error) {
	if len(entry) < f.prefix {
		return nil, to, errShort
	}
	body := entry[f.prefix:]
	if f.keys != nil {
		if body, err = f.keys.open(body, now, f.ttl); err != nil {
			return nil, to, err
		}
	}
	if f.serializer == nil {
		return payload.CutAddress(body)
	}
	return f.deserialize(body)
}

func (f *format) deserialize(body []byte) (data []byte, to payload.Address, err error) {
	fields, err := f.serializer.Deserialize(body)
	if err != nil {
		return nil, to, fmt.Errorf("deserialize: %w", err)
	}
	return toMessage(fields)
}
