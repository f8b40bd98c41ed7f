package redislayer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers/driver"
)

// station is the connection to one host over which a process hears.
type station struct {
	*shard

	mu      sync.Mutex
	conn    rueidis.DedicatedClient // nil while there is none
	session uint64                  // counts connections
}

// on returns the connection and which one it is.
func (s *station) on() (rueidis.DedicatedClient, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil, 0, fmt.Errorf("%w: %s", errLost, s.name)
	}
	return s.conn, s.session, nil
}

// groupTable is the groups that this process hears, or is about to.
type groupTable struct {
	mu     sync.Mutex
	byName map[string]*groupSub
}

// groupSub is one group's subscription.
type groupSub struct {
	name    string
	channel string
	busy    chan struct{} // holds a token while it is being subscribed or unsubscribed
	joining int           // calls of join under way; guarded by the table
	session uint64        // of which connection it is subscribed; guarded by the table, written by who has the token
}

// hear keeps one station connected; lost tells of the end of its first connection. It ends with life; Close waits for it.
func (p *pubsub) hear(s *station, lost <-chan error) {
	defer p.running.Done()
	for try := 1; ; try++ {
		begun := time.Now()
		err := p.session(s, lost)
		if p.life.Err() != nil {
			return
		}
		lost = nil
		p.link.down(s.index, s.name, err)
		if time.Since(begun) > blockTime {
			try = 1
		}
		if !wait(p.life.Done(), p.log, s.name, try, err) {
			return
		}
	}
}

// session returns when a connection is lost, or life ends. It makes the connection, unless lost tells of one.
func (p *pubsub) session(s *station, lost <-chan error) (err error) {
	if lost == nil {
		if lost, err = p.attach(p.life, s); err != nil {
			return err
		}
	}
	defer s.off()
	p.link.up(s.index, s.name)
	select {
	case err := <-lost:
		if err == nil {
			err = errLost
		}
		return err
	case <-p.life.Done():
		return nil
	}
}

// attach makes the connection over which a station hears, and subscribes to what is wanted, as long as ctx lets it. What comes
// is handed out from then on; lost tells of the end.
func (p *pubsub) attach(ctx context.Context, s *station) (lost <-chan error, err error) {
	conn, _ := s.Dedicate()
	lost = conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: p.heard})
	if err := p.restore(ctx, s, conn); err != nil {
		conn.Close()
		return nil, err
	}
	return lost, nil
}

// off ends the connection, which nobody is given any more.
func (s *station) off() {
	s.mu.Lock()
	conn := s.conn
	s.conn = nil
	s.mu.Unlock()
	conn.Close()
}

// restore subscribes a new connection to all that is wanted, or gives up when until ends. Nobody else uses it before.
func (p *pubsub) restore(until context.Context, s *station, conn rueidis.DedicatedClient) error {
	ctx, cancel := context.WithCancel(p.life) // and no deadline: the client would not see that life ends
	defer cancel()
	defer context.AfterFunc(until, cancel)()
	defer time.AfterFunc(writeTime, cancel).Stop()
	channels := []string{p.keys.all()}
	var subs []*groupSub
	p.groups.mu.Lock()
	for _, g := range p.groups.byName {
		if p.shardOf(g.channel) == s {
			subs = append(subs, g)
			channels = append(channels, g.channel)
		}
	}
	p.groups.mu.Unlock()
	if err := settle(ctx, conn, conn.B().Psubscribe().Pattern(p.process()+"*").Build()); err != nil {
		return err
	}
	const chunk = 1000
	for len(channels) > 0 {
		n := min(len(channels), chunk)
		if err := settle(ctx, conn, conn.B().Subscribe().Channel(channels[:n]...).Build()); err != nil {
			return err
		}
		channels = channels[n:]
	}
	s.mu.Lock()
	s.session++
	s.conn = conn
	session := s.session
	s.mu.Unlock()
	p.groups.mu.Lock()
	for _, g := range subs {
		g.session = session
	}
	p.groups.mu.Unlock()
	p.running.Go(func() { // ends with ctx of unsubscribe at the latest; Close waits for it
		for _, g := range subs { // that nobody wants any more
			limited, cancel := context.WithTimeout(p.life, answerTime)
			_ = p.unsubscribe(limited, g.name) // if it fails the connection is lost
			cancel()
		}
	})
	return nil
}

// settle runs commands, and returns when all that Redis sent before their answer has been handed out.
func settle(ctx context.Context, conn rueidis.DedicatedClient, commands ...rueidis.Completed) error {
	commands = append(commands, conn.B().Ping().Build())
	return firstError(conn.DoMulti(ctx, commands...))
}

// join makes an own channel a member. Nothing is delivered that was published before the call.
func (p *pubsub) join(ctx context.Context, group, channel string) error {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	g := p.pin(group)
	defer p.unpin(ctx, g)
	if err := p.subscribe(limited, g); err != nil {
		return ended(ctx, err)
	}
	_, err := p.local.Join(group, channel)
	return err
}

// pin finds a group's subscription and sees that it stays.
func (p *pubsub) pin(group string) *groupSub {
	t := &p.groups
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.byName[group]
	if g == nil {
		g = &groupSub{name: group, channel: p.keys.groupChannel(group), busy: make(chan struct{}, 1)}
		t.byName[group] = g
	}
	g.joining++
	return g
}

func (p *pubsub) unpin(ctx context.Context, g *groupSub) {
	p.groups.mu.Lock()
	g.joining--
	p.groups.mu.Unlock()
	if p.local.Members(g.name) == 0 && p.unsubscribe(ctx, g.name) != nil {
		p.unsubscribeLater(g.name)
	}
}

// subscribe returns when the group is heard, and what was published before has been handed out.
func (p *pubsub) subscribe(ctx context.Context, g *groupSub) error {
	select {
	case g.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	s := p.shardOf(g.channel)
	conn, session, err := s.on()
	if err != nil {
		<-g.busy
		return err
	}
	p.groups.mu.Lock()
	is := g.session == session
	p.groups.mu.Unlock()
	if is {
		<-g.busy
		return s.wrap(ctx, settle(ctx, conn))
	}
	defer func() { <-g.busy }()
	if err := settle(ctx, conn, conn.B().Subscribe().Channel(g.channel).Build()); err != nil {
		return s.wrap(ctx, err)
	}
	p.groups.mu.Lock()
	g.session = session
	p.groups.mu.Unlock()
	return nil
}

func (s *station) wrap(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return s.failed(ctx, err)
}

// unsubscribe stops hearing a group that has no member here and that nobody joins. It returns an error when ctx ends before
// that is done; a connection that is lost has nothing to be done, for the next one will not have the group.
func (p *pubsub) unsubscribe(ctx context.Context, group string) error {
	t := &p.groups
	t.mu.Lock()
	g := t.byName[group]
	t.mu.Unlock()
	if g == nil {
		return nil
	}
	select {
	case g.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.busy }()
	if !p.unwanted(g) {
		return nil
	}
	if conn, _, err := p.shardOf(g.channel).on(); err == nil {
		if err := settle(ctx, conn, conn.B().Unsubscribe().Channel(g.channel).Build()); err != nil && ctx.Err() != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if g.joining == 0 && t.byName[group] == g {
		delete(t.byName, group)
	}
	return nil
}

// unsubscribeLater has it done by the goroutine that serves requests. If that has too much to do, the group is heard, and
// what comes dropped, until somebody joins and leaves it again.
func (p *pubsub) unsubscribeLater(group string) {
	select {
	case p.requests <- request{verb: tidy, group: group}:
	default:
	}
}

// unwanted says that a group is not needed, and notes that it is not subscribed from now on.
func (p *pubsub) unwanted(g *groupSub) bool {
	p.groups.mu.Lock()
	defer p.groups.mu.Unlock()
	if g.joining > 0 || p.local.Members(g.name) > 0 {
		return false
	}
	g.session = 0
	return true
}

// heard hands out one message. It runs on the connection's own goroutine, one at a time, and never blocks.
func (p *pubsub) heard(m rueidis.PubSubMessage) {
	group, isGroup := p.keys.groupOf(m.Channel)
	if isGroup && p.local.Members(group) == 0 {
		return
	}
	data, _, err := p.format.unpack([]byte(m.Message), time.Now())
	if err != nil {
		p.complain(m.Channel, err)
		return
	}
	if m.Channel == p.keys.all() || strings.HasPrefix(m.Channel, p.process()+".") {
		p.control(m.Channel, data)
		return
	}
	if isGroup {
		if msg, ok := p.host.Message("", data, time.Time{}); ok {
			p.local.DeliverGroup(group, msg)
		}
		return
	}
	msg, ok := p.host.Message(m.Channel, data, time.Time{})
	if !ok {
		return
	}
	switch err := p.local.Deliver(m.Channel, msg); err {
	case nil, driver.ErrNoChannel:
	default:
		p.host.Dropped(m.Channel, "", msg, err)
	}
}

// complain counts a message that cannot be read, and logs one line a minute.
func (p *pubsub) complain(where string, err error) {
	p.host.Message(where, nil, time.Time{}) // which counts it as invalid
	if n := p.unread.due(time.Now()); n > 0 {
		p.log.Warn("redislayer: a message cannot be read and is dropped: do all processes have the same Keys and Serializer?",
			zap.String("from", where), zap.Int64("messages", n), zap.Error(err))
	}
}
