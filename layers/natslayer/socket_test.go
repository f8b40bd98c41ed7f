package natslayer

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is a socket and the server's end of it.
func pipe() (*socket, net.Conn, *sync.WaitGroup) {
	near, far := net.Pipe()
	ended := new(sync.WaitGroup)
	ended.Add(1)
	return newSocket(near, ended.Done), far, ended
}

// What is written arrives, in order, however slowly the other side reads, and Write waits for none of it.
func TestSocketKeepsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, far, ended := pipe()
		var want []byte
		for i := range 300 {
			p := bytes.Repeat([]byte{byte(i)}, 1000)
			want = append(want, p...)
			if n, err := s.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
			clear(p) // the client uses its buffer again
		}
		got := make([]byte, len(want))
		for at := 0; at < len(got); {
			<-time.After(time.Second) // a slow server, which is no dead one
			n, err := far.Read(got[at:min(at+20_000, len(got))])
			if err != nil {
				t.Fatal(err)
			}
			at += n
		}
		if !bytes.Equal(got, want) {
			t.Error("what arrived is not what was written")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		ended.Wait()
		far.Close()
	})
}

// A server that takes nothing is gone after writeTime.
func TestSocketOfAStuckServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, far, ended := pipe()
		defer far.Close()
		begun := time.Now()
		if _, err := s.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		_, err := s.Read(make([]byte, 1))
		if took := time.Since(begun); err == nil || took != writeTime {
			t.Errorf("the client reads on until %v, and hears %v; want an error after %v", took, err, writeTime)
		}
		ended.Wait()
		if _, err := s.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a later write: %v", err)
		}
	})
}

// The bytes that wait are bounded, but any one write fits.
func TestSocketIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, far, ended := pipe()
		defer far.Close()
		if _, err := s.Write([]byte("first")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it is with the server, which does not take it
		if _, err := s.Write(make([]byte, socketBytes+1)); err != nil {
			t.Errorf("one large write: %v", err)
		}
		if _, err := s.Write([]byte("x")); err != errServerStuck {
			t.Errorf("a write above the bound: %v", err)
		}
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Error("the connection goes on")
		}
		ended.Wait()
	})
}

// Close does not wait, and lets what waits go out for a moment.
func TestSocketCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, far, ended := pipe()
		if _, err := s.Write([]byte("goodbye")); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after Close: %v", err)
		}
		if err := s.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a deadline after Close: %v", err)
		}
		if got, err := io.ReadAll(far); string(got) != "goodbye" || err != nil {
			t.Errorf("the server reads %q, %v", got, err)
		}
		ended.Wait()

		s, far, ended = pipe()
		defer far.Close()
		begun := time.Now()
		_, _ = s.Write([]byte("goodbye"))
		_ = s.Close()
		ended.Wait()
		if took := time.Since(begun); took != leaveTime {
			t.Errorf("a server that takes nothing holds a closed socket for %v, want %v", took, leaveTime)
		}
	})
}
