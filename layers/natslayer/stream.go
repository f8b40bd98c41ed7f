package natslayer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// shape is what streams differ in: JetStream bounds messages by age and by number per subject for a stream as a whole, so
// there is one for each distinct shape, and not for each queue.
type shape struct {
	durable  bool
	capacity int
	age      time.Duration
}

// minAge is the shortest age that a stream can have. Receivers look at the age themselves.
const minAge = 100 * time.Millisecond

// label is the shape as one token, a part of subjects and of the stream's name.
func (s shape) label() string {
	label := fmt.Sprintf("%d-%s", s.capacity, token(s.age.String()))
	if s.durable {
		return "durable-" + label
	}
	return label
}

// streamOf is the name of a shape's stream, and subjectOf the subject of a queue in it.
func (s *store) streamOf(sh shape) string { return s.prefix + "-queue-" + sh.label() }

func (s *store) subjectOf(sh shape, queue string) string {
	return s.prefix + ".queue." + sh.label() + "." + token(queue)
}

// config is how a shape's stream is made.
func (s *store) config(sh shape) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:                 s.streamOf(sh),
		Subjects:             []string{s.prefix + ".queue." + sh.label() + ".*"},
		Retention:            jetstream.WorkQueuePolicy,
		MaxMsgsPerSubject:    int64(sh.capacity),
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxAge:               max(sh.age, minAge),
		Replicas:             s.opts.Replicas,
		Storage:              jetstream.MemoryStorage,
	}
	if s.opts.Storage == FileStorage || sh.durable && s.opts.Storage == DefaultStorage {
		c.Storage = jetstream.FileStorage
	}
	return c
}

// makeStream makes the stream of a shape, or finds it.
func (s *store) makeStream(ctx context.Context, sh shape) error {
	want := s.config(sh)
	return s.whole(ctx, func(ctx context.Context) error {
		begun := time.Now()
		st, err := s.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			st, err = s.js.Stream(ctx, want.Name)
		}
		var api *jetstream.APIError
		if errors.As(err, &api) && (api.ErrorCode == codeNotClustered || api.ErrorCode == codeNoPeers) && !offline(api) {
			return fmt.Errorf("making stream %q with Options.Replicas of %d, which needs as many servers with JetStream: %w", want.Name, want.Replicas, err)
		}
		if err != nil {
			return fmt.Errorf("making stream %q: %w", want.Name, err)
		}
		info := st.CachedInfo()
		s.skew.Store(int64(skew(begun, time.Now(), info.TimeStamp)))
		return differs(want, info.Config)
	})
}

// skew is what to add to the broker's clock to get this process's, as far as one answer shows it: between the same clocks
// it is zero.
func skew(asked, answered, broker time.Time) time.Duration {
	switch {
	case broker.IsZero():
		return 0
	case broker.Before(asked):
		return asked.Sub(broker)
	case broker.After(answered):
		return answered.Sub(broker)
	default:
		return 0
	}
}

// differs says in what a stream that exists is not what this process's options ask for.
func differs(want, have jetstream.StreamConfig) error {
	var diff []string
	note := func(what string, want, have any) {
		if want != have {
			diff = append(diff, fmt.Sprintf("%s %v, and this process wants %v", what, have, want))
		}
	}
	note("storage", want.Storage, have.Storage)
	note("replicas", want.Replicas, have.Replicas)
	note("capacity", want.MaxMsgsPerSubject, have.MaxMsgsPerSubject)
	note("expiry", want.MaxAge, have.MaxAge)
	note("retention", want.Retention, have.Retention)
	note("discard policy", want.Discard, have.Discard)
	note("discard per subject", want.DiscardNewPerSubject, have.DiscardNewPerSubject)
	note("subjects", strings.Join(want.Subjects, " "), strings.Join(have.Subjects, " "))
	if diff == nil {
		return nil
	}
	return fmt.Errorf("stream %q exists with %s: give all processes the same natslayer.Options, or delete the stream (nats stream rm %s)",
		want.Name, strings.Join(diff, "; "), want.Name)
}

// rival looks for another process that gives this queue another shape: its messages, or its consumer, are in another
// stream. Neither side would ever hear the other.
func (s *store) rival(ctx context.Context, q *queue) error {
	names := s.js.StreamNames(ctx, jetstream.WithStreamListSubject(s.prefix+".queue.*."+q.token))
	var others []string
	for name := range names.Name() {
		if name != q.stream {
			others = append(others, name)
		}
	}
	if err := names.Err(); err != nil {
		return err
	}
	for _, name := range others {
		used, what, err := s.usedIn(ctx, name, q)
		if err != nil {
			return err
		}
		if used {
			return fmt.Errorf("another process declares it with %s (stream %q), and this one with %s: "+
				"give all processes the same natslayer.Options, and let the queue run empty before they change", what, name, q.shape)
		}
	}
	return nil
}

// usedIn says whether a stream has messages or receivers of a queue, and the stream's shape in words. The consumer of a queue
// that is not durable ends when it is not used; that of a durable one stays, so there a waiting worker counts.
func (s *store) usedIn(ctx context.Context, stream string, q *queue) (used bool, shape string, err error) {
	st, err := s.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	info, err := st.Info(ctx, jetstream.WithSubjectFilter(s.prefix+".queue.*."+q.token))
	if err != nil {
		return false, "", err
	}
	have := shapeOf(s.prefix, info.Config)
	if len(info.State.Subjects) > 0 {
		return true, have.String(), nil
	}
	c, err := st.Consumer(ctx, q.token)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	return !have.durable || c.CachedInfo().NumWaiting > 0, have.String(), nil
}

// shapeOf reads a stream's shape back.
func shapeOf(prefix string, c jetstream.StreamConfig) shape {
	return shape{
		durable:  strings.HasPrefix(c.Name, prefix+"-queue-durable-"),
		capacity: int(c.MaxMsgsPerSubject),
		age:      c.MaxAge,
	}
}

// String is the shape in the words of the options.
func (s shape) String() string {
	if s.durable {
		return fmt.Sprintf("Durable{Capacity: %d, MaxAge: %v}", s.capacity, s.age)
	}
	return fmt.Sprintf("capacity %d and expiry %v", s.capacity, s.age)
}

// makeConsumer makes the one consumer that all receivers of a queue share, or finds it.
func (s *store) makeConsumer(ctx context.Context, q *queue) error {
	want := jetstream.ConsumerConfig{
		Durable:       q.token,
		FilterSubject: q.subject,
		AckPolicy:     jetstream.AckExplicitPolicy,
		MaxDeliver:    -1,
		MaxAckPending: -1, // jobs that wait for their next attempt are pending too
		MaxWaiting:    maxWaiting,
	}
	if q.shape.durable {
		want.AckWait = q.lease
	} else {
		// The broker would give a message to a second receiver only when it has expired: at most once needs no
		// trust in the first one's speed.
		want.AckWait = max(q.shape.age, minAge) + time.Second
		want.InactiveThreshold = consumerIdle
	}
	return s.ask(ctx, func(ctx context.Context) error {
		c, err := s.js.CreateConsumer(ctx, q.stream, want)
		if errors.Is(err, jetstream.ErrConsumerExists) {
			c, err = s.js.Consumer(ctx, q.stream, q.token)
		}
		if err != nil {
			return err
		}
		return differsConsumer(want, c.CachedInfo())
	})
}

func differsConsumer(want jetstream.ConsumerConfig, info *jetstream.ConsumerInfo) error {
	have := info.Config
	switch {
	case have.FilterSubject != want.FilterSubject:
		return fmt.Errorf("consumer %q of stream %q exists with subject %q, and this process wants %q: delete it (nats consumer rm)",
			info.Name, info.Stream, have.FilterSubject, want.FilterSubject)
	case have.AckWait != want.AckWait:
		return fmt.Errorf("its consumer exists with Lease %v, and this process declares %v: give all processes the same Durables, "+
			"or stop them and run: nats consumer rm %s %s", have.AckWait, want.AckWait, info.Stream, info.Name)
	default:
		return nil
	}
}

const (
	// consumerIdle is how long the consumer of a queue that is not durable outlives its last receiver.
	consumerIdle = time.Minute
	// maxWaiting bounds the requests that wait at one consumer, of all processes.
	maxWaiting = 16384
)
