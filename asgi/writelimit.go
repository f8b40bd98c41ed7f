package asgi

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// writePiece is what has to leave within one Handler.WriteTimeout.
const writePiece = 64 << 10

// A writeLimit bounds how long a client may take to accept what is written. The deadline of a connection is one for all its
// writes, so it is set anew for each piece, and a cut is final: no later piece may bring the connection back.
type writeLimit struct {
	each time.Duration // 0: none
	late bool          // a piece took longer; under the turn

	mu  sync.Mutex
	due time.Time // of the piece that is being written; zero: none is, or there is no limit
	cut bool
}

// cutWrite ends a write that waits for the client. The response cannot go on after it.
func (x *exchange) cutWrite() {
	x.limit.mu.Lock()
	defer x.limit.mu.Unlock()
	x.limit.cut = true
	_ = x.rc.SetWriteDeadline(past)
}

// setDue sets the deadline, or with the zero time takes it away. It does nothing after a cut, or where the connection has
// no deadlines.
func (x *exchange) setDue(t time.Time) {
	x.limit.mu.Lock()
	defer x.limit.mu.Unlock()
	x.limit.due = t
	if !x.limit.cut {
		_ = x.rc.SetWriteDeadline(t)
	}
}

// unlimited takes the deadline away: an application may think as long as it likes.
func (x *exchange) unlimited() {
	if x.limit.each > 0 && !x.limit.late {
		x.setDue(time.Time{})
	}
}

// overdue reports whether a piece has taken too long. net/http ends the request then, and it is not the client who has left.
func (x *exchange) overdue() bool {
	x.limit.mu.Lock()
	defer x.limit.mu.Unlock()
	return !x.limit.due.IsZero() && !time.Now().Before(x.limit.due)
}

// within gives write, of one piece at most, its time.
func (x *exchange) within(write func() error) error {
	if x.limit.each == 0 {
		return write()
	}
	x.setDue(time.Now().Add(x.limit.each))
	err := write()
	if err != nil && x.overdue() { // HTTP/2 has no error of its own for it
		x.limit.late = true
	}
	return err
}

// lateEnd is why the exchange ends when a piece took too long.
func (x *exchange) lateEnd() DisconnectError {
	return DisconnectError{By: ByServer, Reason: fmt.Sprintf("the client does not read: a write took longer than %v", x.limit.each)}
}

// out is where a body goes.
func (x *exchange) out() io.Writer {
	if x.limit.each == 0 {
		return x.w
	}
	return pieces{x}
}

// pieces writes a body piece by piece.
type pieces struct{ x *exchange }

func (w pieces) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		err = w.x.within(func() error {
			m, err := w.x.w.Write(p[n:min(n+writePiece, len(p))])
			n += m
			return err
		})
	}
	return n, err
}

// ReadFrom lets net/http send a file by sendfile(2). From what may make us wait, such as a pipe, it reads first: that time
// is not the client's.
func (w pieces) ReadFrom(r io.Reader) (n int64, err error) {
	from, ok := r.(*io.LimitedReader)
	if !ok || !isRegular(from.R) {
		return io.Copy(patient{w}, r)
	}
	for from.N > 0 && err == nil {
		var m int64
		err = w.x.within(func() (err error) {
			m, err = io.Copy(w.x.w, io.LimitReader(from.R, min(writePiece, from.N)))
			return err
		})
		n, from.N = n+m, from.N-m
		if m == 0 {
			break // the file has become shorter
		}
	}
	return n, err
}

// patient is pieces for a source that may wait between one Write and the next.
type patient struct{ to pieces }

func (w patient) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.to.x.unlimited()
	return n, err
}

func isRegular(r io.Reader) bool {
	file, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular()
}
