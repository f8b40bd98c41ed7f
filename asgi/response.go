package asgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// send is the Send of an exchange.
func (x *exchange) send(ctx context.Context, event Event) error {
	if err := x.takeTurn(ctx); err != nil {
		return err
	}
	defer func() { <-x.turn }()
	if x.phase == complete || x.broken || x.gone() {
		return ErrClosed
	}
	err := x.dispatch(ctx, event)
	if err == nil || err == ErrClosed || err == ErrFull {
		return err
	}
	return fmt.Errorf("asgi: send %s: %w", eventName(event), err)
}

func eventName(event Event) string {
	if event == nil {
		return "nil"
	}
	return event.EventType()
}

// takeTurn waits until no other Send is at work.
func (x *exchange) takeTurn(ctx context.Context) error {
	select {
	case x.turn <- struct{}{}:
		return nil
	default:
	}
	if x.gone() {
		return ErrClosed
	}
	if ctx.Err() != nil {
		return ErrFull
	}
	select {
	case x.turn <- struct{}{}:
		return nil
	case <-x.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (x *exchange) dispatch(ctx context.Context, event Event) error {
	switch e := event.(type) {
	case HTTPResponseStart:
		return x.begin(e)
	case HTTPResponseBody:
		return x.part(ctx, bodyPart{size: int64(len(e.Body)), more: e.MoreBody, copyTo: func(w io.Writer) error {
			_, err := w.Write(e.Body)
			return err
		}})
	case HTTPResponseZeroCopySend:
		return x.sendFile(ctx, e)
	case HTTPResponsePathSend:
		return x.sendPath(ctx, e)
	case HTTPResponseTrailers:
		return x.trailers(e)
	case HTTPResponseEarlyHint:
		return x.earlyHint(ctx, e)
	case HTTPResponsePush:
		return x.push(e)
	case nil:
		return errors.New("event is nil: send one of the HTTPResponse structs")
	}
	return fmt.Errorf("%T is not an event that an http scope takes: send one of the HTTPResponse structs, by value", event)
}

// begin checks the start of a response and keeps it until the first part of the body.
func (x *exchange) begin(e HTTPResponseStart) error {
	switch {
	case x.phase != waiting:
		return errors.New("the response has been started before: send HTTPResponseBody")
	case e.Status == 0:
		return errors.New("field Status is missing: set it, to 200 for example")
	case e.Status < 200:
		return fmt.Errorf("field Status is %d: only a final status can start a response; for 103 send HTTPResponseEarlyHint", e.Status)
	case e.Status > 999:
		return fmt.Errorf("field Status is %d: it must be 200 to 999", e.Status)
	}
	if err := checkHeader(e.Header); err != nil {
		return err
	}
	length, err := contentLength(e.Header)
	if err != nil {
		return err
	}
	x.phase, x.start, x.remaining = started, e, length
	if x.head || !bodyAllowed(e.Status) {
		x.remaining = -1 // the length is that of a body which is not sent
	}
	return nil
}

// A bodyPart is one part of a response's body, wherever its bytes come from.
type bodyPart struct {
	size   int64 // or -1 if it is not known before it is copied
	more   bool
	copyTo func(io.Writer) error
}

// part checks one part of the body and hands it to the client.
func (x *exchange) part(ctx context.Context, p bodyPart) error {
	switch {
	case x.phase == waiting:
		return errors.New("no response has been started: send HTTPResponseStart first")
	case x.phase == trailing:
		return errors.New("the body is complete: send the HTTPResponseTrailers that were announced")
	case p.size != 0 && !bodyAllowed(x.start.Status):
		return fmt.Errorf("a response with status %d has no body: leave Body empty", x.start.Status)
	case x.remaining >= 0 && p.size > x.remaining:
		return fmt.Errorf("%d bytes are more than the %d that Content-Length leaves", p.size, x.remaining)
	case x.remaining >= 0 && p.size >= 0 && p.size < x.remaining && !p.more:
		return fmt.Errorf("the last part ends %d bytes before Content-Length does", x.remaining-p.size)
	case ctx.Err() != nil:
		return ErrFull // writing may have to wait
	}
	// A response in one part needs no request body: no read begins until it is complete.
	alone := x.phase == started && x.whole(p) && x.body.mu.TryLock()
	if alone {
		defer x.body.mu.Unlock()
	}
	if err := x.guard(ctx, func() error { return x.write(p, alone) }); err != nil {
		return err
	}
	switch {
	case p.more:
	case x.start.Trailers:
		x.phase = trailing
	default:
		x.complete()
	}
	return nil
}

// whole reports whether p is the last thing of a response.
func (x *exchange) whole(p bodyPart) bool { return !p.more && !x.start.Trailers }

// guard calls write, which may wait for the client, and ends it with the exchange or with ctx.
func (x *exchange) guard(ctx context.Context, write func() error) error {
	x.writing.Store(true)
	defer x.writing.Store(false)
	if x.gone() {
		return ErrClosed
	}
	unwatch := func() bool { return false }
	if ctx != x.ctx && ctx.Done() != nil && ctx.Done() != x.ctx.Done() {
		cut := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(cut)
			x.cutWrite()
		})
		unwatch = func() bool {
			if stop() {
				return false
			}
			<-cut
			return true
		}
	}
	err := write()
	x.unlimited()
	switch cut := unwatch(); {
	case x.limit.late:
		x.broken = true
		x.end(x.lateEnd())
		return ErrClosed
	case cut && !errors.Is(context.Cause(ctx), ErrClosed): // before gone: net/http ends the request after such a cut
		x.broken = true
		return context.Cause(ctx)
	case err == nil: // also for a client that has read it and left at once
		return nil
	case x.gone():
		x.broken = true
		return ErrClosed
	}
	x.broken = true
	return fmt.Errorf("%w: %w", ErrClosed, err)
}

// write hands one part to net/http and flushes it, with the headers if it is the first one.
func (x *exchange) write(p bodyPart, alone bool) error {
	if x.phase == started {
		x.writeStart(p, alone)
	}
	if p.size != 0 && !x.head {
		if err := p.copyTo(x.out()); err != nil {
			return err
		}
		if x.remaining >= 0 && p.size > 0 {
			x.remaining -= p.size
		}
	}
	err := x.within(x.rc.Flush)
	if err != nil && errors.Is(err, errors.ErrUnsupported) {
		if err = nil; p.more {
			x.heldBack()
		}
	}
	return err
}

// writeStart gives the headers to net/http.
func (x *exchange) writeStart(p bodyPart, alone bool) {
	header := x.w.Header()
	copyHeader(header, x.start.Header)
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil // what an application sends is not guessed at
	}
	counted := x.whole(p) && p.size >= 0 && bodyAllowed(x.start.Status) && (!x.head || p.size > 0)
	if _, ok := header["Content-Length"]; !ok && counted {
		header["Content-Length"] = []string{strconv.FormatInt(p.size, 10)}
	}
	if (!alone || x.limit.each > 0) && x.body.unread() {
		// Without this net/http throws the unread body away as soon as a response begins, in the time for writing.
		_ = x.rc.EnableFullDuplex()
		if !alone && x.major == 1 { // for HTTP/2 this would end all other requests as well
			header["Connection"] = []string{"close"} // or the rest of a body that release gave up is the next request
		}
	}
	x.w.WriteHeader(x.start.Status)
	x.phase = begun
}

// complete ends the response. What still reads the request is of no use any more.
func (x *exchange) complete() {
	x.phase = complete
	close(x.answered)
	x.release()
	x.appClose = time.AfterFunc(appClose, func() { x.cancel(DisconnectError{By: ByApp}) })
}

// trailers collects trailers and, with the last of them, ends the response.
func (x *exchange) trailers(e HTTPResponseTrailers) error {
	switch {
	case x.phase == waiting:
		return errors.New("no response has been started: send HTTPResponseStart first")
	case !x.start.Trailers:
		return errors.New("no trailers were announced: set HTTPResponseStart.Trailers")
	case x.phase != trailing:
		return errors.New("the body is not complete: send its last HTTPResponseBody first")
	}
	if err := checkTrailer(e.Header); err != nil {
		return err
	}
	if x.te && !x.head {
		header := x.w.Header()
		for name, values := range e.Header {
			name = http.TrailerPrefix + http.CanonicalHeaderKey(name)
			header[name] = append(header[name], values...)
		}
	}
	if !e.MoreTrailers {
		x.complete()
	}
	return nil
}
