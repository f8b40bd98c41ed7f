package layers

import (
	"fmt"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

// encodePayload is the one place where payloads become bytes.
func encodePayload(typ string, ptr any) ([]byte, error) {
	return payload.Marshal(typ, ptr)
}

func decodePayload(data []byte, ptr any) error { return payload.Unmarshal(data, ptr) }

// decodeFields decodes a payload without a Go type.
func decodeFields(data []byte) (map[string]any, error) {
	fields, err := payload.Fields(data)
	delete(fields, payload.TypeKey)
	return fields, err
}

// checkPayload reads a message from the wire and returns its type, and whether it carries a trace context.
func checkPayload(data []byte) (typ string, traced bool, err error) {
	typ, traced, err = payload.CheckTraced(data)
	if err == nil && reserved(typ) {
		err = fmt.Errorf("type %s is reserved: only the layer of this process makes it", quote(typ))
	}
	return typ, traced, err
}
