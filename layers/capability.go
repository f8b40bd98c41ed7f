package layers

import (
	"context"
	"errors"
	"fmt"

	"github.com/tideway-go/tideway/layers/driver"
)

// Feature is something that not every backend can do. Methods that need it return errors.ErrUnsupported where it is
// missing; [Layer.Require] finds out at start.
type Feature = driver.Feature

// The features.
const (
	Groups = driver.FeatureGroups // GroupAdd, GroupDiscard, GroupSend
	Queues = driver.FeatureQueues // channels without "!": Receive, and Send that stores
	Flush  = driver.FeatureFlush  // Flush
	Jobs   = driver.FeatureJobs   // durable queues: Take
)

// start hands the driver what it needs of its layer.
func (l *Layer) start() {
	if s, ok := l.driver.(driver.Starter); ok {
		s.Start((*host)(l), driver.Limits{
			Expiry:         l.opts.Expiry,
			MaxMessageSize: l.opts.MaxMessageSize,
			Capacity:       l.Capacity,
			Durable:        l.opts.limits,
		})
	}
}

// Require returns an error that matches errors.ErrUnsupported and names the first feature that the layer does not
// have. Call it at start, so that a wrong choice of backend shows before the first user comes.
func (l *Layer) Require(ctx context.Context, features ...Feature) error {
	if err := l.ready(ctx); err != nil {
		return err
	}
	for _, f := range features {
		ok := false
		switch f {
		case Groups:
			_, ok = l.driver.(driver.Groups)
		case Queues:
			_, ok = l.driver.(driver.Queues)
		case Flush:
			_, ok = l.driver.(driver.Flusher)
		case Jobs:
			_, ok = l.driver.(driver.Jobs)
		}
		if !ok {
			return l.unsupported(f)
		}
		if d, ok := l.driver.(driver.Limited); ok {
			if err := d.Lacks(ctx, f); err != nil {
				return &opError{op: "require " + string(f), cause: err}
			}
		}
	}
	return nil
}

func (l *Layer) jobs() (driver.Jobs, error) {
	if j, ok := l.driver.(driver.Jobs); ok {
		return j, nil
	}
	return nil, l.unsupported(Jobs)
}

func (l *Layer) unsupported(f Feature) error {
	return fmt.Errorf("layers: this backend (%T) has no %s: %w", l.driver, f, errors.ErrUnsupported)
}

func (l *Layer) groups(ctx context.Context) (driver.Groups, error) {
	if err := l.ready(ctx); err != nil {
		return nil, err
	}
	if g, ok := l.driver.(driver.Groups); ok {
		return g, nil
	}
	return nil, l.unsupported(Groups)
}

func (l *Layer) queues() (driver.Queues, error) {
	if q, ok := l.driver.(driver.Queues); ok {
		return q, nil
	}
	return nil, l.unsupported(Queues)
}

// Flush drops all messages and memberships of the whole deployment that shares the broker, for tests and emergencies.
// Live channels stay open and waiting Receives wait on; the layer can be used as before.
func (l *Layer) Flush(ctx context.Context) error {
	if err := l.ready(ctx); err != nil {
		return err
	}
	f, ok := l.driver.(driver.Flusher)
	if !ok {
		return l.unsupported(Flush)
	}
	return l.failed("flush", "", f.Flush(ctx))
}
