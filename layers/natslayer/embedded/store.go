package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A store is the directory of JetStream: one that stays, with a note of its shape in it, or a temporary one. Both have a
// lock.
type store struct {
	dir       string
	temporary bool
	lock      *os.File // nil: a temporary one, on a system without locks
}

const (
	lockName  = "tideway.lock"
	shapeName = "tideway.json"
)

var errInUse = errors.New("another server uses it, in this process or another: give each its own directory")

// A shape says which kind of server wrote a directory. Another kind would not find the data, and might lose it.
type shape struct {
	Cluster string `json:"cluster,omitempty"` // empty: alone
	Name    string `json:"name,omitempty"`    // of the server, in a cluster
	Peers   int    `json:"peers,omitempty"`
}

func (s shape) String() string {
	switch {
	case s.Cluster == "" && s.Name == "" && s.Peers == 0:
		return "a server alone"
	case s.Name == "": // found, not written by us
		return "a node of a cluster"
	}
	return fmt.Sprintf("node %q of cluster %q with %d JetStream peers", s.Name, s.Cluster, s.Peers)
}

// openStore makes or takes the directory.
func openStore(o *Options) (*store, error) {
	if o.Dir == "" {
		return openTemporary()
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	f, err := take(dir, os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("store directory %s: %w", dir, err)
	}
	s := &store{dir: dir, lock: f}
	if err := s.claim(o.shape()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// take locks a directory.
func take(dir string, flags int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (o *Options) shape() shape {
	if o.Cluster == nil {
		return shape{}
	}
	return shape{Cluster: o.Cluster.Name, Name: o.Name, Peers: o.Cluster.JetStreamPeers}
}

// claim compares the shape of the directory with what is wanted, and writes it into a new one.
func (s *store) claim(want shape) error {
	path := filepath.Join(s.dir, shapeName)
	found, err := readShape(path)
	if errors.Is(err, os.ErrNotExist) {
		if other, ok := s.guess(); ok && (other == shape{}) != (want == shape{}) {
			return s.refuse(other, want)
		}
		return writeShape(path, want)
	}
	if err != nil {
		return fmt.Errorf("store directory: %w", err)
	}
	if found != want {
		return s.refuse(found, want)
	}
	return nil
}

func (s *store) refuse(found, want shape) error {
	return fmt.Errorf("store directory %s was written by %v, and this start is %v, which would not find the data: "+
		"use another directory, or start as before and copy the streams over (nats stream backup, nats stream restore)", s.dir, found, want)
}

// guess tells the shape of a directory that another program's NATS server wrote.
func (s *store) guess() (shape, bool) {
	data := filepath.Join(s.dir, "jetstream")
	if _, err := os.Stat(data); err != nil {
		return shape{}, false
	}
	if _, err := os.Stat(filepath.Join(data, "$SYS", "_js_", "_meta_")); err == nil {
		return shape{Peers: -1}, true
	}
	return shape{}, true
}

func readShape(path string) (shape, error) {
	var s shape
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// writeShape puts the file in place at once, so that a crash leaves all of it or nothing.
func writeShape(path string, s shape) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// close gives the directory back. The lock file of one that stays stays: who removed it could remove the next owner's.
func (s *store) close() error {
	var err error
	if s.temporary {
		err = os.RemoveAll(s.dir)
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}
