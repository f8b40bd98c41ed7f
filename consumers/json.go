package consumers

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tideway-go/tideway/asgi"
)

// JSON makes a Text handler of one that takes a decoded value. A message that is no JSON, or none that fits T, closes
// the connection with 1007 and leaves one line in the log; to be more patient, decode in a Text handler of your own.
func JSON[S, T any](h func(s *S, ctx context.Context, c *Conn, v T) error) func(*S, context.Context, *Conn, string) error {
	mustHandle[S](h == nil, "given to JSON")
	return func(s *S, ctx context.Context, c *Conn, text string) error {
		var v T
		if err := decodeJSON(text, &v); err != nil {
			return err
		}
		return h(s, ctx, c, v)
	}
}

// SyncJSON is [JSON] for blocking handlers.
func SyncJSON[S, T any](h func(s *S, c *SyncConn, v T) error) func(*S, *SyncConn, string) error {
	mustHandle[S](h == nil, "given to SyncJSON")
	return func(s *S, c *SyncConn, text string) error {
		var v T
		if err := decodeJSON(text, &v); err != nil {
			return err
		}
		return h(s, c, v)
	}
}

func decodeJSON(text string, v any) error {
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("consumers: text message is no JSON that fits: %w: %w", err, asgi.CloseError{Code: 1007, Reason: "invalid JSON"})
	}
	return nil
}
