package auth

import (
	"sync"
	"time"
)

// A registry knows the connections of each user in this process.
type registry[U any] struct {
	mu    sync.Mutex
	users map[string]map[*connection[U]]struct{}
	last  time.Time // when a revocation last came
}

// add adds a connection and returns when a revocation last came: later ones find it.
func (r *registry[U]) add(id string, c *connection[U]) (last time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users[id] == nil {
		r.users[id] = make(map[*connection[U]]struct{})
	}
	r.users[id][c] = struct{}{}
	return r.last
}

func (r *registry[U]) remove(id string, c *connection[U]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.users[id], c)
	if len(r.users[id]) == 0 {
		delete(r.users, id)
	}
}

// revoked ends the connections that a revocation names.
func (r *registry[U]) revoked(n notice) {
	r.mu.Lock()
	r.last = time.Now()
	named := make([]*connection[U], 0, len(r.users[n.User]))
	for c := range r.users[n.User] {
		named = append(named, c)
	}
	r.mu.Unlock()
	for _, c := range named { // without the lock: an end goes through whatever stands outside
		c.end(n.reason(), func() bool { return c.named(n) })
	}
}

// named reports whether a revocation is about c's credentials. The lock is held.
func (c *connection[U]) named(n notice) bool {
	switch {
	case !c.known || c.id != n.User, c.request != nil && c.request.is(&c.request.spared):
		return false
	case n.Session != "":
		return c.identity.Session == n.Session
	case n.Except != "":
		return c.identity.Session != n.Except
	}
	return true
}

// checkAll has all connections checked soon, spread over checkSpread.
func (r *registry[U]) checkAll() {
	r.mu.Lock()
	var all []*connection[U]
	for _, users := range r.users {
		for c := range users {
			all = append(all, c)
		}
	}
	r.mu.Unlock()
	for _, c := range all {
		c.checkSoon()
	}
}
