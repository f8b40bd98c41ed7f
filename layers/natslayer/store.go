package natslayer

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers/driver"
)

// store keeps queues.
type store struct{}

func newStore(*nats.Conn, Options, *subjects, driver.Host, driver.Limits) *store { return &store{} }

func (*store) send(context.Context, string, *driver.Message) error { return errors.ErrUnsupported }

func (*store) receive(context.Context, string) (*driver.Message, error) {
	return nil, errors.ErrUnsupported
}

func (*store) take(context.Context, string) (driver.Job, error) { return nil, errors.ErrUnsupported }

func (*store) lacks(context.Context) error { return errors.ErrUnsupported }

func (*store) join(context.Context, string, string) error { return errors.ErrUnsupported }

func (*store) leave(context.Context, string, string) error { return errors.ErrUnsupported }

func (*store) flush(context.Context) error { return nil }

func (*store) close(context.Context) error { return nil }
