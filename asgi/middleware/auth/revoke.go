package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tideway-go/tideway/layers"
)

// A Revocation names connections by their user.
type Revocation struct {
	// User is the id of the user, as Options.ID gives it. Required.
	User string
	// Session names one of the user's credentials, as [Identity] does; default all of them.
	Session string
	// Except names one that stays, such as that on which the password was changed. It has no effect beside Session.
	Except string
	// Reason is what WebSockets are closed with, at most 123 bytes; default "logged out".
	Reason string
	// Realm is that of the Authenticator; default "auth".
	Realm string
}

// notice is a Revocation on its way. Whoever shares the broker can send one.
type notice struct {
	User    string `json:"user"`
	Session string `json:"session,omitempty"`
	Except  string `json:"except,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

const revocation layers.Type[notice] = "auth.revoked"

const defaultReason = "logged out"

// maxReason is the longest reason of a close frame (RFC 6455 section 5.5).
const maxReason = 123

func groupOf(realm string) string { return "auth.revoked." + realm }

// reason is that of the sender, if a close frame can have it.
func (n notice) reason() string {
	if n.Reason == "" || len(n.Reason) > maxReason || !utf8.ValidString(n.Reason) {
		return defaultReason
	}
	return n.Reason
}

// Revoke closes connections of a user in every process that shares the layer. It works from anywhere, also from a command
// without an Authenticator. End the credentials first, or the client comes back with them at once.
//
// A request that revokes its own user may finish, with the ctx of its handler; a WebSocket is closed like all others.
// Revoke returns when the layer has taken the message; an error says that it may not reach everybody, and what it does not
// reach is found by a check.
func Revoke(ctx context.Context, layer *layers.Layer, r Revocation) error {
	if r.Realm == "" {
		r.Realm = defaultRealm
	}
	switch {
	case r.User == "":
		return errors.New("auth: revoke: Revocation.User is empty: give the id of the user")
	case len(r.Reason) > maxReason, !utf8.ValidString(r.Reason):
		return fmt.Errorf("auth: revoke %q: the reason has %d bytes; a close frame has room for %d, of UTF-8", r.User, len(r.Reason), maxReason)
	}
	if own, ok := ctx.Value(requestKey{}).(*request); ok {
		own.mu.Lock()
		own.spared = true
		own.mu.Unlock()
	}
	m := revocation.With(notice{User: r.User, Session: r.Session, Except: r.Except, Reason: r.Reason})
	if err := layer.GroupSend(ctx, groupOf(r.Realm), m); err != nil {
		return fmt.Errorf("auth: revoke %q: %w", r.User, err)
	}
	return nil
}

// revoke is Revoke for a connection of a; without a layer it is for this process.
func (a *Authenticator[U]) revoke(ctx context.Context, layer *layers.Layer, r Revocation) error {
	if layer == nil {
		a.registry.revoked(notice{User: r.User, Session: r.Session, Except: r.Except, Reason: r.Reason})
		return nil
	}
	r.Realm = a.opts.Realm
	return Revoke(ctx, layer, r)
}

// joins are the layers on which an Authenticator hears of revocations: mostly one.
type joins struct {
	mu    sync.Mutex
	layer map[*layers.Layer]*joined
}

// joined is the membership of a process in the group of revocations. It costs no goroutine, and ends with the layer.
type joined struct {
	turn    chan struct{} // whoever holds it may join
	mu      sync.Mutex
	channel string
	since   time.Time // revocations after it are heard; zero: none is yet
	failed  time.Time // when the last attempt to join began that failed
}

// join has the process hear of revocations and returns since when it does. Where that fails, connections go on without:
// checks find what is lost.
func (a *Authenticator[U]) join(ctx context.Context, c *connection[U]) (since time.Time) {
	if c.layer == nil {
		return time.Time{}
	}
	j, began := a.joins.of(c.layer), time.Now()
	if since, _ := j.heard(began); !since.IsZero() {
		return since
	}
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	case <-ctx.Done():
		return time.Now()
	}
	if since, failed := j.heard(began); !since.IsZero() {
		return since
	} else if failed { // while this one waited: the others need not find that out one by one
		return time.Now()
	}
	if err := j.join(ctx, c.layer, inbox[U]{a}, groupOf(a.opts.Realm)); err != nil {
		if errors.Is(err, layers.ErrClosed) {
			a.joins.forget(c.layer)
		}
		a.warn(c, "revocations of other processes are not heard, only checks find them", err)
		return time.Now()
	}
	since, _ = j.heard(began)
	return since
}

func (js *joins) of(l *layers.Layer) *joined {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.layer[l]
	if j == nil {
		if js.layer == nil {
			js.layer = make(map[*layers.Layer]*joined)
		}
		j = &joined{turn: make(chan struct{}, 1)}
		js.layer[l] = j
	}
	return j
}

func (js *joins) forget(l *layers.Layer) {
	js.mu.Lock()
	defer js.mu.Unlock()
	delete(js.layer, l)
}

// heard returns since when revocations are heard, and whether an attempt has failed that began after began.
func (j *joined) heard(began time.Time) (since time.Time, failed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.since, j.failed.After(began)
}

// join opens the channel, once, and makes it a member. The turn is held.
func (j *joined) join(ctx context.Context, l *layers.Layer, in layers.Inbox, group string) (err error) {
	began := time.Now()
	defer func() {
		if err != nil {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.failed = began
		}
	}()
	if j.channel == "" {
		if j.channel, err = l.Listen(ctx, in); err != nil {
			return err
		}
	}
	if err := l.GroupAdd(ctx, group, j.channel); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.since = time.Now()
	return nil
}

// inbox takes the messages of a layer for all connections of a process.
type inbox[U any] struct{ auth *Authenticator[U] }

// Deliver closes what a revocation names.
func (in inbox[U]) Deliver(m layers.Message) error {
	switch m.Type() {
	case revocation.String():
		n, err := revocation.Decode(m)
		if err != nil {
			return err
		}
		in.auth.registry.revoked(n)
	case layers.Up.String():
		if m.Local() {
			in.auth.registry.checkAll()
		}
	}
	return nil
}
