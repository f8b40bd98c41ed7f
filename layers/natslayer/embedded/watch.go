package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	watchTime   = 3 * time.Second  // between two looks at routes that are not connected
	absentTime  = 10 * time.Second // after which a node is missed: nodes do not start at the same moment
	mentionTime = time.Minute      // between two lines about the same node
)

// A watcher keeps an eye on the routes: it says which nodes are missing, once in a while, and when they are back.
type watcher struct {
	srv    *Server
	routes map[string]*routeState
}

type routeState struct {
	id    string    // of the node that was found there
	since time.Time // it is missing; zero if it is not
	told  time.Time // when the log said so last; zero if it did not
}

// watch ends with ctx; Close waits for it.
func (s *Server) watch(ctx context.Context) {
	w := &watcher{srv: s, routes: make(map[string]*routeState)}
	tick := time.NewTicker(watchTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.turn(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// turn compares the routes that are wanted with the nodes that are connected.
func (w *watcher) turn(ctx context.Context) {
	here := w.srv.connected()
	var missing []string
	cluster := w.srv.cluster()
	routes := cluster.others()
	for _, r := range routes {
		st := w.routes[r]
		if st == nil {
			st = &routeState{}
			w.routes[r] = st
		}
		if _, ok := here[st.id]; ok {
			w.present(r, st)
		} else {
			missing = append(missing, r)
		}
	}
	if missing == nil {
		return
	}
	looks := lookAll(ctx, missing, cluster.TLS, watchLook)
	if ctx.Err() != nil {
		return
	}
	w.srv.leaveOut(looks)
	here = w.srv.connected()
	for _, l := range looks {
		st := w.routes[l.route]
		st.id = l.ID
		if _, ok := here[l.ID]; ok && l.err == nil {
			w.present(l.route, st)
		} else {
			w.absent(l, st, here)
		}
	}
}

func (w *watcher) present(route string, st *routeState) {
	if !st.told.IsZero() {
		w.srv.log.to.Warn("the node of the cluster is connected now", zap.String("route", route), zap.Duration("after", time.Since(st.since)))
	}
	st.since, st.told = time.Time{}, time.Time{}
}

func (w *watcher) absent(l seen, st *routeState, here map[string]string) {
	now := time.Now()
	if st.since.IsZero() {
		st.since = now
	}
	if now.Sub(st.since) < absentTime || now.Sub(st.told) < mentionTime {
		return
	}
	st.told = now
	w.srv.log.to.Warn("no connection to a node of the cluster; trying again", zap.String("route", l.route),
		zap.Duration("for", now.Sub(st.since)), zap.NamedError("why", w.srv.why(l, here)))
}

// why explains why a node is not connected.
func (s *Server) why(l seen, here map[string]string) error {
	cluster := s.cluster()
	switch {
	case l.err != nil:
		return l.err
	case l.Cluster != "" && l.Cluster != cluster.Name:
		return fmt.Errorf("its cluster is %q, this one is %q: set the same Cluster.Name", l.Cluster, cluster.Name)
	case l.Name == s.opts.Name || slices.Contains(slices.Collect(maps.Values(here)), l.Name):
		return fmt.Errorf("two nodes have the name %q: give each its own Options.Name", l.Name)
	}
	return errors.New("it answers, and one refuses the other: compare Cluster.User, Password and TLS of both")
}

// cluster is the cluster as it is wanted now. It is never changed, but replaced.
func (s *Server) cluster() *Cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opts.Cluster
}

// connected are the nodes that this one is connected to, and itself: their names by ID.
func (s *Server) connected() map[string]string {
	here := map[string]string{s.nats.ID(): ""}
	if z, err := s.nats.Routez(nil); err == nil { // fails only for options
		for _, r := range z.Routes {
			if r.RemoteID != "" { // it has said who it is
				here[r.RemoteID] = r.RemoteName
			}
		}
	}
	return here
}

// leaveOut makes the server leave routes alone that lead to a wrong port, and try them again when they no longer do.
func (s *Server) leaveOut(looks []seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	before := maps.Clone(s.shunned)
	for _, l := range looks {
		switch {
		case errors.Is(l.err, errWrongPort):
			if !s.shunned[l.route] {
				s.log.write(zap.WarnLevel, "this route is left alone until it leads elsewhere", zap.String("route", l.route), zap.Error(l.err))
			}
			s.shunned[l.route] = true
		case l.err == nil:
			delete(s.shunned, l.route)
		}
	}
	if maps.Equal(before, s.shunned) {
		return
	}
	if err := s.nats.ReloadOptions(s.config()); err != nil {
		s.shunned = before
		s.log.write(zap.WarnLevel, "the routes cannot be changed", zap.Error(err))
	}
}
