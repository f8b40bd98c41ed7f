package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// A fileStore keeps each session in a file, so that several processes can share them. A site has a database for that: scs
// has stores for most.
type fileStore struct{ dir string }

func newFileStore(dir string) (*fileStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &fileStore{dir}, nil
}

// tokens have this form: clients send what they like, and it becomes the name of a file.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

func (s *fileStore) path(token string) string { return filepath.Join(s.dir, token) }

// Find reads a session. Eight bytes before it say when it ends.
func (s *fileStore) Find(token string) (data []byte, found bool, err error) {
	if !tokenForm.MatchString(token) {
		return nil, false, nil
	}
	file, err := os.ReadFile(s.path(token))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil || len(file) < 8 {
		return nil, false, err
	}
	if time.Now().Unix() >= int64(binary.BigEndian.Uint64(file)) {
		return nil, false, nil
	}
	return file[8:], true, nil
}

// Commit writes a session so that no reader sees half of it.
func (s *fileStore) Commit(token string, data []byte, expiry time.Time) error {
	if !tokenForm.MatchString(token) {
		return fmt.Errorf("%q is no token of a session", token)
	}
	f, err := os.CreateTemp(s.dir, "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(binary.BigEndian.AppendUint64(nil, uint64(expiry.Unix())), data...))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path(token))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Delete removes a session. One that there is not is no error.
func (s *fileStore) Delete(token string) error {
	if !tokenForm.MatchString(token) {
		return nil
	}
	if err := os.Remove(s.path(token)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// All reads all sessions, by their tokens.
func (s *fileStore) All() (map[string][]byte, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	all := make(map[string][]byte)
	for _, e := range entries {
		data, found, err := s.Find(e.Name())
		if err != nil {
			return nil, err
		}
		if found {
			all[e.Name()] = data
		}
	}
	return all, nil
}
