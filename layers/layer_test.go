package layers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

// plain is a driver with nothing optional.
type plain struct {
	in  driver.Inbox
	err error
}

func (p *plain) Open(_ context.Context, in driver.Inbox) (string, error) {
	p.in = in
	return "p!1", p.err
}
func (p *plain) Shut(context.Context, string) error                  { return p.err }
func (p *plain) Send(context.Context, string, *driver.Message) error { return p.err }
func (p *plain) Close(context.Context) error                         { return p.err }

// started also calls back, and has queues that it may lack.
type started struct {
	plain
	host   driver.Host
	limits driver.Limits
	lacks  error
}

func (s *started) Start(h driver.Host, l driver.Limits) { s.host, s.limits = h, l }
func (s *started) Receive(context.Context, string) (*driver.Message, error) {
	return nil, s.err
}
func (s *started) Lacks(context.Context, driver.Feature) error { return s.lacks }

func TestMissingFeatures(t *testing.T) {
	ctx := t.Context()
	l := layers.New(&plain{}, nil)
	_, receive := l.Receive(ctx, "queue")
	for op, test := range map[string]struct {
		err  error
		what string
	}{
		"GroupAdd":        {l.GroupAdd(ctx, "g", "a!b"), "groups"},
		"GroupDiscard":    {l.GroupDiscard(ctx, "g", "a!b"), "groups"},
		"GroupSend":       {l.GroupSend(ctx, "g", note.With(text{})), "groups"},
		"Receive":         {receive, "queues"},
		"Flush":           {l.Flush(ctx), "flush"},
		"Require(Groups)": {l.Require(ctx, layers.Groups), "groups"},
		"Require(Queues)": {l.Require(ctx, layers.Queues), "queues"},
		"Require(Flush)":  {l.Require(ctx, layers.Flush), "flush"},
		"Require(other)":  {l.Require(ctx, "history"), "history"},
	} {
		if !errors.Is(test.err, errors.ErrUnsupported) || !strings.Contains(test.err.Error(), "*layers_test.plain) has no "+test.what) {
			t.Errorf("%s: %v, want ErrUnsupported that names the driver and %q", op, test.err, test.what)
		}
	}
	if err := l.Require(ctx); err != nil {
		t.Errorf("Require nothing: %v", err)
	}

	d := &started{}
	l = layers.New(d, nil)
	if err := l.Require(ctx, layers.Queues); err != nil {
		t.Errorf("Require(Queues): %v", err)
	}
	d.lacks = fmt.Errorf("the server has no JetStream: %w", errors.ErrUnsupported)
	if err := l.Require(ctx, layers.Queues); !errors.Is(err, errors.ErrUnsupported) || err.Error() != "layers: require queues: the server has no JetStream: unsupported operation" {
		t.Errorf("Require(Queues) of a broker without: %v", err)
	}
}

func TestDriverErrors(t *testing.T) {
	ctx := t.Context()
	d := &started{}
	l := layers.New(d, nil)
	for _, test := range []struct {
		from, is error
		text     string
	}{
		{driver.ErrFull, layers.ErrChannelFull, `layers: send to "a!b": channel is full`},
		{driver.ErrNoChannel, layers.ErrNoChannel, `layers: send to "a!b": no such channel`},
		{driver.ErrUncertain, layers.ErrUncertain, `layers: send to "a!b": no answer, the message may have arrived`},
		{driver.ErrTooLarge, layers.ErrMessageTooLarge, `layers: send to "a!b": message is too large`},
		{fmt.Errorf("node 7: %w", driver.ErrFull), layers.ErrChannelFull, `layers: send to "a!b": node 7: channel is full`},
		{driver.ErrClosed, layers.ErrClosed, `layers: send to "a!b": layer is closed`},
		{errors.New("boom"), nil, `layers: send to "a!b": boom`},
		{context.DeadlineExceeded, context.DeadlineExceeded, "context deadline exceeded"},
	} {
		d.err = test.from
		err := l.Send(ctx, "a!b", note.With(text{}))
		if err == nil || err.Error() != test.text || test.is != nil && !errors.Is(err, test.is) || !errors.Is(err, test.from) && test.is == nil {
			t.Errorf("%v became %v, want %q", test.from, err, test.text)
		}
	}
	if n := l.Stats().Refused; n != 2 {
		t.Errorf("refused %d, want 2", n)
	}
	d.err = errors.New("boom")
	if _, err := l.NewChannel(ctx); err == nil || err.Error() != "layers: open channel: boom" {
		t.Errorf("NewChannel: %v", err)
	}
	if err := l.EndChannel(ctx, "a!b"); err == nil || err.Error() != `layers: end channel "a!b": boom` {
		t.Errorf("EndChannel: %v", err)
	}
	if err := l.Close(ctx); err == nil || err.Error() != "layers: close: boom" {
		t.Errorf("L16: Close must say what it could not do: %v", err)
	}
	if err := l.Close(ctx); err != nil {
		t.Errorf("L16: closing twice: %v", err)
	}
}

// drops collects what OnDrop is told.
type drops struct {
	mu  sync.Mutex
	all []layers.Drop
}

func (d *drops) add(x layers.Drop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, x)
}

func TestHost(t *testing.T) {
	var told drops
	d := &started{}
	l := layers.New(d, &layers.Options{Expiry: time.Second, Capacity: 3, MaxMessageSize: 30, OnDrop: told.add})
	if d.limits.Expiry != time.Second || d.limits.MaxMessageSize != 30 || d.limits.Capacity("x") != 3 {
		t.Errorf("limits %+v", d.limits)
	}
	if m, ok := d.host.Message("q", []byte("\x81\xa4type\xa1x"), time.Time{}); !ok || m.Type() != "x" || time.Since(m.Arrived()) > time.Minute {
		t.Errorf("Message: %v, %v", m, ok)
	}
	sent := time.Now().Add(-time.Second)
	if m, _ := d.host.Message("q", []byte("\x81\xa4type\xa1x"), sent); !m.Expired(time.Now()) {
		t.Error("L6, case 76: the sender's stamp counts where there is one")
	}
	for _, data := range []string{"", "\x80", "\x82\xa4type\xa1x\x01\x02", "\x81\xa4type\xaalayer.down", "\x81\xa4type\xa8layer.up"} {
		if m, ok := d.host.Message("q", []byte(data), time.Time{}); ok {
			t.Errorf("L15, L17: Message(%q) gave a message of type %q", data, m.Type())
		}
	}
	if n := l.Stats().Dropped[layers.DropInvalid]; n != 5 || len(told.all) != 5 {
		t.Errorf("%d invalid messages counted, %d told; want 5", n, len(told.all))
	}
	large := func(n int) []byte { return []byte("\x81\xa4type\xd9" + string(rune(n)) + strings.Repeat("x", n)) }
	if m, ok := d.host.Message("q", large(22), time.Time{}); !ok || m.Type() != strings.Repeat("x", 22) {
		t.Errorf("L13: a message of 30 bytes from outside, where 30 are the limit: %v, %v", m, ok)
	}
	if _, ok := d.host.Message("q", large(23), time.Time{}); ok {
		t.Error("L13: a message of 31 bytes from outside passed a limit of 30")
	}
	if last := told.all[len(told.all)-1]; last.Reason != layers.DropInvalid || !errors.Is(last.Err, layers.ErrMessageTooLarge) {
		t.Errorf("L13: told %+v of a message from outside that is too large", last)
	}
	d.host.Dropped("q", "g", driver.NewMessage("x", nil), driver.ErrExpired)
	if n := l.Stats().Dropped[layers.DropExpired]; n != 1 {
		t.Errorf("L6: %d expired messages counted", n)
	}
	if last := told.all[4]; last.Channel != "q" || last.Type != "layer.up" || last.Reason != layers.DropInvalid || last.Err == nil {
		t.Errorf("told %+v", last)
	}
}

// Case 34.
func TestOutage(t *testing.T) {
	d := &started{}
	layers.New(d, nil)
	down := d.host.Outage(errors.New("broker gone"))
	up := d.host.Outage(nil)
	if down.Type() != "layer.down" || up.Type() != "layer.up" || !down.Local() || !up.Local() {
		t.Fatalf("L15, case 34: %q and %q", down.Type(), up.Type())
	}
}

// box is an Inbox that remembers.
type box struct {
	mu      sync.Mutex
	err     error
	panics  bool
	got     []string
	flushed int
}

func (b *box) Deliver(m layers.Message) error {
	if b.panics {
		panic("broken inbox")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	if v, err := note.Decode(m); err == nil {
		b.got = append(b.got, v.Text)
	} else {
		b.got = append(b.got, m.Type())
	}
	return nil
}

func (b *box) Flush() { b.flushed++ }

// TestOutageIsUnavailable: while the broker is away an error says that the client may come back, as far as the broker is what failed.
func TestOutageIsUnavailable(t *testing.T) {
	d := &started{}
	l := layers.New(d, nil)
	status := func(cause error) int {
		d.err = cause
		err := l.Send(t.Context(), "p!1", layers.Type[struct{}]("x").With(struct{}{}))
		if err == nil || !strings.HasPrefix(err.Error(), "layers: send to \"p!1\": ") {
			t.Errorf("the error is %v", err)
		}
		says, ok := errors.AsType[interface {
			error
			StatusCode() int
		}](err)
		if !ok {
			return 0
		}
		return says.StatusCode()
	}
	broken := errors.New("connection refused")
	if got := status(broken); got != 0 {
		t.Errorf("before any outage the status is %d", got)
	}
	d.host.Outage(broken)
	if got := status(broken); got != 503 {
		t.Errorf("L15: in an outage the status is %d, want 503", got)
	}
	for _, cause := range []error{driver.ErrNoChannel, driver.ErrFull, driver.ErrTooLarge} {
		if got := status(cause); got != 0 {
			t.Errorf("in an outage %v has the status %d", cause, got)
		}
	}
	d.host.Outage(nil)
	if got := status(broken); got != 0 {
		t.Errorf("after the outage the status is %d", got)
	}
}
