package consumers_test

import (
	"context"
	"net/http"
	"time"

	"github.com/tideway-go/tideway/consumers"
)

// clock is the state of one request.
type clock struct{}

func (s *clock) handle(ctx context.Context, c *consumers.Conn, body []byte) error {
	if err := c.StartResponse(ctx, http.StatusOK, http.Header{"Content-Type": {"text/plain"}}); err != nil {
		return err
	}
	seconds := time.NewTicker(time.Second)
	defer seconds.Stop()
	for now := time.Now(); ; {
		if err := c.SendBody(ctx, []byte(now.Format(time.TimeOnly)+"\n"), true); err != nil {
			return err
		}
		select {
		case now = <-seconds.C:
		case <-ctx.Done(): // the client has left, or the server stops
			return context.Cause(ctx)
		}
	}
}

// A response that goes out part by part for as long as the client stays.
func ExampleAsyncHTTPConsumer_stream() {
	serve(consumers.AsyncHTTPConsumer[clock]{Handle: (*clock).handle}.App())
}
